"""R57: what was charged to a patient whom it does not fit."""

from collections.abc import Iterator

from hisbus.terms import Concept, opened
from hisbus_qc import evidence
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
    table: str = ""
    """Name of the table of items (``hisbus terms load --kind item``); empty: the only one that is loaded."""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield charges."""
        yield ("charge:*",)


@takes(Charges)
def misfits(rule: Rule, record: Record, limits: Charges) -> Said:
    """Judge each charge by the loaded table where it has the item, else by words; the unknown fits."""
    patient, day = record.chart.patient, record.day_admitted
    if patient is None or not record.chart.charges:
        return
    age = years(patient.birth_date, day) if patient.birth_date and day else None
    items = _items(record, limits.table)
    said = set(items)
    for charge in record.chart.charges:
        concept = items.get(charge.id)
        if concept is not None and not _fits(concept, patient.sex, age):
            name = charge.code.text or concept.display
            yield rule.finding(
                rule.say("found", name=name, what=rule.texts["table"]),
                title=rule.titled("found", name=name),
                subject=charge.id,
                evidence=[evidence.at(f"charges/{charge.id}/code", charge.title)],
                reads=[charge.ref],
            )
    for group in limits.groups.values():
        wrong = (group.sex and patient.sex in {"female", "male"} and patient.sex != group.sex) or (
            group.years and age is not None and not group.years[0] <= age <= group.years[1]
        )
        for fact in find(record, group.charges) if wrong else ():
            if fact.id not in said:
                said.add(fact.id)
                yield rule.finding(
                    rule.say("found", name=fact.name, what=group.label),
                    title=rule.titled("found", name=fact.name),
                    subject=fact.id,
                    evidence=fact.proof,
                    reads=[fact.ref],
                )


def _items(record: Record, table: str) -> dict[str, Concept]:
    """Return what the table of items has, by the id of the charge; nothing where no table, or several, could be it."""
    terms = opened(record.terms)
    releases = [one for one in terms.releases() if one.kind == "item" and table in {"", one.system}] if terms else []
    if terms is None or len(releases) != 1:
        return {}
    coded = [charge for charge in record.chart.charges if charge.code.code]
    found = ((charge.id, terms.concept(releases[0], charge.code.code)) for charge in coded)
    return {id: concept for id, concept in found if concept is not None}


def _fits(concept: Concept, sex: str, age: int | None) -> bool:
    if concept.sex and sex in {"female", "male"} and concept.sex != sex:
        return False
    too_young = age is not None and concept.least_age is not None and age < concept.least_age
    return not (too_young or (age is not None and concept.most_age is not None and age > concept.most_age))
