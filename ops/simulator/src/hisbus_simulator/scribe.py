"""When the things of a stay happen and in what words: its story, read for this patient and this plan."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from hisbus_simulator.defects import planted
from hisbus_simulator.facts import Filed, Operation, Place, Section
from hisbus_simulator.people import Doctor, Patient, age_on
from hisbus_simulator.plan import Plan, signing
from hisbus_simulator.vitals import measured

TITLES = {
    "C0003": "急诊留观病历",
    "C0008": "有创诊疗操作记录",
    "C0009": "手术记录",
    "C0011": "麻醉记录",
    "C0013": "输血记录",
    "C0017": "一般护理记录",
    "C0019": "手术护理记录",
    "C0026": "手术知情同意书",
    "C0027": "麻醉知情同意书",
    "C0028": "输血治疗同意书",
    "C0032": "住院病案首页",
    "C0034": "入院记录",
    "C0035": "24小时内入出院记录",
    "C0037": "首次病程记录",
    "C0038": "日常病程记录",
    "C0039": "上级医师查房记录",
    "C0042": "转科记录",
    "C0044": "抢救记录",
    "C0045": "会诊记录",
    "C0046": "术前小结",
    "C0047": "术前讨论记录",
    "C0048": "术后首次病程记录",
    "C0049": "出院记录",
    "C0050": "死亡记录",
}
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_MENOPAUSE = 52
"""Years."""
_MENSES = ("月经周期规则，无痛经，近期无停经及异常阴道出血", "已绝经，绝经后无异常阴道出血")


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part in a stay, where and when."""

    visit: str
    patient: Patient
    doctor: Doctor
    surgeon: Doctor
    place: Place
    admitted: datetime


