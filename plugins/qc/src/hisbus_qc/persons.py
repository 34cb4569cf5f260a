"""R47: words in a document that are of another person: a wrong name, sex or age."""

import re
from functools import cached_property, reduce

from hisbus_qc import documents, evidence
from hisbus_qc.frontpage import years
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, GroupRegex, Limits, Rule, Said, listed, takes
from hisbus_schemas import Evidence

_HAN = "\\u4e00-\\u9fff"
_MASKS = "某姓*×Ｘ"
_UNNAMED = re.compile(r"之[子女婴]|婴儿?$|毛毛|宝宝")
"""By which a newborn is called by its mother's name: what its own is, nobody can tell."""


class Person(Limits):
    """How a document says who the patient is. Each pattern's first group is the value."""

    documents: DocumentTypes
    names: tuple[GroupRegex, ...]
    sexes: tuple[GroupRegex, ...]
    ages: tuple[GroupRegex, ...]
    male: tuple[str, ...]
    female: tuple[str, ...]
    surnames: str = ""
    """Characters that a name begins with; ``{name}`` in a pattern stands for such a name."""
    double_surnames: tuple[str, ...] = ()
    """Surnames of two characters."""
    given: str = ""
    """Characters of given names; ``{plain}`` in a pattern stands for a surname with one of them, which may need no
    comma behind it to be known for a name."""

    @cached_property
    def ways(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """What each pattern tells, ``name``, ``sex`` or ``age``, and the pattern with names put in."""
        surname = f"(?:{'|'.join((*self.double_surnames, f'[{self.surnames or _HAN}]'))})"
        put = {"{name}": f"{surname}[{_HAN}·]{{1,3}}", "{plain}": f"{surname}[{self.given or _HAN}]"}
        told = (("name", self.names), ("sex", self.sexes), ("age", self.ages))
        return tuple(
            (what, re.compile(reduce(lambda text, mark: text.replace(mark, put[mark]), put, one)))
            for what, patterns in told
            for one in patterns
        )


@takes(Person)
def person(rule: Rule, record: Record, limits: Person) -> Said:
    """Compare each document with the patient; an age may be one year off, for it is that of another day."""
    patient, day = record.chart.patient, record.day_admitted
    if patient is None:
        return
    age = years(patient.birth_date, day) if patient.birth_date and day else None
    sexes = {"male": limits.male, "female": limits.female}.get(patient.sex, ())
    there = record.documents(limits.documents)
    whole = "\n".join(section.text for item in there for section in item.sections)
    if not any(pattern.search(whole) for _, pattern in limits.ways):
        return
    for item in there:
        wrong: dict[str, Evidence] = {}
        for index, section in enumerate(item.sections):
            for what, pattern in limits.ways:
                for match in pattern.finditer(section.text):
                    value = match[1]
                    if (
                        (what == "name" and patient.name and not _may_be(value, patient.name))
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


def _may_be(value: str, name: str) -> bool:
    """Tell whether a name in a text can be the patient's: it is or holds it, is masked (王某某), or none was given."""
    if _UNNAMED.search(name):
        return True
    return value in name or name in value or any(mark in value for mark in _MASKS)
