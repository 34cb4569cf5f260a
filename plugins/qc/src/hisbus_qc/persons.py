"""R47: words in a document that are of another person: a wrong name, sex or age."""

import re

from hisbus_qc import documents, evidence
from hisbus_qc.frontpage import years
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, GroupRegex, Limits, Rule, Said, listed, takes
from hisbus_schemas import Evidence


class Person(Limits):
    """How a document says who the patient is. Each pattern's first group is the value."""

    documents: DocumentTypes
    names: tuple[GroupRegex, ...]
    sexes: tuple[GroupRegex, ...]
    ages: tuple[GroupRegex, ...]
    male: tuple[str, ...]
    female: tuple[str, ...]


@takes(Person)
def person(rule: Rule, record: Record, limits: Person) -> Said:
    """Compare each document with the patient; an age may be one year off, for it is that of another day."""
    patient, day = record.chart.patient, record.day_admitted
    if patient is None:
        return
    age = years(patient.birth_date, day) if patient.birth_date and day else None
    sexes = {"male": limits.male, "female": limits.female}.get(patient.sex, ())
    every = [*limits.names, *limits.sexes, *limits.ages]
    there = record.documents(limits.documents)
    whole = "\n".join(section.text for item in there for section in item.sections)
    if not any(re.search(pattern, whole) for pattern in every):
        return
    for item in there:
        wrong: dict[str, Evidence] = {}
        for index, section in enumerate(item.sections):
            for what, patterns in (("name", limits.names), ("sex", limits.sexes), ("age", limits.ages)):
                for pattern in patterns:
                    for match in re.finditer(pattern, section.text):
                        value = match[1]
                        if (
                            (what == "name" and patient.name and value != patient.name)
                            or (what == "sex" and sexes and value not in sexes)
                            or (what == "age" and age is not None and value.isdecimal() and abs(int(value) - age) > 1)
                        ):
                            wrong.setdefault(what, evidence.span(item, index, match.start(), match.end()))
        if wrong:
            said = listed(rule.texts[what] for what in wrong)
            yield rule.finding(
                rule.say("found", document=documents.named(item), what=said),
                title=rule.titled("found", what=said),
                subject=item.id,
                evidence=list(wrong.values()),
                reads=[item.ref],
            )
