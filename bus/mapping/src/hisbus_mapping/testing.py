# ruff: noqa: S101 - these are tests
"""What every connector must do, as tests to inherit, and a place that takes messages as the bus does.

class TestContract(hisbus_mapping.testing.ConnectorContract):
    connector = MyConnector({"name": "his", "type": "mine"})
    messages = [b"...", b"..."]
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hisbus import Arrival, BadMessage, Connector, Raw, RetryLater, Translation, Verdict
from hisbus.connector import Playable
from hisbus_mapping.envelope import Judged
from hisbus_mapping.mapping import Mapping
from hisbus_mapping.name import modules_of
from hisbus_schemas import Finding, PatientId, Text, VisitId, WriteBack

RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
_ONE = "an arrival of each message is needed: give the connector take(), or override arrive()"


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that was taken, and what was decided of it."""

    arrival: Arrival
    judged: Judged
    verdict: Verdict


class Store:
    """A sink that judges what arrives as the bus does, and remembers it."""

    def __init__(self, connector: Connector) -> None:
        self._mapping = Mapping(connector)
        self.stored: list[Stored] = []

    async def __call__(self, arrival: Arrival) -> Verdict:
        """Take a message."""
        judged = self._mapping.judge(arrival)
        verdict = Verdict(judged.code, arrival.acknowledge(judged.code))
        self.stored.append(Stored(arrival, judged, verdict))
        return verdict


class Cursor:
    """A place that remembers what it was given."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor

    async def load(self) -> str:
        """Return what was stored last."""
        return self.cursor

    async def store(self, cursor: str) -> None:
        """Remember how far the source was read."""
        self.cursor = cursor


class ConnectorContract:
    """What every connector must do. Name the object in ``connector``, and give messages that it reads."""

    connector: Connector
    messages: Sequence[bytes]
    """Whole messages, no two alike, each as ``read`` takes it."""
    broken: Sequence[bytes] = ()
    """Bytes that ``read`` refuses."""
    unreachable: Connector | None = None
    """One that writes, to a HIS that takes no connections."""

    async def arrive(self, message: bytes) -> Arrival:
        """Return a message as ``listen`` hands it over."""
        store = Store(self.connector)
        assert isinstance(self.connector, Playable), _ONE
        await self.connector.take(message, store)
        return store.stored[0].arrival

    def timeless(self, acknowledgement: str) -> str:
        """Return an acknowledgement without the time when it was made; override it where it says one."""
        return acknowledgement

    def test_it_declares_everything_that_the_bus_goes_by(self) -> None:
        """What a class does not inherit from Connector it must have."""
        assert isinstance(self.connector, Connector), "see hisbus.Connector for what is needed"
        assert self.connector.name and ZoneInfo(self.connector.timezone)
        assert self.connector.clock in ("wall", "feed")
        given = {type(item) for pair in self.connector.meaning.items() for item in pair}
        assert given <= {str}, "meaning holds texts"

    def test_its_profile_compiles_and_has_a_name(self) -> None:
        """The name is the same each time: nothing of it depends on the run."""
        assert Mapping(self.connector).name == Mapping(self.connector).name

    def test_the_code_that_reads_is_part_of_the_mapping_s_name(self) -> None:
        """Else replay would not find what a mended reader changes."""
        known = modules_of(Mapping(self.connector).profile, self.connector)
        for message in self.messages:
            made_in = type(self.connector.read(_raw(message))).__module__
            assert made_in in known, f"{made_in} is not seen: `read` must name what it makes, or the function import it"

    def test_check_says_sentences(self) -> None:
        """Each names what is wrong; none means that all is well."""
        assert all(isinstance(one, str) and one for one in asyncio.run(self.connector.check()))

    def test_reading_is_pure(self) -> None:
        """A replay reads a message again and must find the same."""
        mapping = Mapping(self.connector)
        for message in self.messages:
            assert _meaning(mapping, message) == _meaning(mapping, message)

    def test_what_cannot_be_read_is_refused_with_the_same_code_each_time(self) -> None:
        """The code is stored, answered and shown."""
        for message in self.broken:
            codes = {_refusal(self.connector, message) for _ in range(2)}
            assert len(codes) == 1 and "" not in codes, "read must raise BadMessage with a stable code"

    def test_what_was_refused_is_judged_anew_by_its_bytes_and_what_was_cut_is_not(self) -> None:
        """What cannot be read is refused with the same code; the verdict on size is never taken back."""
        mapping = Mapping(self.connector)
        for message in self.messages:
            arrival, judged = mapping.judge_again(Raw("id", message, RECEIVED), "too_large")
            assert (arrival.id, arrival.body, judged.code) == ("id", message, "too_large")
        for message in self.broken:
            code = _refusal(self.connector, message)
            assert mapping.judge_again(Raw("id", message, RECEIVED), code)[1].code == code

    def test_a_file_with_one_message_is_split_into_it(self) -> None:
        """Conversations are played from files."""
        for message in self.messages:
            assert self.connector.split(message) == [message]

    async def test_a_copy_has_the_same_identity_and_another_message_another(self) -> None:
        """A sender that got no answer sends again."""
        ids = [(await self.arrive(message)).id for message in self.messages]
        assert ids == [(await self.arrive(message)).id for message in self.messages]
        assert len(set(ids)) == len(ids), "different messages have one id"

    async def test_verdict_and_acknowledgement_are_pure(self) -> None:
        """They depend on the message and the configuration alone, so a copy is answered the same."""
        mapping = Mapping(self.connector)
        for message in (*self.messages, *self.broken):
            one, other = [await self.arrive(message) for _ in range(2)]
            judged = mapping.judge(one)
            assert judged == mapping.judge(other)
            acks = {self.timeless(arrival.acknowledge(judged.code)) for arrival in (one, other)}
            assert len(acks) == 1, "a copy is answered the same, but for the time"

    async def test_nothing_begins_before_there_is_a_connection(self) -> None:
        """What has begun and has no answer is undecided, and a person must look."""
        if self.unreachable is None:
            return
        begun: list[bool] = []
        writeback = Mapping(self.unreachable).leaving(make_writeback(self.unreachable.name))

        async def begin() -> None:
            begun.append(True)

        try:
            await self.unreachable.write(writeback, begin)
        except RetryLater:
            assert not begun, "begin was awaited without a connection"
        else:
            raise AssertionError("a HIS that takes no connections is RetryLater")


def make_writeback(connector: str, **fields: Any) -> WriteBack:
    """Return a write-back: an accepted finding."""
    said = Text(zh="缺入院记录", en="The admission note is missing")
    known = {
        "id": "0123456789abcdef", "connector": connector, "proposal": "p", "decision": "d",
        "agent": "qc", "user": "ann",
        "approved": Finding(key="R01", rule="R01", message=said), "decided": RECEIVED,
        "visit": VisitId(authority="HOSP", number="V1"), "patient": PatientId(authority="HOSP", number="P1"),
    }  # fmt: skip
    return WriteBack(**known | fields)


def _raw(message: bytes) -> Raw:
    return Raw("m", message, RECEIVED)


def _meaning(mapping: Mapping, message: bytes) -> Translation | str:
    try:
        return mapping.translate(_raw(message))
    except BadMessage as error:
        return error.code


def _refusal(connector: Connector, message: bytes) -> str:
    try:
        connector.read(_raw(message))
    except BadMessage as error:
        return error.code
    return ""
