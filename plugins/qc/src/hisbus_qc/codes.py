"""Codes of diagnoses: what may be principal, whose sex and age they fit, what they ask for beside them."""

import re
from collections.abc import Iterator

from hisbus_qc import evidence, pages
from hisbus_qc.facts import Search, find
from hisbus_qc.frontpage import years
from hisbus_qc.pages import Coded
from hisbus_qc.record import Record, named
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import Finding, Text

_MORPHOLOGY = re.compile(r"/(\d)")


class Edit(Limits):
    """Codes of one kind."""

    codes: tuple[str, ...]
    label: Text
    except_codes: tuple[str, ...] = ()


class Principal(Limits):
    """What a principal diagnosis may not be; codes as in ``Search``, or by a regular expression."""

    documents: DocumentTypes
    form: Regex
    """A regular expression that every code matches."""
    edits: dict[str, Edit]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the front page; without one the final diagnoses will do."""
        yield (*(f"document:{type}" for type in self.documents), "diagnosis:*")


class Fit(Limits):
    """Whom codes fit: a sex, an age in years or days, or both."""

    codes: tuple[str, ...]
    label: Text
    sex: str = ""
    years: tuple[int, int] | None = None
    days: tuple[int, int] | None = None


class SexAge(Limits):
    """The codes that fit only some patients."""

    documents: DocumentTypes
    fits: dict[str, Fit]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the front page; without one the final diagnoses will do."""
        yield (*(f"document:{type}" for type in self.documents), "diagnosis:*")


class Behaviour(Limits):
    """The codes of tumours by the behaviour that their morphology must have."""

    documents: DocumentTypes
    morphology: str
    """The field of the front page that holds it."""
    pathology: str
    """The field that must be there once there is a report."""
    reports: Search
    behaviours: dict[str, tuple[str, ...]]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the front page."""
        yield tuple(f"document:{type}" for type in self.documents)

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield what is held against the codes, and the diagnosis that is missing once there is a report."""
        yield "behaviour", (f"field:{self.morphology}",)
        yield "pathology", (f"field:{self.pathology}",)


class Delivery(Limits):
    """The codes of childbirth, and of its outcome."""

    documents: DocumentTypes
    delivery: tuple[str, ...]
    abortive: tuple[str, ...]
    outcome: tuple[str, ...]
    obstetric: tuple[str, ...]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the front page; without one the final diagnoses will do."""
        yield (*(f"document:{type}" for type in self.documents), "diagnosis:*")


@takes(Principal)
def principal(rule: Rule, record: Record, limits: Principal) -> Said:
    """R51: a principal diagnosis that cannot be one."""
    for item in pages.diagnoses(record, limits.documents):
        if not item.principal or not item.code:
            continue
        wrong = [
            (name, edit.label)
            for name, edit in limits.edits.items()
            if named(item.code, edit.codes) and not named(item.code, edit.except_codes)
        ]
        if not re.fullmatch(limits.form, item.code):
            wrong.insert(0, ("form", rule.title))
        for name, label in wrong[:1]:
            text = "form" if name == "form" else "found"
            yield rule.finding(
                rule.say(text, code=item.code, what=label),
                title=rule.titled(text, code=item.code, what=label),
                subject=item.subject,
                evidence=[item.proof],
                reads=[item.ref],
                edit=name,
            )


@takes(SexAge)
def sex_age(rule: Rule, record: Record, limits: SexAge) -> Said:
    """R52: a diagnosis that does not fit the patient's sex or age on the day of admission."""
    patient = record.chart.patient
    if patient is None:
        return
    for item in [*pages.diagnoses(record, limits.documents), *pages.operations(record, limits.documents)]:
        for fit in limits.fits.values():
            if item.code and named(item.code, fit.codes) and not _fits(record, fit):
                yield rule.finding(
                    rule.say("found", name=item.name or item.code, code=item.code, what=fit.label),
                    title=rule.titled("found", name=item.name or item.code),
                    subject=item.subject,
                    evidence=[item.proof],
                    reads=[item.ref],
                )
                break


def _fits(record: Record, fit: Fit) -> bool:
    """Tell whether codes fit; what is unknown of the patient does."""
    patient, day = record.chart.patient, record.day_admitted
    if patient is None:
        return True
    if fit.sex and patient.sex in {"female", "male"} and patient.sex != fit.sex:
        return False
    if patient.birth_date is None or day is None:
        return True
    if fit.years and not fit.years[0] <= years(patient.birth_date, day) <= fit.years[1]:
        return False
    return not fit.days or fit.days[0] <= (day - patient.birth_date).days <= fit.days[1]


@takes(Behaviour)
def morphology(rule: Rule, record: Record, limits: Behaviour) -> Said:
    """R53: a tumour's code against its morphology, and a pathology report that the front page does not know."""
    page = pages.newest(record, limits.documents)
    if page is None:
        return
    stated = pages.first(page, limits.morphology)
    match = _MORPHOLOGY.search(stated.text) if stated else None
    tumours = [
        (item, behaviour)
        for item in pages.diagnoses(record, limits.documents)
        for behaviour, codes in limits.behaviours.items()
        if named(item.code, codes)
    ]
    if stated and match and tumours and match[1] not in {behaviour for _, behaviour in tumours}:
        item = tumours[0][0]
        yield rule.finding(
            rule.say("behaviour", code=item.code, morphology=stated.text),
            title=rule.titled("behaviour"),
            subject=f"{page.id}:behaviour",
            evidence=[item.proof, stated.proof],
            reads=[page.ref],
        )
    reports = [fact for fact in find(record, limits.reports) if fact.at]
    if reports and not pages.first(page, limits.pathology) and record.brings(f"field:{limits.pathology}"):
        yield rule.finding(
            rule.say("missing"),
            title=rule.titled("missing"),
            subject=f"{page.id}:pathology",
            evidence=[*reports[0].proof, evidence.at(f"documents/{page.id}/type", page.type.text or page.type.code)],
            reads=[page.ref, reports[0].ref],
        )


@takes(Delivery)
def obstetric(rule: Rule, record: Record, limits: Delivery) -> Said:
    """R54: a delivery has an outcome, an outcome a delivery, and an abortion none of both."""
    there = pages.diagnoses(record, limits.documents)
    outcome = [item for item in there if named(item.code, limits.outcome)]
    delivery = [item for item in there if named(item.code, limits.delivery)]
    abortive = [item for item in there if named(item.code, limits.abortive)]
    known = any(named(item.code, limits.obstetric) for item in there)
    if delivery and not outcome and not abortive:
        yield _obstetric(rule, "outcome", delivery[:1])
    if outcome and not known:
        yield _obstetric(rule, "delivery", outcome[:1])
    if outcome and abortive:
        yield _obstetric(rule, "abortive", [outcome[0], abortive[0]])


def _obstetric(rule: Rule, name: str, items: list[Coded]) -> Finding:
    return rule.finding(
        rule.say(name, code=items[0].code),
        title=rule.titled(name),
        subject=name,
        evidence=[item.proof for item in items],
        reads=sorted({item.ref for item in items}),
    )
