"""One message with what is needed to understand it, and HL7's data types as ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from hisbus import Raw
from hisbus_hl7v2.mapping.tables import Tables
from hisbus_hl7v2.message import Message, Segment
from hisbus_hl7v2.notation import NULL
from hisbus_hl7v2.timestamp import moment
from hisbus_schemas import Code, Moment, PatientId, Person, VisitId

Word = TypeVar("Word")

FUTURE = timedelta(days=1)
"""A source time further ahead of its reception than this is flagged."""

_IDEOGRAPHS = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(slots=True)
class Source:
    """A message on its way to facts.

    ``flags`` collects what was read with a reservation, ``unread`` the segments whose kind is read and which were not.
    """

    message: Message
    raw: Raw
    connector: str
    zone: ZoneInfo
    tables: Tables
    flags: list[str] = field(default_factory=list)
    unread: list[Segment] = field(default_factory=list)

    def flag(self, flag: str) -> None:
        """Note a reservation, once."""
        if flag not in self.flags:
            self.flags.append(flag)

    def word(self, table: Mapping[str, Word], segment: Segment, number: int) -> Word | None:
        """Return our word for the code of a field; one that the table lacks is flagged and says nothing."""
        code = segment.get(number)
        if code and code not in table:
            self.flag(f"unknown_code.{segment.name}-{number}")
        return table.get(code)

    def time(self, segment: Segment, number: int) -> Moment | None:
        """Return a time field (TS, DTM); one that cannot be read is flagged and says nothing."""
        text = segment.get(number)
        if not text:
            return None
        read = moment(text, self.zone)
        if read is None:
            self.flag(f"bad_time.{segment.name}-{number}")
        return read

    def date(self, segment: Segment, number: int) -> date | None:
        """Return the day of a time field, as its source wrote it."""
        text = segment.get(number)[:8]
        if not text:
            return None
        try:
            if len(text) == 8 and text.isascii() and text.isdigit():
                return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            pass  # flagged like any other text that is no day
        self.flag(f"bad_time.{segment.name}-{number}")
        return None

    def numbers(self, segment: Segment, number: int) -> list[tuple[str, str, str]]:
        """Return number, authority and type (CX.5) of each number of a list (CX).

        The authority is the name of CX.4, else its universal id, else the connector's name.
        """
        part, component = self.message.part, self.message.delimiters.component
        found = []
        for repetition in segment.repetitions(number):
            id, _, _, authority, type, *_ = [*repetition.split(component, 5), "", "", "", ""]
            if id := part(id):
                found.append((id, part(authority) or part(authority, 1, 2) or self.connector, part(type)))
        return found

    def patient_id(self, segment: Segment, number: int) -> PatientId | None:
        """Return the patient's number: the medical record number, else the first."""
        numbers = self.numbers(segment, number)
        if not numbers:
            return None
        wanted = self.tables.medical_record
        id, authority, _ = next((item for item in numbers if item[2] == wanted), numbers[0])
        return PatientId(authority=authority, number=id)

    def visit_id(self, segment: Segment, number: int) -> VisitId | None:
        """Return a visit's number."""
        for id, authority, _ in self.numbers(segment, number):
            return VisitId(authority=authority, number=id)
        return None

    def code(self, segment: Segment, number: int) -> Code:
        """Return a coded value (CE, CWE)."""
        code, text, system = segment.values(number, 3)
        return Code(code=code, text=text, system=system)

    def person(self, segment: Segment, number: int) -> Person | None:
        """Return a member of staff (XCN)."""
        if segment.raw(number) in ("", NULL):
            return None
        id, family, given, _, _, prefix, degree = segment.values(number, 7)
        return Person(id=id, name=joined(family, given), title=" ".join(filter(None, (prefix, degree))))

    def notes(self, nte: Segment) -> list[str]:
        """Return what a note says (NTE-3), a text for each repetition."""
        texts = (self.message.decoded(item) for item in nte.repetitions(3))
        return [text for text in texts if text.strip()]


def joined(family: str, given: str) -> str:
    """Return a name in one piece, family name first; written in ideographs it has no space."""
    if not family or not given:
        return family or given
    return f"{family}{'' if _IDEOGRAPHS.search(family + given) else ' '}{given}"


def source_time(message: Message, zone: ZoneInfo) -> tuple[Moment | None, list[str]]:
    """Return when it happened (EVN-6, else EVN-2, else MSH-7), and flags for what could not be read as a time."""
    flags: list[str] = []
    event = message.first("EVN")
    for segment, number in ((event, 6), (event, 2), (message.segments[0], 7)):
        text = segment.get(number) if segment is not None else ""
        if not text:
            continue
        read = moment(text, zone)
        if read is not None:
            return read, flags
        flags.append(f"bad_time.{'MSH' if number == 7 else 'EVN'}-{number}")
    return None, flags
