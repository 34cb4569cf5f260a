"""Intake beside its floor, and on Kafka beside Apache Camel: messages a second and CPU a message, at 1, 16 and 64
connections.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import CONNECTIONS, Figure, compared
from tests.bench.processes import ROOT, BenchError, Server, cpu_s, free_port, run
from tests.bench.sites import KAFKA, Site, make

from hisbus_bus.kernel.topics import topic_name

RUNS = 5
SECONDS = 2.0
WARM_UP_S = 3.0
CAMEL_WARM_UP_S = 20.0
"""Until Java's compiler has seen what is done often."""
CAMEL = ROOT / "tests/bench/camel"


def intake_sqlite(folder: Path) -> Iterator[Figure]:
    """Compare on the embedded log."""
    site, port = make(folder / "intake-sqlite", "bench", servers=False), free_port()
    floor = Server(
        ["-m", "tests.bench.floor_sqlite", str(port), folder / "floor.db"], port, folder / "floor-sqlite.log"
    )
    yield from _compared(floor, {"intake_sqlite": _ours(site)})


def intake_kafka(folder: Path) -> Iterator[Figure]:
    """Compare on one broker; floor and Camel write into topics that were made like ours."""
    site, floor_site = make(folder / "intake-kafka", "bench-intake"), make(folder / "floor", "bench-floor")
    beside = {"intake_kafka": _ours(site)}
    if any(CAMEL.glob("lib/camel-mllp-*.jar")):
        beside["intake_camel"] = camel(make(folder / "camel", "bench-camel"))
    yield from _compared(floor_kafka(floor_site), beside)


def camel(site: Site) -> Server:
    """Return Apache Camel with the one route of ``camel/route.yaml``, writing into a site's topic."""
    given = {
        "camel.main.routesIncludePattern": f"file:{CAMEL}/route.yaml",
        "org.slf4j.simpleLogger.defaultLogLevel": "warn",
        "port": site.mllp,
        "bootstrap": KAFKA,
        "topic": topic_name(site.name, "raw"),
    }
    said = [f"-D{name}={value}" for name, value in given.items()]
    command = ["-Xmx512m", *said, "-cp", f"{CAMEL}/lib/*", "org.apache.camel.main.Main"]
    return Server(command, site.mllp, site.folder / "camel.log", program="java")


def floor_kafka(site: Site) -> Server:
    """Return the floor on Kafka, writing into a site's topic."""
    command = ["-m", "tests.bench.floor_kafka", str(site.mllp), KAFKA, topic_name(site.name, "raw")]
    return Server(command, site.mllp, site.folder / "floor.log")


def _ours(site: Site) -> Server:
    return Server(site.command("run", "intake"), site.mllp, site.folder / "intake.log")


def _compared(floor: Server, beside: Mapping[str, Server]) -> Iterator[Figure]:
    rates: dict[tuple[Server, int], list[float]] = {}
    costs: dict[tuple[Server, int], list[float]] = {}
    servers = [floor, *beside.values()]
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
            _fire(server, 16, CAMEL_WARM_UP_S if server.log.stem == "camel" else WARM_UP_S, "warm")
        for turn in range(RUNS):
            for connections in CONNECTIONS:
                for server in servers:
                    rate, cost = _fire(server, connections, SECONDS, f"{turn}-{connections}")
                    rates.setdefault((server, connections), []).append(rate)
                    costs.setdefault((server, connections), []).append(cost)
    for name, server in beside.items():
        for n in CONNECTIONS:
            yield compared(f"{name}_{n}", "msg/s", rates[server, n], rates[floor, n])
            yield compared(f"{name}_{n}_cpu_us", "µs", costs[server, n], costs[floor, n])


def _fire(server: Server, connections: int, seconds: float, name: str) -> tuple[float, float]:
    """Return messages a second, and CPU microseconds a message."""
    before = cpu_s(server.process)
    said = run(["-m", "tests.bench.gun", str(server.port), str(connections), str(seconds), name]).split()
    used = cpu_s(server.process) - before
    stored, refused, took = int(said[0]), int(said[1]), float(said[2])
    if refused or not stored:
        raise BenchError(f"{refused} of {stored + refused} messages were refused.")
    return stored / took, used / stored * 1e6
