# Every target does its own set-up; nothing but Python 3.11 (python3-venv), git and make is needed,
# and Java 17, Maven and PostgreSQL 15 for the targets with servers.
PY := .venv/bin/python
MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard */pyproject.toml */*/pyproject.toml))

.DEFAULT_GOAL := help
.PHONY: help demo demo-kafka test test-servers test-busy test-vllm soak servers jars bench picture explore mutants check format setup wheels

help: ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.ready: pyproject.toml constraints.txt $(MEMBERS:%=%/pyproject.toml)
	python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt uv
	.venv/bin/uv pip install -q -p .venv --compile-bytecode -c constraints.txt $(MEMBERS:%=-e %) --group dev
	@touch $@

setup: .venv/.ready ## what the other targets begin with: an environment with every member in it

demo: .venv/.ready ## the imaginary hospital: messages in, findings, decisions, write-backs
	$(PY) -m hisbus_simulator demo

demo-kafka: .venv/.ready jars ## the same on a real Kafka and PostgreSQL, which come and go with it
	$(PY) -m hisbus_servers run -- sh -c \
		'$(PY) -m hisbus_simulator demo --kafka "$$HISBUS_TEST_KAFKA" --database "$$HISBUS_TEST_POSTGRES"'

test: .venv/.ready ## every test but test-vllm's; those marked kafka and postgres where the machine has what they need
	$(PY) -m pytest -q -n 3 --dist worksteal -m "not kafka and not postgres and not vllm and not long"
	@if $(PY) -m hisbus_servers lacking; then $(MAKE) test-servers; \
	else $(PY) -m pytest -q -n 3 --dist worksteal -m "long and not kafka and not postgres" || exit; \
	echo "The tests marked kafka and postgres did not run: the line above says what this machine lacks."; fi

test-servers: .venv/.ready jars ## only those and the long ones, on a real Kafka and PostgreSQL that come and go with them
	$(PY) -m hisbus_servers run -- $(PY) -m pytest -q -n 3 --dist worksteal -m "kafka or postgres or long"

test-busy: .venv/.ready jars ## the fault tests beside busy loops, each five times (BUSY_RUNS= BUSY_ONLY= BUSY_MINUTES=)
	$(PY) -m hisbus_servers run -- $(PY) -m tests.faults.busy

test-vllm: .venv/.ready ## those marked vllm, on a real vLLM with a tiny random model (HISBUS_LLM_URL=: on that one)
	@if [ -z "$$HISBUS_LLM_URL" ]; then $(MAKE) .venv-vllm/.ready; fi
	HISBUS_TEST_VLLM=.venv-vllm/bin/python $(PY) -m pytest -q -m vllm

.venv-vllm/.ready: $(wildcard ops/vllm/cpu/*.txt) | .venv/.ready
	python3 -m venv .venv-vllm
	.venv/bin/uv pip install -q -p .venv-vllm --compile-bytecode -r ops/vllm/cpu/requirements.txt \
		-c ops/vllm/cpu/constraints.txt --overrides ops/vllm/cpu/overrides.txt
	@touch $@

soak: .venv/.ready jars ## half an hour of killing servers, steps and agents under load (SOAK_MINUTES=), then test-busy
	$(PY) -m tests.faults.soak

servers: .venv/.ready jars ## a real Kafka and PostgreSQL on this machine until Ctrl-C
	$(PY) -m hisbus_servers up --folder var/servers

jars: ops/kafka/lib/.ready ## the broker, by Maven

%/lib/.ready: %/pom.xml
	rm -rf $(@D)
	mvn -q -B -f $< dependency:copy-dependencies
	@touch $@

wheels: .venv/.ready ## every member as a wheel, in dist/
	rm -rf dist
	@for member in $(MEMBERS); do .venv/bin/uv build -q --wheel -b constraints.txt -o dist $$member || exit; done
	@ls dist

check: .venv/.ready ## lint, types, import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy $(MEMBERS:%=%/src)
	$(PY) -m tests.rooms

bench: .venv/.ready jars tests/bench/camel/lib/.ready ## every figure beside its floor; BENCH_ONLY="intake_sqlite late" takes some of them
	$(PY) -m hisbus_servers run -- $(PY) -m tests.bench

picture: .venv/.ready ## the README's picture, from the demo's hospital (needs Chromium)
	$(PY) -m tests.browser.picture

explore: .venv/.ready ## property tests with new examples each time
	HISBUS_EXPLORE=1 $(PY) -m pytest -q -n 2 --dist worksteal -k "propert or order or interleaving"

mutants: .venv/.ready ## breaks the program line by line in a copy; a test must notice each break
	$(PY) tests/mutants/run.py

format: .venv/.ready ## put the code in order
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
