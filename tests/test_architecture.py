"""The house rules that a machine can hold."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.rooms import ROOT, members, package

import hisbus
from hisbus_bus.kernel.tables import KERNEL, WRITER, metadata

MEMBERS = tuple(member.relative_to(ROOT).as_posix() for member in members())
DISTRIBUTION_OF = {
    "aiokafka": "aiokafka", "alembic": "alembic", "argon2": "argon2-cffi", "fastapi": "fastapi",
    "faststream": "faststream", "hisbus": "hisbus", "hisbus_documentation": "hisbus-documentation",
    "fhir": "fhir.resources", "h11": "h11", "hisbus_fhir": "hisbus-fhir",
    "hisbus_hl7v2": "hisbus-hl7v2", "hisbus_schemas": "hisbus-schemas", "hl7apy": "hl7apy", "httpx": "httpx",
    "hisbus_bus": "hisbus-bus", "hisbus_mapping": "hisbus-mapping", "hisbus_remote": "hisbus-remote",
    "hisbus_servers": "hisbus-servers", "jinja2": "jinja2",
    "pluggy": "pluggy", "prometheus_client": "prometheus-client", "psycopg": "psycopg", "pydantic": "pydantic",
    "pydantic_core": "pydantic", "rapidfuzz": "rapidfuzz", "rich": "rich",
    "sqlalchemy": "sqlalchemy", "stamina": "stamina", "starlette": "fastapi", "structlog": "structlog",
    "typer": "typer", "uvicorn": "uvicorn", "uvloop": "uvloop", "markupsafe": "jinja2",
}  # fmt: skip


def project(member: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]


def sources(member: str) -> Iterator[Path]:
    yield from (ROOT / member / "src").rglob("*.py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def requirements(member: str) -> list[str]:
    """Return what a member requires, with all its extras but the list of what comes bundled."""
    table = project(member)
    extras = table.get("optional-dependencies", {})
    return table["dependencies"] + [one for name, its in extras.items() if name != "bundled" for one in its]


def plain(requirement: str) -> str:
    return requirement.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip()


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_imports_only_what_it_declares(member: str) -> None:
    own = package(ROOT / member)
    declared = {plain(requirement) for requirement in requirements(member)}
    used = {name for path in sources(member) for name in imported(path)} - set(sys.stdlib_module_names) - {own}
    unknown = used - DISTRIBUTION_OF.keys()
    assert not unknown, f"name their distributions in this test: {unknown}"
    assert {DISTRIBUTION_OF[name] for name in used} <= declared


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_declares_only_what_it_imports(member: str) -> None:
    used = {DISTRIBUTION_OF.get(name) for path in sources(member) for name in imported(path)}
    declared = {plain(requirement) for requirement in requirements(member)}
    unseen = {"aiosqlite", "psycopg", "python-multipart"}  # loaded by name by SQLAlchemy and FastAPI
    unseen.add("simple-icd-10-cm")  # its data is read, it is never imported
    assert declared - unseen <= used


def test_all_members_have_one_version_and_one_licence() -> None:
    assert {project(member)["version"] for member in MEMBERS} == {hisbus.__version__}
    assert {project(member)["license"] for member in MEMBERS} == {"Apache-2.0"}


def test_the_changelog_names_the_version() -> None:
    assert f"## {project('bus')['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("shelf, group", [("plugins", "hisbus.agents"), ("connectors", "hisbus.connectors")])
def test_a_member_has_one_spelling_everywhere(shelf: str, group: str) -> None:
    for member in (member for member in MEMBERS if member.startswith(shelf)):
        name = Path(member).name
        table = project(member)
        assert table["name"] == f"hisbus-{name}"
        assert table["entry-points"][group] == {name: f"hisbus_{name}"}
        assert (ROOT / member / "src" / f"hisbus_{name}" / "py.typed").exists()


def step_of(path: Path) -> str:
    """Return the step that a file of hisbus belongs to; the page belongs to review, which people decide through."""
    room, *rest = path.relative_to(ROOT / "bus/src/hisbus_bus").parts
    return "review" if room == "desk" else (rest or [room])[0].removesuffix(".py")


def written_tables(path: Path) -> Iterator[str]:
    """Yield the tables that a file inserts into, updates or deletes from."""
    tree = ast.parse(path.read_text())
    alias = {
        target.id: node.value.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, ast.Name) and node.value.value.id == "tables"
    }

    def table(node: ast.expr) -> str | None:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tables":
            return node.attr
        return alias.get(node.id) if isinstance(node, ast.Name) else None

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        verb = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if verb in {"insert", "update", "delete", "Rows", "_put", "inserted"}:
            receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            yield from (name for name in map(table, [*receiver, *node.args[:1]]) if name)


def test_every_table_has_one_writing_step() -> None:
    assert WRITER.keys() | KERNEL == metadata.tables.keys()
    seen: set[str] = set()
    for path in sources("bus"):
        for name in written_tables(path):
            seen.add(name)
            if name in WRITER:
                assert step_of(path) == WRITER[name], f"{path.name} writes {name}, which {WRITER[name]} owns"
    assert seen == metadata.tables.keys(), "a table that nothing writes, or a write this test does not see"


def test_all_sql_of_the_desk_is_in_its_room_for_reading() -> None:
    desk = ROOT / "bus/src/hisbus_bus/desk"
    for path in desk.rglob("*.py"):
        if desk / "read" in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            asked = node.names if isinstance(node, ast.ImportFrom | ast.Import) else []
            named = {alias.name.rpartition(".")[2] for alias in asked}
            assert not named & {"select", "insert", "update", "delete", "text", "tables"}, f"{path.name} asks by itself"
            called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            assert called not in {"execute", "scalar", "scalars", "stream"}, f"{path.name} asks by itself"


@pytest.mark.parametrize("member", MEMBERS)
def test_no_file_is_longer_than_a_reader_can_hold(member: str) -> None:
    # A migration is written once, and is as long as the schema that it makes.
    read = [path for path in sources(member) if path.parent.name != "versions"]
    assert not [path.name for path in read if len(path.read_text().splitlines()) > 500]


@pytest.mark.parametrize("member", MEMBERS)
def test_no_module_is_named_after_nothing(member: str) -> None:
    assert not {path.stem for path in sources(member)} & {
        "utils",
        "util",
        "base",
        "manager",
        "common",
        "core",
        "helpers",
    }
