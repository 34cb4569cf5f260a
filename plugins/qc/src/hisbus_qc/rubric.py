"""The score: what accepted findings take from a record, and the grade that is left.

Three layers stay apart. A *finding* is a fact with its evidence. A *rubric* says what it costs: points, the most that
an item and a section can cost, and vetoes. The *grade* follows from the total by cut-offs. A rubric is data
(``rubrics/*.toml`` or a hospital's own file) and has a version, which the score carries.

    score = scored(RUBRICS["record-100"], [Entry.of(finding) for finding in accepted])

Only what a person accepted belongs in a score; what is accepted, the caller knows.
"""

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hisbus import ConfigError
from hisbus_qc.rulebook import PACKS
from hisbus_schemas import Finding, Text


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Veto(_Closed):
    """What a defect does to the total beside its points. Exactly one of the three."""

    deduct_n: float | None = None
    """So many points are taken for the item, once, instead of all its others."""
    set_total_to: float | None = None
    """The total is at most this."""
    downgrade_to: str | None = None
    """The grade is at best this."""

    @model_validator(mode="after")
    def _one(self) -> "Veto":
        if sum(value is not None for value in (self.deduct_n, self.set_total_to, self.downgrade_to)) != 1:
            raise ValueError("needs one of deduct_n, set_total_to, downgrade_to")
        return self


class Line(_Closed):
    """One item of a rubric: the findings that it is about, by their keys (``R50:*FP.SEX``, ``*`` for any run)."""

    id: str
    title: Text
    findings: tuple[str, ...]
    points: float | None = None
    """What each takes; None: what the finding says."""
    cap: float | None = None
    """The most that the item takes."""
    accumulates: bool = True
    """False: only the dearest finding of the item takes points."""
    veto: Veto | None = None
    defect: str = ""
    """Its class (乙, 丙), for ``Section`` counts."""


class Section(_Closed):
    """A section, and the most that it can take."""

    id: str
    title: Text
    cap: float
    items: tuple[Line, ...]


class DefectVeto(_Closed):
    """What so many defects of one class do to the total."""

    defect: str
    at_least: int
    at_most: int | None = None
    veto: Veto


class Grade(_Closed):
    """A grade and the least total for it."""

    name: str
    at_least: float


class Rubric(_Closed):
    """A scale."""

    id: str
    version: str
    title: Text
    source: str
    packs: tuple[str, ...] = ()
    """The packs of rules that it goes with; none: a site's own."""
    total: float = 100
    sections: tuple[Section, ...]
    defects: tuple[DefectVeto, ...] = ()
    grades: tuple[Grade, ...] = ()
    """Best first; the last takes what is left. None: the scale has points alone."""

    @model_validator(mode="after")
    def _grades_fall(self) -> "Rubric":
        cuts = [grade.at_least for grade in self.grades]
        if cuts and (cuts != sorted(cuts, reverse=True) or cuts[-1] > 0):
            raise ValueError("grades fall, and the last begins at 0")
        names = {grade.name for grade in self.grades}
        vetoes = [item.veto for section in self.sections for item in section.items] + [d.veto for d in self.defects]
        if any(veto and veto.downgrade_to not in {None, *names} for veto in vetoes):
            raise ValueError("downgrade_to names a grade")
        return self

    def graded(self, cut_offs: Mapping[str, float]) -> "Rubric":
        """Return the rubric with a hospital's own cut-offs, by the grade's name.

        Raises:
            ConfigError: there is no such grade, or they do not fall.
        """
        unknown = cut_offs.keys() - {grade.name for grade in self.grades}
        if unknown:
            raise ConfigError(f"{self.id} has no grade {min(unknown)}")
        grades = [
            grade.model_copy(update={"at_least": cut_offs.get(grade.name, grade.at_least)}) for grade in self.grades
        ]
        try:
            return Rubric.model_validate(self.model_dump() | {"grades": grades})
        except ValidationError as error:
            raise ConfigError(f"the grades of {self.id} must fall, the last to 0") from error


class Entry(_Closed):
    """One accepted defect: found by a rule, or entered by a person."""

    key: str
    fingerprint: str = ""
    """Of the finding in the revision that was accepted."""
    points: float = 0
    source: Literal["auto", "manual"] = "auto"
    line: str = ""
    """Id of the rubric's item, for what a person enters; of a finding its key decides."""

    @classmethod
    def of(cls, finding: Finding) -> "Entry":
        """Return the entry of a finding that a person accepted.

        A finding of a model takes nothing by itself; what it costs, once accepted, stands in its payload.
        """
        points = finding.payload["points"] if finding.model else finding.points
        return cls(key=finding.key, fingerprint=finding.stamp(), points=points)


class Deduction(_Closed):
    """What one entry took, and why not more."""

    key: str
    fingerprint: str
    source: Literal["auto", "manual"]
    section: str
    line: str
    asked: float
    taken: float
    held: Literal["", "not_accumulated", "item_cap", "section_cap", "veto"] = ""
    """What kept it from taking all."""


class Vetoed(_Closed):
    """A veto that was applied, and the entries it comes from."""

    veto: Veto
    keys: tuple[str, ...]
    line: str = ""
    defect: str = ""


class Score(_Closed):
    """The score of a record under one version of a rubric; ``taken`` of all deductions is 100 less ``points``."""

    rubric: str
    version: str
    points: float
    """What is left by deductions, before totals are set."""
    total: float
    grade: str
    """Empty: the scale has none."""
    deductions: tuple[Deduction, ...]
    vetoes: tuple[Vetoed, ...]
    unscored: tuple[str, ...]
    """Keys of entries that no item is about."""


