"""Fields of a front page, each by itself or against another: there, of a form, within a range, in order of time."""

import re
from collections.abc import Iterator

from hisbus_qc import pages
from hisbus_qc.facts import Search, find
from hisbus_qc.pages import Value
from hisbus_qc.record import Record, named
from hisbus_qc.rule import DocumentTypes, Limits, Regex, Rule, Said, takes
from hisbus_schemas import ChartDocument, Evidence, Finding, Text

_DIAGNOSES = (pages.PRINCIPAL, pages.OTHERS)


class Field(Limits):
    """One check of one field. A condition that names another field or code limits it to pages that have that."""

    field: str
    label: Text
    required: bool = False
    pattern: Regex = ""
    """A regular expression that the whole value matches."""
    range: tuple[float, float] | None = None
    not_before: str = ""
    """Another field: this time must not be before that one."""
    not_after: str = ""
    other: Text | None = None
    """What that other field is called."""
    if_field: str = ""
    """Only where this field is there."""
    if_value: Regex = ""
    """And matches this regular expression."""
    if_codes: tuple[str, ...] = ()
    """Only where a diagnosis of the page has one of these codes."""
    if_facts: Search | None = None
    """Only where the chart has one of these."""
    points: float | None = None


class Fields(Limits):
    """The checks of one kind of form."""

    documents: DocumentTypes
    checks: dict[str, Field]

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield the forms."""
        yield tuple(f"document:{type}" for type in self.documents)

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each field whose absence is a finding: one that no form ever had is not missing."""
        for name, check in self.checks.items():
            if check.required:
                yield name, (f"field:{check.field}",)


@takes(Fields)
def fields(rule: Rule, record: Record, limits: Fields) -> Said:
    """Judge each front page by each check; each that fails is a finding of its own."""
    for page in record.documents(limits.documents):
        if not page.fields:
            continue
        codes = [pages.split(item.text)[0] for name in _DIAGNOSES for item in pages.values(page, name)]
        for name, check in limits.checks.items():
            values = pages.values(page, check.field)
            if not (values or check.required) or not _applies(record, page, check, codes):
                continue
            if check.required and not values and record.brings(f"field:{check.field}"):
                yield _finding(rule, page, name, check, rule.texts["required"], [_absent(page, check)])
            for value in values:
                problem, proof = _problem(rule, record, check, value)
                if problem:
                    yield _finding(rule, page, f"{name}:{value.name}", check, problem, proof)


def _applies(record: Record, page: ChartDocument, check: Field, codes: list[str]) -> bool:
    if check.if_field:
        value = pages.first(page, check.if_field)
        if value is None or not re.fullmatch(check.if_value or ".*", value.text):
            return False
    if check.if_codes and not any(named(code, check.if_codes) for code in codes):
        return False
    return not check.if_facts or bool(find(record, check.if_facts))


def _problem(rule: Rule, record: Record, check: Field, value: Value) -> tuple[Text | None, list[Evidence]]:
    """Return what is wrong with a value, and what shows it."""
    if check.pattern and not re.fullmatch(check.pattern, value.text):
        return rule.texts["form"], [value.proof]
    if check.range:
        low, high = check.range
        try:
            inside = low <= float(value.text) <= high
        except ValueError:
            return rule.texts["form"], [value.proof]
        if not inside:
            return rule.say("range", low=f"{low:g}", high=f"{high:g}"), [value.proof]
    for state, field in (("before", check.not_before), ("after", check.not_after)):
        other = pages.first(value.page, field) if field else None
        if other and _is_beyond(record, state, value, other):
            label = check.other or Text(zh=field, en=field)
            return rule.say(state, other=label), [value.proof, other.proof]
    return None, []


def _is_beyond(record: Record, state: str, value: Value, other: Value) -> bool:
    """Compare two times as exactly as the less exact is written."""
    this, that = pages.moment(record, value.text), pages.moment(record, other.text)
    if this is None or that is None:
        return False
    if min(len(re.sub(r"\D", "", item.text)) for item in (value, other)) == 8:
        return this.date() < that.date() if state == "before" else this.date() > that.date()
    return this < that if state == "before" else this > that


def _absent(page: ChartDocument, check: Field) -> Evidence:
    """Return what shows a page whose field is missing: the condition's field, else the page's type."""
    there = pages.first(page, check.if_field) if check.if_field else None
    label = page.type.text or page.type.code
    return there.proof if there else Evidence(path=f"documents/{page.id}/type", value=label)


def _finding(
    rule: Rule, page: ChartDocument, subject: str, check: Field, problem: Text, proof: list[Evidence]
) -> Finding:
    return rule.finding(
        rule.say("found", label=check.label, problem=problem),
        title=rule.titled("found", label=check.label, problem=problem),
        subject=f"{page.id}:{subject}",
        evidence=proof,
        reads=[page.ref],
        points=check.points,
        field=check.field,
    )
