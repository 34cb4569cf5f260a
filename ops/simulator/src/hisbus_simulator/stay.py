"""Tell a stay from its story, its patient and its plan: the facts, in no particular order."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from hisbus_simulator.defects import chosen, planted, spoil
from hisbus_simulator.facts import (
    AdmissionCancelled,
    Admitted,
    Charged,
    DischargeCancelled,
    Discharged,
    Fact,
    Filed,
    Measured,
    Merged,
    Ordered,
    Place,
    Reading,
    Reported,
    Section,
    Transferred,
    Updated,
)
from hisbus_simulator.frontpage import front_page, spoilt
from hisbus_simulator.people import PEOPLE
from hisbus_simulator.plan import Plan, signing
from hisbus_simulator.scribe import TITLES, Scribe

_ONE_MORE_SENTENCE = "今晨诉咽部轻度干痒不适，嘱其淡盐水漱口。"
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_LEAST = timedelta(minutes=2)
"""What was done before the admission, in the emergency room, is sent this long after it."""


class Stay(Scribe):
    """One stay, ready to be told."""

    def facts(self, end: datetime) -> list[Fact]:
        """Return what happens until the end of the week; who leaves later is still in bed then."""
        if "cancelled" in self.plan.events:
            mistake = self.cast.admitted + timedelta(minutes=150)
            cancelled = AdmissionCancelled(at=mistake, visit=self.cast.visit)
            return [self._admission(), *(fact for fact in self._measurements() if fact.at < mistake), cancelled]
        told = [self._admission(), *self._measurements(), *self._reports(), *self._course_of_the_stay()]
        told += [*self._first_documents(), *self._notes(), *self._surgery(), *self._papers(), *self._orders()]
        if self._left.date() < (end - _DAY).date():
            told += self._ending()
        told = spoil(told, self.plan, self._variant, male=self.cast.patient.male)
        return [fact for fact in told if fact.at < end]

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

    # What is told

    def _admission(self) -> Admitted:
        diagnoses = self._diagnoses("admitting")
        return Admitted(
            at=self.cast.admitted,
            visit=self.cast.visit,
            admitted=self.cast.admitted,
            diagnoses=diagnoses,
            allergies=tuple((kind, name) for kind, name in self._variant.get("allergies", [])),
        )

    def _diagnoses(self, kind: str) -> tuple[tuple[str, str], ...]:
        return tuple((code, text) for code, text in self._story["diagnoses"][kind])

    def _first_documents(self) -> Iterator[Filed]:
        begun = self.cast.admitted
        first = begun + timedelta(minutes=self._rng.randint(70, 200), seconds=self._rng.randrange(60))
        yield from self._due("R02", "C0037", begun, 8, first, "first_note")
        if "admission" in self._story:
            usual = begun + timedelta(minutes=self._rng.randint(210, 420), seconds=self._rng.randrange(60))
            yield from self._due("R01", "C0034", begun, 24, usual, "admission")

    def _reports(self) -> Iterator[Ordered | Reported]:
        for row in [*self._rows("labs"), *self._rows("images")]:
            taken = self._at(row)
            readings = tuple(
                Reading(code, name, round(self._rng.gauss(mean, spread), digits), unit, low, high, digits, *said)
                for code, name, unit, low, high, mean, spread, digits, *said in row.get("items", [])
            )
            sections: tuple[Section, ...] = ()
            if "finding" in row:
                rows = [["FINDING", "检查所见", row["finding"]], ["IMPRESSION", "诊断意见", row["impression"]]]
                sections = self._sections(rows, taken)
            reported = max(taken + timedelta(minutes=self._rng.randint(15, 45)), self.cast.admitted + _LEAST)
            if reported < self._left:
                code, name = row["service"]
                if row.get("ordered", True):
                    yield self._order(code, name, taken - 12 * _MINUTE, part=code)
                yield Reported(
                    at=reported,
                    visit=self.cast.visit,
                    number=self._number("L"),
                    service=(code, name),
                    ordered=taken,
                    readings=readings,
                    sections=sections,
                )

    def _papers(self) -> Iterator[Filed]:
        """Tell the documents that the story has beside those whose deadlines a plan moves."""
        for row in self._rows("papers"):
            for at, operation in self._moments(row):
                if at < self._left or "before_leaving" in row:
                    sections = self._sections(row["sections"], at, operation)
                    filed = max(at + timedelta(seconds=self._rng.randint(2, 90)), self.cast.admitted + _LEAST)
                    by = row.get("by", "doctor")
                    yield self._file(row["type"], (filed, at), at, *sections, part=row["part"], by=by)

    def _orders(self) -> Iterator[Ordered]:
        for row in self._rows("orders"):
            for at, operation in self._moments(row):
                if at < self._left:
                    code, text = row["code"]
                    name = self._write(text, at, operation)
                    part, medicine = row.get("part", code), row.get("medicine", False)
                    yield self._order(code, name, at, part=part, medicine=medicine)

    def _order(self, code: str, name: str, at: datetime, *, part: str, medicine: bool = False) -> Ordered:
        return Ordered(
            at=max(at, self.cast.admitted + _LEAST / 2),
            visit=self.cast.visit,
            part=part,
            number=self._number("R"),
            code=code,
            name=name,
            ordered=at,
            medicine=medicine,
        )

    def _charges(self) -> tuple[tuple[str, str, int], ...]:
        """Return what the stay is charged for: the story's items, a bed for each day, what a defect adds."""
        rows = [*self._story["charges"], ["BED", "床位费", 60 * max(self.plan.days, 1)]]
        rows += [row for defect in planted(self.plan) for row in defect.adds.get("charges", [])]
        male = self.cast.patient.male
        return tuple((code, chosen(name, male=male), amount) for code, name, amount in rows)

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
            text += self._more(day, len(days))
            yield self._progress("C0038", about, Section("NOTE", "病程记录", text), f"note{day}")
        for n, row in enumerate(self._story.get("rounds", []), 1):
            about = self._at(row | {"time": "10:20"})
            if about < self._left:
                section = Section("ROUND", "查房记录", self._write(row["text"], about))
                yield self._progress("C0039", about, section, f"round{n}")

    def _more(self, day: int, last: int) -> str:
        """Return what a note says besides: that the surgeon came the day after an operation, that a drain is out."""
        said = ""
        if any(operation.kind == "O" and self._day(operation.start) == day - 1 for operation in self._operations):
            said += f"手术者{self.cast.surgeon.name}医师术后查看患者，对恢复情况满意。"
        if "reoperation" in self.plan.events and day == last:
            said += "盆腔引流液减少，今日拔除引流管。"
        return said

    def _day(self, at: datetime) -> int:
        return (at.date() - self.cast.admitted.date()).days

    def _progress(self, type: str, about: datetime, section: Section, part: str) -> Filed:
        signed = about + timedelta(minutes=self._rng.randint(10, 70))
        filed = signed + timedelta(seconds=self._rng.randint(2, 90))
        return self._file(type, (filed, signed), about, section, part=part)

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

    def _surgery(self) -> Iterator[Fact]:
        for n, (operation, row) in enumerate(zip(self._operations, self._operation_rows(), strict=True)):
            known = operation.end + timedelta(minutes=3)
            yield Updated(at=known, visit=self.cast.visit, operations=(operation,))
            if operation.kind != "O":
                continue
            usual = operation.end + timedelta(minutes=self._rng.randint(40, 260))
            variant = self.plan.variant("R10") if n == 0 else ""
            if self.plan.variant("R10") == "second-absent":
                variant = "absent" if n else ""
            when = signing(variant, operation.end + _DAY, usual, self._rng)
            if when:
                sections = self._sections(row["sections"], usual, operation)
                yield self._file("C0009", when, operation.start, *sections, part=f"operation{n + 1}", by="surgeon")

    def _ending(self) -> Iterator[Fact]:
        left, visit = self._left, self.cast.visit
        if "discharge-cancelled" in self.plan.events:
            early = left - 2 * _DAY
            yield Discharged(at=early, visit=visit, discharged=early)
            yield DischargeCancelled(at=early + timedelta(hours=27, minutes=12), visit=visit)
        charges = self._charges()
        yield Charged(at=left - 20 * _MINUTE, visit=visit, items=charges, part="charges")
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
            outpatient=self._diagnoses("admitting")[0],
            diagnoses=self._diagnoses("final"),
            operations=[operation for operation in self._operations if operation.kind == "O"],
            cost=sum(amount for _, _, amount in self._charges()),
            died=self._story["ending"] == "C0050",
            drugs=[name for kind, name in self._variant.get("allergies", []) if kind == "DA"],
            pathology=self._write(self._story.get("pathology", ""), signed),
            incision=self._story.get("incision", ""),
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
            part="frontpage",
            title=TITLES["C0032"],
            about=self._left,
            signed=signed,
            fields=fields,
            replaces=replaces,
        )


def birthday(plan: Plan, day: date) -> date | None:
    """Return the day on which the patient's year of age turns, where the plan asks for one."""
    return {"birthday": day, "eve": day + _DAY}.get(plan.variant("R48"))
