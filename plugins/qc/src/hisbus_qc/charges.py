"""R57: what was charged to a patient whom it does not fit."""

from hisbus_qc.facts import Search, find
from hisbus_qc.frontpage import years
from hisbus_qc.record import Record
from hisbus_qc.rule import Limits, Rule, Said, takes
from hisbus_schemas import Text


class Limited(Limits):
    """Charges that fit a sex or an age."""

    charges: Search
    label: Text
    sex: str = ""
    years: tuple[int, int] | None = None


class Charges(Limits):
    """All such groups; a hospital adds the codes of its catalogue."""

    groups: dict[str, Limited]


@takes(Charges)
def misfits(rule: Rule, record: Record, limits: Charges) -> Said:
    """Judge each charge; what is unknown of the patient fits."""
    patient, day = record.chart.patient, record.day_admitted
    if patient is None or not record.chart.charges:
        return
    age = years(patient.birth_date, day) if patient.birth_date and day else None
    said: set[str] = set()
    for group in limits.groups.values():
        wrong = (group.sex and patient.sex in {"F", "M"} and patient.sex != group.sex) or (
            group.years and age is not None and not group.years[0] <= age <= group.years[1]
        )
        for fact in find(record, group.charges) if wrong else ():
            if fact.id not in said:
                said.add(fact.id)
                yield rule.finding(
                    rule.say("found", name=fact.name, what=group.label),
                    subject=fact.id,
                    evidence=fact.proof,
                    reads=[fact.ref],
                )
