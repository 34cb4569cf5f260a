"""Where a profile has gaps, over the messages of a capture or those that are stored. It writes nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import ColumnElement, and_

from hisbus.connector import Raw
from hisbus.errors import BadMessage, ConfigError
from hisbus_bus.flow.translate import raw_of
from hisbus_bus.kernel import codes, tables
from hisbus_bus.kernel.site import Site
from hisbus_bus.lab.replay import originals
from hisbus_mapping import Answers, Mapping
from hisbus_mapping.gaps import Gaps


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored messages of a connector."""

    connector: str
    begin: datetime
    mapping: Mapping | None = None
    mark: str = ""
    as_of: str = ""
    force: bool = False

    @property
    def condition(self) -> ColumnElement[bool]:
        """Return what singles out their first copies."""
        row = tables.messages.c
        return and_(row.first, row.connector == self.connector, row.received >= self.begin)


@dataclass(slots=True)
class Looked:
    """What was found."""

    gaps: Gaps
    refused: Counter[str] = field(default_factory=Counter)
    """Messages that could not be read or understood, by their code."""
    withheld: Counter[str] = field(default_factory=Counter)
    """Messages that say nothing, whatever they hold, by the word for why."""
    gone: int = 0
    """Stored messages whose originals the log no longer keeps."""

    def take(self, mapping: Mapping, raw: Raw, answers: Answers | None = None) -> None:
        """Look at a message."""
        try:
            translation = mapping.translate(raw, answers)
        except BadMessage as error:
            self.refused[error.code] += 1
            return
        if translation.withheld:
            self.withheld[translation.withheld] += 1
        else:
            self.gaps.add(translation)


def captured(mapping: Mapping, path: Path) -> Looked:
    """Look at the messages of a capture: a file that the connector splits.

    Raises:
        ConfigError: the file cannot be read, or no message is in it.
    """
    try:
        messages = mapping.connector.split(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read. Check its name, and who may read it.") from error
    if not messages:
        raise ConfigError(f"{path} holds no message that {mapping.connector.name} reads.")
    found, now = Looked(Gaps(mapping.profile)), datetime.now(UTC)
    for number, body in enumerate(messages):
        found.take(mapping, Raw(f"capture-{number}", body, now))
    return found


async def stored(site: Site, mapping: Mapping, begin: datetime) -> Looked:
    """Look at stored messages, with what people have said of their codes.

    Raises:
        RetryLater: log or database are away.
    """
    found = Looked(Gaps(mapping.profile))
    name = mapping.connector.name
    async with site.database.read() as connection:
        answers = (await codes.answers(connection)).get(name, {})
    async for page in originals(site, Stored(name, begin)):
        for original in page:
            record = original.record
            if record is None:
                found.gone += 1
            elif code := record.headers.get("verdict"):
                found.refused[code] += 1
            else:
                found.take(mapping, raw_of(record, original.row.received), answers)
    return found


def both_kinds(looked: Looked, mapping: Mapping) -> Sequence[str]:
    """Return who gave the visits' numbers, where some of them name nobody and some do; else none."""
    own = mapping.connector.authority or mapping.connector.name
    known = sorted(filter(None, looked.gaps.authorities))
    return known if own in known and len(known) > 1 else []