@cache
def story(name: str) -> dict[str, Any]:
    """Return a story's texts and numbers."""
    text = resources.files(__package__).joinpath("stories", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


class Scribe:
    """Reads a story for one stay."""

    def __init__(self, cast: Cast, plan: Plan, rng: Random) -> None:
        self.cast, self.plan, self._rng = cast, plan, rng
        self._story = story(plan.story)
        self._variant = rng.choice(self._story["variants"])
        self._numbers = 0
        self._left = self._leaves()
        self._vitals = list(measured(self._story["course"], cast.admitted, self._left, rng))
        self._operations = list(self._operated())

    def _rows(self, kind: str) -> list[dict[str, Any]]:
        """Return what the story tells of a kind, and what the plan's defects and events add to it."""
        rows = [*self._story.get(kind, [])]
        for defect in planted(self.plan):
            rows += defect.adds.get(kind, [])
        return [row for row in rows if row.get("with", "") in {"", *self.plan.events}]

    def _operated(self) -> Iterator[Operation]:
        for n, row in enumerate(self._operation_rows(), 1):
            code, name = row["code"]
            start = self._at(row).replace(second=0)
            yield Operation(f"{self.cast.visit}-OP{n}", code, name, start, row["minutes"], row.get("kind", "O"))

    def _operation_rows(self) -> list[dict[str, Any]]:
        again = [self._story["reoperation"]] if "reoperation" in self.plan.events else []
        return [*self._story.get("operations", []), *again]

    # When

    def _leaves(self) -> datetime:
        begun = self.cast.admitted
        if not self.plan.days:
            return begun + timedelta(hours=17, minutes=self._rng.randrange(60))
        hour = time(5, 20) if self._story["ending"] == "C0050" else time(10, 30)
        return self._jitter(datetime.combine(begun.date() + self.plan.days * _DAY, hour, begun.tzinfo), 20)

    def _at(self, row: dict[str, Any]) -> datetime:
        """Return when a row of the story happens: minutes after admission, or a time on a day (-1: before the last)."""
        begun = self.cast.admitted
        if "after" in row:
            return begun + timedelta(minutes=row["after"], seconds=self._rng.randrange(240))
        if "before_leaving" in row:
            return self._left - timedelta(minutes=row["before_leaving"], seconds=self._rng.randrange(240))
        day = row["day"] if row["day"] >= 0 else self.plan.days + row["day"]
        clock = time.fromisoformat(row.get("time", "09:30"))
        return self._jitter(datetime.combine(begun.date() + day * _DAY, clock, begun.tzinfo), 12)

    def _moments(self, row: dict[str, Any]) -> Iterator[tuple[datetime, Operation | None]]:
        """Yield when a row happens: once, or for each operation so many minutes before its start or after its end."""
        if "before_operation" not in row and "after_operation" not in row:
            yield self._at(row), None
            return
        for operation in self._operations:
            if operation.kind != "O":
                continue
            if "before_operation" in row:
                yield operation.start - row["before_operation"] * _MINUTE, operation
            else:
                yield operation.end + row["after_operation"] * _MINUTE, operation

    def _jitter(self, moment: datetime, minutes: int) -> datetime:
        return moment + timedelta(seconds=self._rng.randrange(60 * minutes))

    def _number(self, kind: str) -> str:
        self._numbers += 1
        return f"{self.cast.visit}-{kind}{self._numbers:03}"

    # Texts

    def _write(self, text: str, at: datetime, operation: Operation | None = None) -> str:
        """Return a text of the story, filled with what holds for this patient at this time."""
        patient, begun = self.cast.patient, self.cast.admitted
        taken = max((moment, n) for n, (moment, _) in enumerate(self._vitals) if moment <= at or n == 0)[1]
        now, first = self._vitals[taken][1], self._vitals[0][1]
        return text.format(
            **self._variant,
            sex="男" if patient.male else "女",
            menses=_MENSES[age_on(patient.birth, begun.date()) >= _MENOPAUSE],
            married="已婚，配偶体健" if patient.married else "未婚",
            age=age_on(patient.birth, begun.date()),
            day=(at.date() - begun.date()).days,
            surgeon=self.cast.surgeon.name,
            t=now["temperature"].text,
            p=now["pulse"].text,
            r=now["respiration"].text,
            bp=f"{now['systolic'].text}/{now['diastolic'].text}",
            spo2=now["oxygen"].text,
            again=self._story["reoperation"]["course"] if "reoperation" in self.plan.events else "",
            arrival=f"{begun - self._story.get('arrived', 0) * _MINUTE:%Y-%m-%d %H:%M}",
            operation=operation.name if operation else "",
            start=f"{operation.start:%Y-%m-%d %H:%M}" if operation else "",
            admission_bp=f"{first['systolic'].text}/{first['diastolic'].text}",
        )

    def _sections(self, rows: list[list[str]], at: datetime, operation: Operation | None = None) -> tuple[Section, ...]:
        """Return sections; a row with a fourth word is of a woman's record only."""
        sex = "male" if self.cast.patient.male else "female"
        return tuple(
            Section(code, title, self._write(text, at, operation))
            for code, title, text, *only in rows
            if not only or sex in only
        )

    def _file(
        self,
        type: str,
        when: tuple[datetime, datetime | None],
        about: datetime,
        *rows: Section,
        part: str = "",
        by: str = "doctor",
    ) -> Filed:
        filed, signed = when
        return Filed(
            at=filed,
            visit=self.cast.visit,
            number=self._number("D"),
            type=type,
            title=TITLES[type],
            about=about,
            signed=signed,
            sections=rows,
            part=part,
            by=by,
        )

    def _due(self, rule: str, type: str, start: datetime, hours: int, usual: datetime, part: str) -> Iterator[Filed]:
        """File a document that a deadline asks for, as the plan says."""
        when = signing(self.plan.variant(rule), start + timedelta(hours=hours), usual, self._rng)
        if when:
            yield self._file(type, when, usual, *self._sections(self._story[part]["sections"], usual), part=part)
