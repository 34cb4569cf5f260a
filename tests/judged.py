"""``python -m tests.judged FILE``: what every agent last says of each stay, to compare two commits with ``diff``.

Played are the conversations of ``tests/cases`` and the simulator's week. Ids are left out, for each site has a secret
of its own; so are versions of charts, which depend on what waited behind what.
"""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.settings import load
from hisbus_bus.lab.conversations import read_all
from hisbus_bus.play import feed, play, stage
from hisbus_simulator.week import ward_week

CASES = Path(__file__).parent / "cases"
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


def written(newest: dict[tuple[str, str], Any]) -> list[str]:
    """Return a line for each agent and stay, sorted."""
    lines = []
    for (agent, _), said in newest.items():
        judged = {**said["assessment"], "evaluated": sorted(said["assessment"]["evaluated"])}
        lines.append(f"{agent} {_ID.sub('#', json.dumps(judged, ensure_ascii=False, sort_keys=True))}")
    return sorted(lines)


def week(folder: Path) -> Path:
    """Write the simulator's week as a conversation."""
    messages = [one.body for one in ward_week(1, 24).messages if b"GB18030" not in one.body]
    text = b"\n\n".join(body.replace(b"\r", b"\n").strip(b"\n") for body in messages)
    (folder / "week.hl7").write_bytes(text + b"\n")
    steps = [{"after": len(messages), "open": []}]
    (folder / "week.json").write_text(json.dumps({"title": "a week on the ward", "steps": steps}), encoding="utf-8")
    return folder / "week.hl7"


async def main(out: Path) -> None:
    """Play all of it, and write what was said."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hisbus.toml").write_text(SITE, encoding="utf-8")
        settings = load(folder / "hisbus.toml")
        lines: list[str] = []
        async with stage(settings) as on:
            for conversation in read_all([CASES, week(folder)], feed(settings, "").split):
                Listening.newest.clear()
                await play(on, conversation)
                lines += [f"{conversation.name} {line}" for line in written(Listening.newest)]
    await asyncio.to_thread(out.write_text, "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with patch("hisbus_bus.play.SqliteLog", Listening):
        asyncio.run(main(Path(sys.argv[1])))
