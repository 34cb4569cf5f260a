"""Who may import whom: ``python -m tests.rooms``. Rooms and members are found, so that a new one edits no list.

The one line of layers is the plan of the house: each room stands on those below it, and knows none above.
"""

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]

LAYERS = """
    hisbus_bus.command > hisbus_bus.play > hisbus_bus.app > hisbus_bus.desk > hisbus_bus.lab > hisbus_bus.flow
    > hisbus_bus.host > hisbus_bus.kernel > hisbus_mapping > hisbus > hisbus_schemas
"""
LAG = "hisbus_bus.flow.lag"
"""No step: it asks all of them what waits."""
SERVERS = ("aiokafka", "aiosqlite", "sqlalchemy", "psycopg", "fastapi", "faststream", "uvicorn")
"""What a plugin must not pull in."""


def members() -> list[Path]:
    """Return the folder of every distribution of this repository."""
    return sorted(path.parent for pattern in ("*", "*/*") for path in ROOT.glob(f"{pattern}/pyproject.toml"))


def package(member: Path) -> str:
    """Return the name of a member's package."""
    (folder,) = (path for path in (member / "src").iterdir() if (path / "__init__.py").exists())
    return folder.name


def _contracts() -> Iterator[tuple[str, str, dict[str, list[str]]]]:
    packages = {member.relative_to(ROOT).as_posix(): package(member) for member in members()}
    shelved = [name for path, name in packages.items() if path.startswith(("connectors/", "plugins/"))]
    plugins = [name for path, name in packages.items() if path.startswith("plugins/")]
    line = [layer.strip() for layer in LAYERS.split(">")]
    above = [name for path, name in packages.items() if path.startswith("ops/") or name == "hisbus_remote"]
    steps = sorted(f"hisbus_bus.flow.{path.stem}" for path in (ROOT / "bus/src/hisbus_bus/flow").iterdir())
    steps = [step for step in steps if not step.rpartition(".")[2].startswith("_") and step != LAG]
    yield "Each room stands on those below it", "layers", {"layers": [" | ".join(above), *line]}
    yield "Steps share the kernel and never import each other", "independence", {"modules": steps}
    yield "Connectors and plugins never import each other", "independence", {"modules": shelved}
    yield (
        "What is plugged in does not know the bus, and the bus does not know it",
        "forbidden",
        {"source_modules": shelved, "forbidden_modules": ["hisbus_bus", "hisbus_remote"]},
    )
    yield (
        "Plugins know no mapping",
        "forbidden",
        {"source_modules": plugins, "forbidden_modules": ["hisbus_mapping"]},
    )
    yield (
        "The bus knows no connector and no plugin",
        "forbidden",
        {"source_modules": ["hisbus_bus", "hisbus_mapping", "hisbus", "hisbus_schemas"], "forbidden_modules": shelved},
    )
    yield (
        "What a plugin imports pulls in no broker, driver or web framework",
        "forbidden",
        {
            "source_modules": [*plugins, "hisbus_mapping", "hisbus", "hisbus_schemas"],
            "forbidden_modules": list(SERVERS),
        },
    )


def configuration() -> str:
    """Return the contracts as import-linter reads them."""
    roots = [package(member) for member in members()]
    lines = ["[tool.importlinter]", f"root_packages = {roots}", "include_external_packages = true"]
    for name, kind, lists in _contracts():
        lines += ["[[tool.importlinter.contracts]]", f'name = "{name}"', f'type = "{kind}"']
        lines += [f"{key} = {names}" for key, names in lists.items()]
    text = "\n".join(lines)
    tomllib.loads(text)
    return text


def main() -> int:
    """Hold the code to the contracts; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contracts.toml"
        path.write_text(configuration())
        return lint_imports(config_filename=str(path), no_cache=True)


if __name__ == "__main__":
    sys.exit(main())
