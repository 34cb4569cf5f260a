"""A dry run says of a stay what review then does: over the stays of every case, whatever people decided before."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from hisbus_bus.command.replay import replay_stays
from hisbus_bus.kernel import tables
from hisbus_bus.lab.conversations import read

pytestmark = pytest.mark.long

CASES = Path(__file__).parents[1] / "cases"
DEADLINES = ("R01", "R02", "R03", "R04", "R10", "R13", "R29")
LIMITS = (1, 10_000)
"""Hours: one that every stay has passed, and one that none ever will."""
FATES = ("open", "superseded", "resolved", "withdrawn", "again")


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    return embedded


async def decide(bus: Any, chance: Random) -> None:
    """Answer some of what is open, in one way or another."""
    for item in await bus.everything("proposals", status="open"):
        answer = chance.choice(["accept", "reject", "leave"])
        if answer != "leave":
            shown = await bus.api.get(f"/api/v1/proposals/{item['id']}")
            body = {"decision": answer, "reason": "wrong"}
            await bus.post(f"proposals/{item['id']}/decision", body, **{"If-Match": shown.headers["etag"]})


async def standing(bus: Any) -> dict[str, Any]:
    async with bus.app.site.database.read() as connection:
        return {row.id: row for row in await connection.execute(select(tables.proposals))}


def fates(before: dict[str, Any], after: dict[str, Any]) -> Counter[tuple[str, str]]:
    """Return what review did, in the words of a dry run."""
    done: Counter[tuple[str, str]] = Counter()
    for id, row in after.items():
        was = before.get(id)
        if was is None:
            done[row.rule, "open"] += 1
        elif row.status != was.status:
            done[row.rule, "again" if row.status == "open" else row.status] += 1
        elif row.rectified != was.rectified:
            done[row.rule, "resolved" if row.rectified else "again"] += 1
    return done


async def foretold(bus: Any, capsys: pytest.CaptureFixture[str]) -> Counter[tuple[str, str]]:
    capsys.readouterr()
    await replay_stays(bus.app.settings, "qc", closed=True, dry_run=True)
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    counted = {(rule, fate): int(count) for rule, *counts in cells for fate, count in zip(FATES, counts, strict=True)}
    return Counter({place: count for place, count in counted.items() if count})


@pytest.fixture(scope="module")
def foreseen() -> Iterator[list[Counter[tuple[str, str]]]]:
    """What was said of each case. Over all of them findings open and close, else nothing was compared."""
    said: list[Counter[tuple[str, str]]] = []
    yield said
    if len(said) == len(list(CASES.glob("*.json"))):
        assert {fate for one in said for _, fate in one} >= {"open", "resolved"}


def limits(chance: Random) -> dict[str, Any]:
    """Return settings under which deadlines are met or missed, as it comes."""
    return {"qc": {"settings": {"rules": {rule: {"limit_hours": chance.choice(LIMITS)} for rule in DEADLINES}}}}


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_dry_run_says_what_review_then_does(
    path: Path, hospital: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, foreseen: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    chance = Random(path.stem)
    async with hospital(agents=limits(chance)) as bus:
        await bus.send(read(path, bus.app.connectors[0].split).messages)
        await bus.idle()
        await decide(bus, chance)
        await bus.idle()
    async with hospital(agents=limits(chance), user="again") as bus:
        before = await standing(bus)
        said = await foretold(bus, capsys)
        await replay_stays(bus.app.settings, "qc", closed=True, dry_run=False)
        await bus.idle()
        assert said == fates(before, await standing(bus))
    foreseen.append(said)
