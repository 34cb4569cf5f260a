"""Suspicions that several rules share: of a passage, of what is missing, of what is said in two ways."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from hisbus_qc import evidence
from hisbus_qc.record import Record, named
from hisbus_qc.rule import DocumentTypes, Limits, Rule, takes
from hisbus_qc.text import passages
from hisbus_qc.text.passages import Passage
from hisbus_qc.text.question import Asks, Question, label, question
from hisbus_qc.text.stated import Stated, stated
from hisbus_schemas import ChartDiagnosis, ChartDocument, Evidence, Text


def _known(name: str) -> str:
    if name not in passages.names():
        raise ValueError("is no passage that is known")
    return name


PassageName = Annotated[str, AfterValidator(_known)]


class Passages(Asks):
    """Documents and the passages of them that are asked about."""

    documents: DocumentTypes
    passages: tuple[PassageName, ...]
    holds: tuple[tuple[str, ...], ...] = ()
    """Only of documents that hold a word of each of these; the others are left to a rule that needs no model."""


class Element(Limits):
    """Something that a document has to hold."""

    label: Text
    passage: PassageName
    """By which it is recognised without a model."""
    words: tuple[str, ...] = ()
    """By which else."""


class Elements(Asks):
    """What documents have to hold. ``{element}`` and ``{where}`` fill in the question."""

    documents: DocumentTypes
    elements: Mapping[str, Element]

    fills: ClassVar[frozenset[str]] = frozenset({"element", "where"})
    tells: ClassVar[frozenset[str]] = frozenset({"element"})


class Term(Limits):
    """Something that may be affirmed and denied."""

    label: Text
    words: tuple[str, ...]
    denied: tuple[str, ...] = ()
    """Words by which it is denied, where they are others."""


class Terms(Passages):
    """What must not be affirmed and denied. ``{term}`` and ``{where}`` fill in the question."""

    terms: Mapping[str, Term]

    fills: ClassVar[frozenset[str]] = frozenset({"term", "where"})
    tells: ClassVar[frozenset[str]] = frozenset({"term"})


class Side(Limits):
    """One of two statements that exclude each other."""

    words: tuple[str, ...]
    passages: tuple[PassageName, ...]
    codes: tuple[str, ...] = ()
    """Of diagnoses that state the same."""
    types: frozenset[str] = frozenset()
    """Types of those diagnoses (DG1-6)."""


class Pair(Limits):
    """Two statements that exclude each other."""

    label: Text
    first: Side
    second: Side


class Pairs(Asks):
    """Pairs of them. ``{first}``, ``{second}`` and ``{where}`` fill in the question."""

    documents: DocumentTypes
    pairs: Mapping[str, Pair]

    fills: ClassVar[frozenset[str]] = frozenset({"first", "second", "where"})
    tells: ClassVar[frozenset[str]] = frozenset({"what"})


@takes(Passages)
def passage(rule: Rule, record: Record, limits: Passages) -> Iterator[Question]:
    """Ask about the passages of each signed document that has them."""
    for document in record.signed(limits.documents):
        found = passages.find(document, limits.passages)
        if found and _holds(document, limits.holds):
            yield question(
                rule,
                record,
                limits,
                [document],
                subject=document.id,
                proof=[item.proof for item in found],
                about=[item.text for item in found],
                words={"where": where(record, document, limits.passages)},
            )


@takes(Elements)
def elements(rule: Rule, record: Record, limits: Elements) -> Iterator[Question]:
    """Ask for each element of a signed document that nothing shows to be there."""
    for document in record.signed(limits.documents):
        if not document.text.strip():
            continue
        for name, element in limits.elements.items():
            if passages.find(document, (element.passage,)) or any(word in document.text for word in element.words):
                continue
            yield question(
                rule,
                record,
                limits,
                [document],
                subject=f"{name}:{document.id}",
                proof=evidence.shown(document),
                about=[document.text],
                words={"element": element.label.en + f" ({element.label.zh})", "where": label(record, document)},
                texts={"element": element.label},
            )


@takes(Terms)
def terms(rule: Rule, record: Record, limits: Terms) -> Iterator[Question]:
    """Ask about each term that a signed document both affirms and denies."""
    for document in record.signed(limits.documents):
        found = passages.find(document, limits.passages)
        for name, term in limits.terms.items():
            affirmed = _first(found, term.words, denied=False)
            denied = _first(found, term.denied or term.words, denied=True)
            if affirmed and denied:
                proof = [affirmed.proof, denied.proof]
                yield question(
                    rule,
                    record,
                    limits,
                    [document],
                    subject=f"{name}:{document.id}",
                    proof=proof,
                    about=[item.quote or "" for item in proof],
                    words={
                        "term": f"{term.label.en} ({term.label.zh})",
                        "where": where(record, document, limits.passages),
                    },
                    texts={"term": term.label},
                )


@takes(Pairs)
def pairs(rule: Rule, record: Record, limits: Pairs) -> Iterator[Question]:
    """Ask about each pair of which both are stated."""
    for document in record.signed(limits.documents):
        for name, pair in limits.pairs.items():
            second = _first(passages.find(document, pair.second.passages), pair.second.words, denied=False)
            first = _first(passages.find(document, pair.first.passages), pair.first.words, denied=False)
            coded = _coded(record, pair.first)
            if second is None or not (first or coded):
                continue
            by_code = None if first else coded
            proof = [*([first.proof] if first else []), *_code(by_code), second.proof]
            yield question(
                rule,
                record,
                limits,
                [document, *([by_code] if by_code else [])],
                subject=f"{name}:{document.id}",
                proof=proof,
                about=[item.quote or item.value or "" for item in proof],
                words={
                    "first": ", ".join(pair.first.words),
                    "second": ", ".join(pair.second.words),
                    "where": label(record, document),
                },
                texts={"what": pair.label},
            )


def where(record: Record, document: ChartDocument, names: tuple[str, ...]) -> str:
    """Return what the model hears passages called, and the label of their document."""
    return " and ".join(passages.title(name) for name in names) + f" of {label(record, document)}"


def _holds(document: ChartDocument, words: tuple[tuple[str, ...], ...]) -> bool:
    text = document.text.casefold()
    return all(any(word in text for word in some) for some in words)


def _first(found: list[Passage], words: tuple[str, ...], *, denied: bool) -> Stated | None:
    return next((item for part in found for item in stated(part, words) if item.denied == denied), None)


def _coded(record: Record, side: Side) -> ChartDiagnosis | None:
    there = (item for item in record.chart.diagnoses if not side.types or item.status in side.types)
    return next((item for item in there if side.codes and named(item.code.code, side.codes)), None)


def _code(item: ChartDiagnosis | None) -> list[Evidence]:
    return [evidence.at(f"diagnoses/{item.id}/code", item.title)] if item else []
