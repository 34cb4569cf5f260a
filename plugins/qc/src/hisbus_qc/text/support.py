"""R58: a complication that was coded, and nothing in the record that rules would know as its sign."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from hisbus_qc import evidence
from hisbus_qc.facts import Search, find
from hisbus_qc.pages import Coded, diagnoses
from hisbus_qc.record import Record, named
from hisbus_qc.rule import DocumentTypes, Limits, Rule, takes
from hisbus_qc.text.question import Asks, Question, question
from hisbus_schemas import Text


class Indicated(Limits):
    """A diagnosis, and what would show it."""

    label: Text
    codes: tuple[str, ...]
    words: tuple[str, ...] = ()
    """Signs and treatments in the text of documents."""
    results: Search | None = None
    orders: Search | None = None


class Support(Asks):
    """Which diagnoses need support. ``{diagnosis}`` fills in the question."""

    pages: DocumentTypes
    diagnoses: Mapping[str, Indicated]

    fills: ClassVar[frozenset[str]] = frozenset({"diagnosis"})
    tells: ClassVar[frozenset[str]] = frozenset({"diagnosis"})


@takes(Support)
def support(rule: Rule, record: Record, limits: Support) -> Iterator[Question]:
    """Ask after discharge for each secondary diagnosis without a known sign. The model reads the whole record."""
    if record.ended is None:
        return
    coded = [item for item in diagnoses(record, limits.pages) if not item.principal]
    for name, indicated in limits.diagnoses.items():
        item = next((one for one in coded if named(one.code, indicated.codes)), None)
        if item is not None and not _shown(record, indicated, item):
            yield question(
                rule,
                record,
                limits,
                None,
                subject=name,
                proof=[item.proof, evidence.at("discharged", record.chart.stay("discharged"))],
                about=[item.said],
                reads=[item.ref, record.chart.stay_ref("discharged")],
                words={"diagnosis": f"{indicated.label.en} ({indicated.label.zh})"},
                texts={"diagnosis": indicated.label},
            )


def _shown(record: Record, indicated: Indicated, item: Coded) -> bool:
    """Tell whether one of its signs is in the record; the page that it was coded on is none."""
    for document in record.chart.documents:
        if document.counts and document.ref != item.ref and any(word in document.text for word in indicated.words):
            return True
    searches = (indicated.results, indicated.orders)
    return any(find(record, search) for search in searches if search is not None)
