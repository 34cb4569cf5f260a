"""The file that the directory of staff is imported from: CSV with a header row, UTF-8 or GB18030.

==============  ========================================  ==========================================================
column          known headers                             meaning
==============  ========================================  ==========================================================
``number``      number, 工号, 员工号, 职工号, 人员编号       required: the staff number, as the HIS sends it
``name``        name, 姓名                                 required
``authority``   authority, 发号机构                        who gave the number, as the HIS sends it; often nothing
``department``  department, 科室, 部门, 科室名称            as the HIS sends it
``title``       title, 职称                                professional title
``head``        head, 科主任, 负责人                        yes: head of the department, whom overdue work goes to
==============  ========================================  ==========================================================
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hisbus.errors import ConfigError
from hisbus_bus.kernel import spreadsheets
from hisbus_bus.kernel.people.users import LONGEST_DETAIL

HEADERS: Mapping[str, tuple[str, ...]] = {
    "number": ("number", "工号", "员工号", "职工号", "人员编号"),
    "name": ("name", "姓名"),
    "authority": ("authority", "发号机构"),
    "department": ("department", "科室", "部门", "科室名称"),
    "title": ("title", "职称"),
    "head": ("head", "科主任", "负责人"),
}
REQUIRED = ("number", "name")
_YES = {"1", "y", "yes", "true", "是", "√"}
_NO = {"", "0", "n", "no", "false", "否", "×"}
_ROUNDED = re.compile(r"\d+(\.\d+)?[eE]\+?\d+")
"""A long number as a spreadsheet shortens it."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member of staff, as the directory has them."""

    authority: str
    number: str
    name: str
    department: str = ""
    title: str = ""
    head: bool = False
    """Of the department."""

    @property
    def key(self) -> tuple[str, str]:
        """What names them: authority and number."""
        return self.authority, self.number


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a row, counted as a spreadsheet does: the header is row 1."""

    row: int
    reason: str


@dataclass(slots=True)
class Directory:
    """What was read."""

    people: list[Person] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


def read(content: bytes) -> Directory:
    """Read a file. Each mistake is named; where there is one, nothing of the file should be taken.

    Raises:
        ConfigError: it is in no encoding that is known, or nobody is in it.
    """
    rows = spreadsheets.rows(content)
    found, at = Directory(), 0
    try:
        at, header = next(rows, (1, []))
        places = _places(header, found.mistakes)
        seen: dict[tuple[str, str], int] = {}
        for at, cells in rows:
            if places and any(cell.strip() for cell in cells):
                _take(found, at, cells, len(header), places, seen)
    except csv.Error:
        found.mistakes.append(Mistake(at + 1, "its quotes do not close"))
    if not found.people and not found.mistakes:
        raise ConfigError("The file names nobody. Export the whole directory: who is missing would count as gone.")
    return found


def _places(header: list[str], mistakes: list[Mistake]) -> dict[str, int]:
    """Return the place of each column; none where the header cannot be gone by."""
    fields = {known: name for name, headers in HEADERS.items() for known in headers}
    places: dict[str, int] = {}
    for place, given in enumerate(header):
        name = fields.get(given.strip().casefold())
        if name is None:
            mistakes.append(Mistake(1, f"column {place + 1} is not known. Known columns: {', '.join(HEADERS)}"))
        elif name in places:
            mistakes.append(Mistake(1, f"columns {places[name] + 1} and {place + 1} are both {name}"))
        else:
            places[name] = place
    mistakes += [Mistake(1, f"the column {name} is missing") for name in REQUIRED if name not in places]
    return {} if mistakes else places


def _take(
    found: Directory,
    row: int,
    cells: list[str],
    width: int,
    places: Mapping[str, int],
    seen: dict[tuple[str, str], int],
) -> None:
    if len(cells) != width:
        found.mistakes.append(Mistake(row, f"{len(cells)} cells where the header has {width}"))
        return
    values = {name: cells[places[name]].strip() if name in places else "" for name in HEADERS}
    wrong = [f"{name} {reason}" for name, value in values.items() if (reason := _wrong(name, value))]
    found.mistakes += [Mistake(row, reason) for reason in wrong]
    head = values.pop("head").casefold() in _YES
    person = Person(**values, head=head)
    if person.number and person.key in seen:
        found.mistakes.append(Mistake(row, f"its number stands in row {seen[person.key]} already"))
    elif not wrong:
        found.people.append(person)
    seen.setdefault(person.key, row)


def _wrong(name: str, value: str) -> str:
    """Return what is wrong with a value; nothing where it is right. The value itself is not repeated."""
    if not value and name in REQUIRED:
        return "is empty"
    if value.startswith(spreadsheets.FORMULA):
        return "begins with =, +, - or @, which a spreadsheet takes for a formula"
    if not value.isprintable():
        return "holds a line break or a character that cannot be printed"
    if len(value) > LONGEST_DETAIL:
        return f"is longer than {LONGEST_DETAIL} characters"
    if name == "number" and _ROUNDED.fullmatch(value):
        return "was shortened by a spreadsheet: make the column text, and export again"
    if name == "head" and value.casefold() not in _YES | _NO:
        return "is neither yes nor no"
    return ""
