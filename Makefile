# Every target does its own set-up; nothing but Python 3.11 (python3-venv), git and make is needed.
PY := .venv/bin/python
MEMBERS := schemas bus connectors/hl7v2 plugins/qc ops/simulator

.DEFAULT_GOAL := help
.PHONY: help demo test explore check format

help: ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.ready: pyproject.toml constraints.txt $(MEMBERS:%=%/pyproject.toml)
	python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt uv
	.venv/bin/uv pip install -q -p .venv -c constraints.txt $(MEMBERS:%=-e %) --group dev
	@touch $@

demo: .venv/.ready ## the imaginary hospital: messages in, findings, decisions, write-backs
	$(PY) -m hisbus_simulator demo

test: .venv/.ready ## every test that needs no server
	$(PY) -m pytest -q -n 3 --dist worksteal

check: .venv/.ready ## lint, types, import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy $(MEMBERS:%=%/src)
	.venv/bin/lint-imports

explore: .venv/.ready ## property tests with new examples each time
	HISBUS_EXPLORE=1 $(PY) -m pytest -q -n 2 --dist worksteal -k "propert or order or interleaving"

format: .venv/.ready ## put the code in order
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
