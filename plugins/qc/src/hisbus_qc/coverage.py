"""R56: the front page against what was done and said elsewhere."""

from collections import Counter
from collections.abc import Iterator

from hisbus_qc import evidence, pages
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes

_CATEGORY = 3
"""Characters of a code that name its category."""


class Coverage(Limits):
    """The fields of the front page that are compared."""

    documents: DocumentTypes
    outpatient: str
    admitting: tuple[str, ...]
    """Types of diagnoses (DG1-6) that the outpatient one is compared with."""
    planned: str
    """Whether another admission within 31 days is planned; ``planned_yes`` where it is."""
    planned_yes: str
    purpose: str
    code_characters: int
    """First characters by which two codes of operations are the same."""

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield what is held against the page, and the field that is missing where a readmission is planned."""
        yield "missing", ("procedure:*",)
        yield "outpatient", ("diagnosis:*",)
        yield "duplicate", (f"field:{pages.PRINCIPAL}",)
        yield "purpose", (f"field:{self.purpose}",)


@takes(Coverage)
def coverage(rule: Rule, record: Record, limits: Coverage) -> Said:
    """Judge the newest front page."""
    page = pages.newest(record, limits.documents)
    if page is None or not page.fields:
        return
    listed = pages.operations(record, limits.documents)
    for operation in record.operations if record.brings(f"field:{pages.OPERATION}") else ():
        code, name = operation.code.code, operation.code.text
        if operation.end is None or not (code or name):
            continue
        same = (item.code[: limits.code_characters] == code[: limits.code_characters] for item in listed if code)
        if not any(same) and not any(name and (name in item.name or item.name in name) for item in listed if item.name):
            yield rule.finding(
                rule.say("missing", name=name or code),
                title=rule.titled("missing", name=name or code),
                subject=f"{page.id}:missing:{operation.id}",
                evidence=[
                    evidence.at(f"procedures/{operation.id}/code", operation.title),
                    *(item.proof for item in listed),
                ],
                reads=[page.ref, operation.ref],
                points=2,
            )
    there = pages.diagnoses(record, limits.documents)
    for code, count in Counter(item.code for item in there if item.code).items():
        if count > 1:
            yield rule.finding(
                rule.say("duplicate", code=code),
                title=rule.titled("duplicate", code=code),
                subject=f"{page.id}:duplicate:{code}",
                evidence=[item.proof for item in there if item.code == code],
                reads=[page.ref],
            )
    yield from _outpatient(rule, record, limits)
    planned = pages.first(page, limits.planned)
    purpose = pages.first(page, limits.purpose)
    if planned and planned.text == limits.planned_yes and not purpose and record.brings(f"field:{limits.purpose}"):
        yield rule.finding(
            rule.say("purpose"),
            title=rule.titled("purpose"),
            subject=f"{page.id}:purpose",
            evidence=[planned.proof],
            reads=[page.ref],
        )


def _outpatient(rule: Rule, record: Record, limits: Coverage) -> Said:
    """Compare the categories of the outpatient diagnosis and of those on admission."""
    page = pages.newest(record, limits.documents)
    stated = pages.first(page, limits.outpatient) if page else None
    admitting = [item for item in record.chart.diagnoses if item.status in limits.admitting and item.code.code]
    code = pages.split(stated.text)[0] if stated else ""
    if page and stated and code and admitting and all(i.code.code[:_CATEGORY] != code[:_CATEGORY] for i in admitting):
        other = admitting[0]
        proof = evidence.at(f"diagnoses/{other.id}/code", other.title)
        yield rule.finding(
            rule.say("outpatient", code=code, other=other.code.code),
            title=rule.titled("outpatient"),
            subject=f"{page.id}:outpatient",
            evidence=[stated.proof, proof],
            reads=[page.ref, other.ref],
        )
