"""The audit's chain of seals, and what verify says when somebody was at the rows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from sqlalchemy import delete, select, update

from hisbus.errors import ConfigError
from hisbus_bus.kernel import audit, seals, tables
from hisbus_bus.kernel.seals import Sealer, verify
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site

DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


async def note(site: Site, *actions: str) -> None:
    async with site.database.write() as connection:
        for action in actions:
            await audit.record(connection, actor="user:ann", action=action, object="o", encounter="e1", code="c")


@pytest.fixture
async def sealed(site: Site) -> Site:
    """Six rows in two passes."""
    await note(site, "a.1", "a.2", "a.3")
    assert await Sealer(site).seal() == 3
    await note(site, "a.4", "a.5", "a.6")
    assert await Sealer(site).seal() == 3
    return site


async def test_a_chain_that_nobody_touched_is_sound(sealed: Site) -> None:
    await note(sealed, "a.7")
    verdict = await verify(sealed.database)
    assert (verdict.sound, verdict.sealed, verdict.unsealed) == (True, 6, 1)


async def test_an_empty_audit_is_sound(site: Site) -> None:
    assert await Sealer(site).seal() == 0
    assert (await verify(site.database)).sound


async def test_seals_are_numbered_without_gaps(sealed: Site) -> None:
    async with sealed.database.read() as connection:
        numbers = list(await connection.scalars(select(tables.audit_seals.c.number)))
    assert numbers == [1, 2, 3, 4, 5, 6]


async def test_more_rows_than_one_pass_takes_are_sealed_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "PASS", 2)
    await note(site, *(f"a.{number}" for number in range(5)))
    assert await Sealer(site).seal() == 5
    assert (await verify(site.database)).sound


@pytest.mark.parametrize("field", ["actor", "action", "object", "encounter", "detail"])
async def test_the_first_changed_row_is_named(sealed: Site, field: str) -> None:
    async with sealed.database.write() as connection:
        await connection.execute(update(tables.audit).where(tables.audit.c.id >= 3).values({field: "forged"}))
    verdict = await verify(sealed.database)
    assert (verdict.broken, verdict.reason, verdict.sealed) == (3, "changed", 2)


async def test_a_changed_time_is_named(sealed: Site) -> None:
    async with sealed.database.write() as connection:
        await connection.execute(update(tables.audit).where(tables.audit.c.id == 2).values(time=DAY))
    assert (await verify(sealed.database)).broken == 2


async def test_a_deleted_row_is_named(sealed: Site) -> None:
    async with sealed.database.write() as connection:
        await connection.execute(delete(tables.audit).where(tables.audit.c.id == 4))
    verdict = await verify(sealed.database)
    assert (verdict.broken, verdict.reason) == (4, "deleted")


async def test_a_row_deleted_with_its_seal_leaves_a_gap(sealed: Site) -> None:
    async with sealed.database.write() as connection:
        await connection.execute(delete(tables.audit).where(tables.audit.c.id == 4))
        await connection.execute(delete(tables.audit_seals).where(tables.audit_seals.c.audit == 4))
    verdict = await verify(sealed.database)
    assert (verdict.broken, verdict.reason) == (4, "seal_missing")


async def _insert(site: Site, id: int, time: datetime) -> None:
    row = {"id": id, "time": time, "actor": "x", "action": "x", "object": "x", "encounter": "", "detail": "{}"}
    async with site.database.write() as connection:
        await connection.execute(tables.audit.insert(), row)


async def test_a_row_put_in_with_an_older_time_is_named_sealed_or_not(sealed: Site) -> None:
    await _insert(sealed, 99, datetime.now(UTC) - timedelta(days=1))
    before = await verify(sealed.database)
    await Sealer(sealed).seal()
    after = await verify(sealed.database)
    assert [(one.broken, one.reason) for one in (before, after)] == [(99, "inserted")] * 2


async def test_a_row_put_far_below_the_newest_is_never_sealed_and_named(
    sealed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "RECENT", 3)
    await _insert(sealed, -5, datetime.now(UTC))
    assert await Sealer(sealed).seal() == 0
    assert (await verify(sealed.database)).broken == -5


async def test_a_late_commit_of_a_lower_id_is_sealed_when_it_comes(sealed: Site) -> None:
    await _insert(sealed, 50, datetime.now(UTC))
    await Sealer(sealed).seal()
    await _insert(sealed, 20, datetime.now(UTC))
    await Sealer(sealed).seal()
    verdict = await verify(sealed.database)
    assert (verdict.sound, verdict.sealed, verdict.unsealed) == (True, 8, 0)


@pytest.fixture
def anchored(site: Site, tmp_path: Path) -> Site:
    settings = Settings(site="test", anchor_file=tmp_path / "anchor")
    return Site(settings, site.keys, site.log, site.database)


def anchor_of(site: Site) -> Path:
    path = site.settings.anchor_file
    assert path is not None
    return path


async def test_each_day_has_one_anchor(anchored: Site) -> None:
    with time_machine.travel(DAY, tick=False) as clock:
        for _ in range(2):
            sealer = Sealer(anchored)
            await note(anchored, "a.1")
            await sealer.seal()
            clock.shift(timedelta(days=1))
            await note(anchored, "a.2")
            await sealer.seal()
            await sealer.seal()
    lines = [line.split()[:2] for line in anchor_of(anchored).read_text().splitlines()]
    assert lines == [["2026-01-05", "1"], ["2026-01-06", "2"], ["2026-01-07", "4"]]
    assert (await verify(anchored.database, anchor_of(anchored))).sound


async def test_a_chain_made_anew_differs_from_the_anchor(anchored: Site) -> None:
    await note(anchored, "a.1", "a.2")
    await Sealer(anchored).seal()
    async with anchored.database.write() as connection:
        await connection.execute(update(tables.audit).where(tables.audit.c.id == 1).values(actor="forged"))
        await connection.execute(delete(tables.audit_seals))
    await Sealer(anchored).seal()
    assert (await verify(anchored.database)).sound
    verdict = await verify(anchored.database, anchor_of(anchored))
    assert (verdict.sound, len(verdict.anchors)) == (False, 1)


async def test_a_chain_cut_short_differs_from_the_anchor(anchored: Site) -> None:
    await note(anchored, "a.1", "a.2")
    await Sealer(anchored).seal()
    async with anchored.database.write() as connection:
        await connection.execute(delete(tables.audit).where(tables.audit.c.id == 2))
        await connection.execute(delete(tables.audit_seals).where(tables.audit_seals.c.number == 2))
    assert not (await verify(anchored.database, anchor_of(anchored))).sound


async def test_an_anchor_file_that_is_gone_or_garbled_is_said(anchored: Site) -> None:
    with pytest.raises(ConfigError):
        await verify(anchored.database, anchor_of(anchored))
    anchor_of(anchored).write_text("what\n")
    with pytest.raises(ConfigError):
        await verify(anchored.database, anchor_of(anchored))


async def test_sealing_goes_on_while_the_anchor_cannot_be_written(anchored: Site) -> None:
    anchor_of(anchored).mkdir()
    sealer = Sealer(anchored)
    await note(anchored, "a.1")
    assert await sealer.seal() == 1
    anchor_of(anchored).rmdir()
    await sealer.seal()
    assert anchor_of(anchored).read_text().split()[1] == "1"
