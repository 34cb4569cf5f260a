"""``python -m tests.judged FILE``: each stay's chart and what every agent last says of it, to compare two commits.

Played are the conversations of ``tests/cases``, the simulator's week and, where it lies beside the checkout, each file
of the HL7 corpus on a site of its own; ``diff`` of two such files is what a site would see differently. Ids are left
out, for each site has a secret of its own; so are versions of charts, which depend on what waited behind what.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

from sqlalchemy import select

from hisbus.connector import Playable
from hisbus_bus.kernel import charts, tables
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import load
from hisbus_bus.kernel.site import Site
from hisbus_bus.lab.conversations import Found, read_all
from hisbus_bus.play import feed, findings, play, stage
from hisbus_simulator.week import ward_week

CASES = Path(__file__).parent / "cases"
CORPUS = Path(__file__).parents[2] / "shared/corpora/hl7v2"
LEFT = {"version", "encounter"}
"""What of a chart is a site's own."""
SITE = """\
site = "judged"
[[connectors]]
name = "his"
type = "hl7v2"
listen = "127.0.0.1:1"
timezone = "Asia/Shanghai"
clock = "feed"
"""
_ID = re.compile(r"[0-9a-f]{16,64}")


class Listening(SqliteLog):
    """A log that remembers the newest assessment of each agent and stay."""

    newest: ClassVar[dict[tuple[str, str], Any]] = {}

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Append, and remember."""
        for record in records:
            if record.topic == "assessments":
                said = json.loads(record.value)
                subject = said["agent"], said["encounter"]
                if said["version"] >= self.newest.get(subject, said)["version"]:
                    self.newest[subject] = said
        return await super().append(records)


class Last:
    """Keeps the charts as they were when the findings were last looked at."""

    charts: Sequence[str] = ()

    async def __call__(self, site: Site) -> list[Found]:
        """Return the findings, and keep the charts."""
        self.charts = await charted(site)
        return await findings(site)


def written(newest: dict[tuple[str, str], Any]) -> list[str]:
    """Return a line for each agent and stay, sorted."""
    lines = []
    for (agent, _), said in newest.items():
        judged = {**said["assessment"], "evaluated": sorted(said["assessment"]["evaluated"])}
        lines.append(f"{agent} {_ID.sub('#', json.dumps(judged, ensure_ascii=False, sort_keys=True))}")
    return sorted(lines)


def flat(said: Any, at: str = "") -> Iterator[str]:
    """Yield a line for each value of a chart, with the path to it."""
    if isinstance(said, dict):
        for key, value in sorted(said.items()):
            yield from flat(value, f"{at}/{key}")
    elif isinstance(said, list):
        for number, value in enumerate(said):
            yield from flat(value, f"{at}/{number}")
    elif said not in (None, "", False):
        yield f"{at} {_ID.sub('#', json.dumps(said, ensure_ascii=False))}"


async def charted(site: Site) -> list[str]:
    """Return the lines of every chart, in the order of their numbers."""
    found: dict[str, list[str]] = {}
    async with site.database.read() as connection:
        for stay in (await connection.scalars(select(tables.encounters.c.id))).all():
            chart = await charts.chart(connection, stay)
            if chart is not None:
                number = chart.visit.number if chart.visit else "?"
                found[number] = [f"chart {number} {line}" for line in flat(chart.model_dump(mode="json", exclude=LEFT))]
    return [line for number in sorted(found) for line in found[number]]


def written_down(folder: Path, name: str, messages: Sequence[bytes]) -> Path:
    """Write messages as a conversation."""
    text = b"\n\n".join(body.replace(b"\r", b"\n").strip(b"\n") for body in messages)
    (folder / f"{name}.hl7").write_bytes(text + b"\n")
    steps = [{"after": len(messages), "open": []}]
    (folder / f"{name}.json").write_text(json.dumps({"title": name, "steps": steps}), encoding="utf-8")
    return folder / f"{name}.hl7"


def corpus(folder: Path, take: Playable) -> Iterator[Path]:
    """Write each file of the corpus as a conversation; none where it is not there."""
    for file in sorted(CORPUS.glob("*.hl7")):
        yield written_down(folder, file.stem, list(take.split(file.read_bytes())))


async def main(out: Path) -> None:
    """Play all of it, and write what was said."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hisbus.toml").write_text(SITE, encoding="utf-8")
        settings = load(folder / "hisbus.toml")
        lines: list[str] = []
        async with stage(settings) as on:
            messages = [one.body for one in ward_week(1, 24).messages if b"GB18030" not in one.body]
            take = feed(settings, "")
            played = [CASES, written_down(folder, "week", messages), *corpus(folder, take)]
            for conversation in read_all(played, take.split):
                Listening.newest.clear()
                with patch("hisbus_bus.play.findings", Last()) as last:
                    await play(on, conversation)
                lines += [f"{conversation.name} {line}" for line in (*last.charts, *written(Listening.newest))]
    await asyncio.to_thread(out.write_text, "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with patch("hisbus_bus.play.SqliteLog", Listening):
        asyncio.run(main(Path(sys.argv[1])))