def scored(rubric: Rubric, entries: Iterable[Entry]) -> Score:
    """Score accepted entries; their order does not matter, and one key counts once."""
    there = sorted({entry.key: entry for entry in entries}.values(), key=lambda entry: entry.key)
    lines = {entry.key: _line(rubric, entry) for entry in there}
    deductions: list[Deduction] = []
    vetoes: list[Vetoed] = []
    for section in rubric.sections:
        taken: list[Deduction] = []
        for item in section.items:
            own = [entry for entry in there if lines[entry.key] is item]
            if own:
                taken += _capped(_deducted(section, item, own), item.cap, "item_cap")
                if item.veto:
                    vetoes.append(Vetoed(veto=item.veto, keys=tuple(entry.key for entry in own), line=item.id))
        deductions += _capped(taken, section.cap, "section_cap")
    vetoes += _by_defects(rubric, {entry.key: line for entry in there if (line := lines[entry.key])})
    points = rubric.total - sum(item.taken for item in deductions)
    total = min([max(points, 0), *(v.veto.set_total_to for v in vetoes if v.veto.set_total_to is not None)])
    unscored = tuple(entry.key for entry in there if lines[entry.key] is None)
    return Score(
        rubric=rubric.id,
        version=rubric.version,
        points=points,
        total=total,
        grade=_grade(rubric, total, vetoes),
        deductions=tuple(deductions),
        vetoes=tuple(vetoes),
        unscored=unscored,
    )


def _line(rubric: Rubric, entry: Entry) -> Line | None:
    """Return the item that an entry is of: the first that names it."""
    for section in rubric.sections:
        for item in section.items:
            named = entry.line == item.id if entry.line else any(_is_of(entry.key, name) for name in item.findings)
            if named:
                return item
    return None


def _is_of(key: str, pattern: str) -> bool:
    """Tell whether a key is named; a bare rule or part names all its subjects."""
    return key == pattern or key.startswith(f"{pattern}:") or fnmatchcase(key, pattern)


def _deducted(section: Section, item: Line, entries: Sequence[Entry]) -> list[Deduction]:
    """Return what the entries of an item take, before caps. A veto of points stands for all of them."""
    found = []
    dearest = max(entries, key=lambda entry: (_asked(item, entry), entry.key))
    for entry in entries:
        asked = _asked(item, entry)
        taken, held = asked, ""
        if item.veto and item.veto.deduct_n is not None:
            taken, held = (item.veto.deduct_n, "") if entry is dearest else (0.0, "veto")
        elif not item.accumulates and entry is not dearest:
            taken, held = 0.0, "not_accumulated"
        found.append(
            Deduction.model_validate(
                {
                    "key": entry.key,
                    "fingerprint": entry.fingerprint,
                    "source": entry.source,
                    "section": section.id,
                    "line": item.id,
                    "asked": asked,
                    "taken": taken,
                    "held": held,
                }
            )
        )
    return found


def _asked(item: Line, entry: Entry) -> float:
    return entry.points if item.points is None else item.points


def _capped(
    deductions: Sequence[Deduction], cap: float | None, held: Literal["item_cap", "section_cap"]
) -> list[Deduction]:
    """Return deductions that together take no more than a cap, the first ones first."""
    left, found = cap, []
    for item in deductions:
        if left is None or item.taken <= left:
            found.append(item)
        else:
            found.append(item.model_copy(update={"taken": left, "held": held}))
        left = None if left is None else left - found[-1].taken
    return found


def _by_defects(rubric: Rubric, lines: Mapping[str, Line]) -> list[Vetoed]:
    """Return the vetoes that come of how many defects of a class there are."""
    counts = Counter(line.defect for line in lines.values() if line.defect)
    return [
        Vetoed(
            veto=rule.veto,
            keys=tuple(key for key, line in lines.items() if line.defect == rule.defect),
            defect=rule.defect,
        )
        for rule in rubric.defects
        if counts[rule.defect] >= rule.at_least and (rule.at_most is None or counts[rule.defect] <= rule.at_most)
    ]


def _grade(rubric: Rubric, total: float, vetoes: Sequence[Vetoed]) -> str:
    names = [grade.name for grade in rubric.grades]
    if not names:
        return ""
    by_total = next(index for index, grade in enumerate(rubric.grades) if total >= grade.at_least)
    return names[max([by_total, *(names.index(v.veto.downgrade_to) for v in vetoes if v.veto.downgrade_to)])]


def read(text: str, where: str) -> Rubric:
    """Return the rubric of a file.

    Raises:
        ConfigError: something in it is wrong; the message names the file and the key.
    """
    try:
        return Rubric.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: is not TOML") from error
    except ValidationError as error:
        said = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise ConfigError(f"{where}: {'.'.join(map(str, said['loc']))} {said['msg']}") from error


def load(folder: Path, packs: Collection[str] = PACKS) -> dict[str, Rubric]:
    """Return the rubrics of the packs that a site names and over them, by id, those of a hospital's folder.

    Raises:
        ConfigError: a file is wrong.
    """
    own = [_read(file) for file in sorted(folder.glob("*.toml"))]
    known = {id: rubric for id, rubric in RUBRICS.items() if {*rubric.packs} & {*packs}}
    return known | {rubric.id: rubric for rubric in own}


def _read(file: Path) -> Rubric:
    try:
        return read(file.read_text(encoding="utf-8"), file.name)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file.name}: is not in UTF-8") from error


def _load() -> Mapping[str, Rubric]:
    there = [item for item in files("hisbus_qc").joinpath("rubrics").iterdir() if item.name.endswith(".toml")]
    read_ = [read(item.read_text(encoding="utf-8"), item.name) for item in sorted(there, key=lambda item: item.name)]
    return {rubric.id: rubric for rubric in read_}


RUBRICS: Mapping[str, Rubric] = _load()
"""The rubrics of the plugin, by id."""
