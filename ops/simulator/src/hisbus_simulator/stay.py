"""Tell a stay from its story, its patient and its plan: the facts, in no particular order."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from hisbus_simulator.facts import (
    AdmissionCancelled,
    Admitted,
    DischargeCancelled,
    Discharged,
    Fact,
    Filed,
    Measured,
    Merged,
    Operation,
    Place,
    Reading,
    Reported,
    Section,
    Transferred,
    Updated,
)
from hisbus_simulator.frontpage import front_page, spoilt
from hisbus_simulator.people import PEOPLE, Doctor, Patient, age_on
from hisbus_simulator.plan import Plan, signing
from hisbus_simulator.vitals import measured

_TITLES = {
    "C0009": "手术记录",
    "C0032": "住院病案首页",
    "C0034": "入院记录",
    "C0035": "24小时内入出院记录",
    "C0037": "首次病程记录",
    "C0038": "日常病程记录",
    "C0039": "上级医师查房记录",
    "C0049": "出院记录",
    "C0050": "死亡记录",
}
_ONE_MORE_SENTENCE = "今晨诉咽部轻度干痒不适，嘱其淡盐水漱口。"
_DAY = timedelta(days=1)


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


class Stay:
    """One stay, ready to be told."""

    def __init__(self, cast: Cast, plan: Plan, rng: Random) -> None:
        self.cast, self.plan, self._rng = cast, plan, rng
        self._story = story(plan.story)
        self._variant = rng.choice(self._story["variants"])
        self._numbers = 0
        self._left = self._leaves()
        self._vitals = list(measured(self._story["course"], cast.admitted, self._left, rng))
        self._operations = list(self._operated())

    def facts(self, end: datetime) -> list[Fact]:
        """Return what happens until the end of the week; who leaves later is still in bed then."""
        if "cancelled" in self.plan.events:
            mistake = self.cast.admitted + timedelta(minutes=150)
            cancelled = AdmissionCancelled(at=mistake, visit=self.cast.visit)
            return [self._admission(), *(fact for fact in self._measurements() if fact.at < mistake), cancelled]
        told = [self._admission(), *self._measurements(), *self._reports(), *self._course_of_the_stay()]
        told += [*self._first_documents(), *self._notes(), *self._surgery()]
        if self._left.date() < (end - _DAY).date():
            told += self._ending()
        return [fact for fact in told if fact.at < end]

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
        day = row["day"] if row["day"] >= 0 else self.plan.days + row["day"]
        clock = time.fromisoformat(row.get("time", "09:30"))
        return self._jitter(datetime.combine(begun.date() + day * _DAY, clock, begun.tzinfo), 12)

    def _jitter(self, moment: datetime, minutes: int) -> datetime:
        return moment + timedelta(seconds=self._rng.randrange(60 * minutes))

    def _number(self, kind: str) -> str:
        self._numbers += 1
        return f"{self.cast.visit}-{kind}{self._numbers:03}"

    # Vital signs

    def _measurements(self) -> Iterator[Measured]:
        code, _, wrong = self.plan.variant("R27").partition("=")
        for n, (at, taken) in enumerate(self._vitals):
            readings = list(taken.values())
            if wrong and n == len(self._vitals) // 3:
                readings = [
                    self._with(reading, float(wrong)) if reading.code == code else reading for reading in readings
                ]
            yield Measured(at=at, visit=self.cast.visit, number=self._number("V"), readings=tuple(readings))

    @staticmethod
    def _with(reading: Reading, value: float) -> Reading:
        return Reading(reading.code, reading.name, value, reading.unit, reading.low, reading.high, reading.digits)

    # Texts

    def _write(self, text: str, at: datetime) -> str:
        """Return a text of the story, filled with what holds for this patient at this time."""
        patient, begun = self.cast.patient, self.cast.admitted
        taken = max((moment, n) for n, (moment, _) in enumerate(self._vitals) if moment <= at or n == 0)[1]
        now, first = self._vitals[taken][1], self._vitals[0][1]
        return text.format(
            **self._variant,
            sex="男" if patient.male else "女",
            age=age_on(patient.birth, begun.date()),
            day=(at.date() - begun.date()).days,
            surgeon=self.cast.surgeon.name,
            t=now["temperature"].text,
            p=now["pulse"].text,
            r=now["respiration"].text,
            bp=f"{now['systolic'].text}/{now['diastolic'].text}",
            spo2=now["oxygen"].text,
            again=self._story["reoperation"]["course"] if "reoperation" in self.plan.events else "",
            admission_bp=f"{first['systolic'].text}/{first['diastolic'].text}",
        )

    def _sections(self, rows: list[list[str]], at: datetime) -> tuple[Section, ...]:
        return tuple(Section(code, title, self._write(text, at)) for code, title, text in rows)

    def _file(self, type: str, when: tuple[datetime, datetime | None], about: datetime, *rows: Section) -> Filed:
        filed, signed = when
        return Filed(
            at=filed,
            visit=self.cast.visit,
            number=self._number("D"),
            type=type,
            title=_TITLES[type],
            about=about,
            signed=signed,
            sections=rows,
        )

    def _due(self, rule: str, type: str, start: datetime, hours: int, usual: datetime, part: str) -> Iterator[Filed]:
        """File a document that a deadline asks for, as the plan says."""
        when = signing(self.plan.variant(rule), start + timedelta(hours=hours), usual, self._rng)
        if when:
            yield self._file(type, when, usual, *self._sections(self._story[part]["sections"], usual))

    # What is told

    def _admission(self) -> Admitted:
        diagnoses = self._diagnoses("admitting")
        return Admitted(at=self.cast.admitted, visit=self.cast.visit, admitted=self.cast.admitted, diagnoses=diagnoses)

    def _diagnoses(self, kind: str) -> tuple[tuple[str, str], ...]:
        return tuple((code, text) for code, text in self._story["diagnoses"][kind])

    def _first_documents(self) -> Iterator[Filed]:
        begun = self.cast.admitted
        first = begun + timedelta(minutes=self._rng.randint(70, 200), seconds=self._rng.randrange(60))
        yield from self._due("R02", "C0037", begun, 8, first, "first_note")
        if "admission" in self._story:
            usual = begun + timedelta(minutes=self._rng.randint(210, 420), seconds=self._rng.randrange(60))
            yield from self._due("R01", "C0034", begun, 24, usual, "admission")

    def _reports(self) -> Iterator[Reported]:
        for row in [*self._story["labs"], *self._story["images"]]:
            taken = self._at(row)
            readings = tuple(
                Reading(code, name, round(self._rng.gauss(mean, spread), digits), unit, low, high, digits)
                for code, name, unit, low, high, mean, spread, digits in row.get("items", [])
            )
            sections: tuple[Section, ...] = ()
            if "finding" in row:
                rows = [["FINDING", "检查所见", row["finding"]], ["IMPRESSION", "诊断意见", row["impression"]]]
                sections = self._sections(rows, taken)
            reported = taken + timedelta(minutes=self._rng.randint(15, 45))
            if self.cast.admitted < reported < self._left:
                yield Reported(
                    at=reported,
                    visit=self.cast.visit,
                    number=self._number("L"),
                    service=(row["service"][0], row["service"][1]),
                    ordered=taken,
                    readings=readings,
                    sections=sections,
                )

    def _notes(self) -> Iterator[Filed]:
        notes = self._story.get("notes", [])
        days = range(1, self.plan.days)
        copied, previous = self.plan.variant("R45"), ""
        for n, day in enumerate(days):
            template = notes[round(n * (len(notes) - 1) / max(len(days) - 1, 1))]["text"]
            if "reoperation" in self.plan.events and day == self._story["reoperation"]["day"]:
                template = self._story["reoperation"]["note"]
            about = self._at({"day": day, "time": "08:30"})
            text = self._write(previous if copied and n == 2 else template, about)
            if copied == "changed" and n == 2:
                text += _ONE_MORE_SENTENCE
            previous = template
            yield self._progress("C0038", about, Section("NOTE", "病程记录", text))
        for row in self._story.get("rounds", []):
            about = self._at(row | {"time": "10:20"})
            if about < self._left:
                yield self._progress("C0039", about, Section("ROUND", "查房记录", self._write(row["text"], about)))

    def _progress(self, type: str, about: datetime, section: Section) -> Filed:
        signed = about + timedelta(minutes=self._rng.randint(10, 70))
        return self._file(type, (signed + timedelta(seconds=self._rng.randint(2, 90)), signed), about, section)

    def _course_of_the_stay(self) -> Iterator[Fact]:
        visit, begun = self.cast.visit, self.cast.admitted
        if self.plan.days:
            yield Updated(at=begun + timedelta(hours=21), visit=visit, diagnoses=self._diagnoses("final")[:1])
        if "merge" in self.plan.events:
            yield Merged(at=begun + timedelta(hours=19), visit=visit)
        if "transfer" in self.plan.events:
            yield Transferred(
                at=begun + timedelta(hours=30), visit=visit, place=Place("W9", "901", self.cast.place.bed)
            )

    def _operated(self) -> Iterator[Operation]:
        rows = [*self._story.get("operations", [])]
        if "reoperation" in self.plan.events:
            rows.append(self._story["reoperation"])
        for n, row in enumerate(rows, 1):
            code, name = row["code"]
            start = self._at(row).replace(second=0)
            yield Operation(f"{self.cast.visit}-OP{n}", code, name, start, row["minutes"])

    def _surgery(self) -> Iterator[Fact]:
        rows = [*self._story.get("operations", []), self._story.get("reoperation", {})]
        for n, (operation, row) in enumerate(zip(self._operations, rows, strict=False)):
            known = operation.end + timedelta(minutes=3)
            yield Updated(at=known, visit=self.cast.visit, operations=(operation,))
            usual = operation.end + timedelta(minutes=self._rng.randint(40, 260))
            variant = self.plan.variant("R10") if n == 0 else ""
            if self.plan.variant("R10") == "second-absent":
                variant = "absent" if n else ""
            when = signing(variant, operation.end + _DAY, usual, self._rng)
            if when:
                yield self._file("C0009", when, operation.start, *self._sections(row["sections"], usual))

    def _ending(self) -> Iterator[Fact]:
        left, visit = self._left, self.cast.visit
        if "discharge-cancelled" in self.plan.events:
            early = left - 2 * _DAY
            yield Discharged(at=early, visit=visit, discharged=early)
            yield DischargeCancelled(at=early + timedelta(hours=27, minutes=12), visit=visit)
        yield Discharged(
            at=left,
            visit=visit,
            discharged=left,
            died=self._story["ending"] == "C0050",
            diagnoses=self._diagnoses("final"),
            operations=tuple(self._operations),
        )
        usual = left + timedelta(minutes=self._rng.randint(25, 300))
        yield from self._due("R13", self._story["ending"], left, 24, usual, "discharge")
        yield from self._front_pages(left + timedelta(minutes=self._rng.randint(310, 900)))

    def _front_pages(self, signed: datetime) -> Iterator[Filed]:
        patient, variant = self.cast.patient, self.plan.variant("R48")
        right = front_page(
            patient,
            self.cast.admitted,
            self._left,
            ward=PEOPLE["wards"][self.cast.place.ward]["name"],
            payment=self._rng.choice(PEOPLE["payments"]),
            diagnosis=self._diagnoses("final")[0],
            operations=self._operations,
        )
        first = self._front(spoilt(right, patient, variant), signed)
        yield first
        if variant == "corrected":
            yield self._front(right, signed + timedelta(minutes=95), first.number)

    def _front(self, fields: dict[str, str], signed: datetime, replaces: str = "") -> Filed:
        return Filed(
            at=signed + timedelta(seconds=20),
            visit=self.cast.visit,
            number=self._number("F"),
            type="C0032",
            title=_TITLES["C0032"],
            about=self._left,
            signed=signed,
            fields=fields,
            replaces=replaces,
        )


def birthday(plan: Plan, day: date) -> date | None:
    """Return the day on which the patient's year of age turns, where the plan asks for one."""
    return {"birthday": day, "eve": day + _DAY}.get(plan.variant("R48"))
