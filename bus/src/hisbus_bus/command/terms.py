"""``hisbus terms``: loads code systems and shows what is loaded. A new load needs no restart."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hisbus.errors import ConfigError
from hisbus.terms import KINDS, Release, Terms, icd10cm, store, table
from hisbus_bus.command import printed
from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.written import with_database

if TYPE_CHECKING:
    from hisbus_bus.kernel.database import Database

BUILT_IN = "icd-10-cm"
SHOWN = 20
"""Broken rows that are named; the others are counted."""

commands = typer.Typer()
out = Console(highlight=False)


@commands.command(name="load")
def load(
    source: Annotated[str, typer.Argument(help="A CSV or TSV file; or icd-10-cm, which came with hisbus.")],
    system: Annotated[str, typer.Option(help="Short name of the code system; an earlier load of it is replaced.")] = "",
    version: Annotated[str, typer.Option(help="Version of the table.")] = "",
    kind: Annotated[
        str, typer.Option(help="diagnosis, procedure, item (limits of charges), drug (most of a day) or crosswalk.")
    ] = ("diagnosis"),
    target: Annotated[str, typer.Option(help="Crosswalk: the system that it leads to.")] = "",
    licence: Annotated[str, typer.Option(help="A note on who may use the table.")] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=HEADER, where a header is not known: code=疾病编码.")
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out rows that are broken.")] = False,
) -> None:
    """Load a code system: a national or insurance table, a crosswalk, or ICD-10-CM. UTF-8 or GB18030."""
    settings = chosen.settings
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if source.casefold() == BUILT_IN or source.casefold().endswith(".xml"):
        file = icd10cm.installed() if source.casefold() == BUILT_IN else Path(source)
        edition, rows = icd10cm.read(file)
        release = Release(
            system or icd10cm.SYSTEM, "diagnosis", version or edition, file.name, _hash(_bytes(file)), now,
            licence or icd10cm.LICENCE,
        )  # fmt: skip
        _loaded(store.load(settings.terms_file, release, rows))
        return
    if not system or not version:
        raise ConfigError("Name the table: --system NAME --version VERSION.")
    if kind not in KINDS:
        raise ConfigError(f"There is no kind {kind!r}. Choose one of: {', '.join(KINDS)}.")
    if (kind == "crosswalk") != bool(target):
        raise ConfigError("A crosswalk, and nothing else, needs --target SYSTEM.")
    content = _bytes(Path(source))
    read = table.read(content, crosswalk=kind == "crosswalk", columns=_columns(column or []))
    for broken in read.broken[:SHOWN]:
        out.print(f"line {broken.line}: {broken.reason}", markup=False, soft_wrap=True)
    if read.broken and not skip_broken:
        raise ConfigError(
            f"{len(read.broken)} rows are broken, and nothing was loaded. Mend them, or leave them out: --skip-broken."
        )
    if not read.rows and not read.pairs:
        raise ConfigError("The table has no rows.")
    release = Release(
        system, kind, version, Path(source).name, _hash(content), now, licence or "not noted",
        refused=len(read.broken), target=target,
    )  # fmt: skip
    _loaded(store.load(settings.terms_file, release, read.rows, read.pairs))


@commands.command(name="list")
def show() -> None:
    """List what is loaded, and where it came from."""
    settings = chosen.settings
    found = printed.table_of("system", "kind", "version", "rows", "left out", "source", "sha256", "loaded", "licence")
    if settings.terms_file.exists():
        terms = Terms(settings.terms_file)
        for one in terms.releases():
            system = f"{one.system} -> {one.target}" if one.target else one.system
            counts = (str(one.rows), str(one.refused))
            found.add_row(system, one.kind, one.version, *counts, one.source, one.sha256[:16], one.loaded, one.licence)
        terms.close()
    printed.show(found)


def _loaded(release: Release) -> None:
    """Say what was loaded, and let the stays be judged again that waited for it."""
    left = f"; {release.refused} broken rows were left out" if release.refused else ""
    out.print(f"{release.system} {release.version}: {release.rows} rows{left}.", markup=False, soft_wrap=True)
    from sqlalchemy import select

    from hisbus_bus.kernel import coverage, tables
    from hisbus_bus.kernel.site import envelope, file_of

    settings = chosen.settings
    file = file_of(settings.database.url)
    if file is not None and not file.exists():
        return  # nothing has come yet
    head = envelope(settings)

    what = f"{release.system} {release.sha256} {release.loaded}"
    heads = tables.assessment_heads.c
    unjudged = select(heads.encounter).where(heads.notes.contains('"reason":"other"'))

    async def told(database: "Database") -> int:
        async with database.write() as connection:
            return await coverage.look_again(connection, head, what, tables.encounters.c.id.in_(unjudged))

    if stays := with_database(told):
        out.print(f"{stays} stays are judged again while `hisbus up` runs.", markup=False, soft_wrap=True)


def _columns(given: Sequence[str]) -> dict[str, str]:
    columns = {}
    for one in given:
        name, equals, header = one.partition("=")
        if not equals or not header:
            raise ConfigError("--column is written FIELD=HEADER, for example --column code=疾病编码.")
        columns[name] = header
    return columns


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read. Check its path and owner.") from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
