"""A draft beside what a person wrote: what was captured, what is true, what nobody said, what is missing. Section by
section, and every figure down to its sentence.

Compared are words and facts (``facts.py``), not meanings: the figures find where to look, a person judges.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.facts import Fact, content, denied, facts, folded, sentences, sides
from hisbus_bus.lab.evaluate.labels import tokens
from hisbus_bus.lab.evaluate.sample import Reference, ReferenceSection
from hisbus_schemas import Assessment, Drafted, DraftedSection, Proposal

try:
    from rapidfuzz.distance import Levenshtein
except ModuleNotFoundError as error:
    raise ConfigError("hisbus evaluate needs rapidfuzz: pip install 'hisbus-bus[evaluate]'.") from error

BORNE = 0.5
"""Part of a sentence's words that must stand together elsewhere for it to be said there."""
WINDOW = 3
"""Sentences in a row that count as one place."""
RUN = 10
"""Tokens in a row that count as copied (Steinkamp 2022 takes ten words)."""
OTHER = "*"
"""Where drafted sections stand that the reference has none of."""

Dimension = Literal["captured", "accurate", "unsupported", "omitted", "contradiction", "copied"]


@dataclass(frozen=True, slots=True)
class Item:
    """One sentence or fact with what is said of it."""

    dimension: Dimension
    section: str
    good: bool
    text: str
    sentence: int | None = None
    """Index of the sentence: in the draft's section, or for what is omitted or not captured in the reference's."""
    side: Literal["draft", "reference"] = "draft"
    fact: str = ""
    """The fact: ``dose lasix 20 mg``."""
    why: str = ""
    """What of it is not borne out, or what contradicts it."""


@dataclass(slots=True)
class SectionFigures:
    """The counts of one section."""

    captured: int = 0
    """Facts of the reference that the draft has."""
    to_capture: int = 0
    accurate: int = 0
    """Facts of the draft that the reference or the record has."""
    stated: int = 0
    unsupported: int = 0
    """Sentences of the draft that the record does not bear."""
    sentences: int = 0
    omitted: int = 0
    """Sentences of the reference of which the draft has nothing."""
    to_say: int = 0
    contradictions: int = 0
    copied: int = 0
    """Tokens of the draft that stand in the record in runs of ten."""
    tokens: int = 0
    edits: int = 0
    """Tokens to insert, delete or replace until the draft is what was signed."""
    longest: int = 0
    """Tokens of the longer of both."""

    def __add__(self, other: "SectionFigures") -> "SectionFigures":
        names = self.__dataclass_fields__
        return SectionFigures(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(slots=True)
class DocumentResult:
    """One draft with its reference."""

    rule: str
    drafted: bool
    """False: the agent made no such draft; all of the reference counts as omitted."""
    sections: dict[str, SectionFigures] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    removed: Mapping[str, int] = field(default_factory=dict)
    """Sentences that the agent took out itself, by reason."""

    @property
    def whole(self) -> SectionFigures:
        """Return the counts of all sections."""
        return sum(self.sections.values(), SectionFigures())


def compare(said: Assessment | None, reference: Reference, record: str) -> DocumentResult:
    """Compare the draft that an answer holds with a reference.

    Args:
        said: the answer; None: the call failed.
        reference: what a person wrote.
        record: what the agent was shown, as text.
    """
    proposal = _draft(said, reference)
    try:
        drafted = Drafted.model_validate(proposal.payload) if proposal is not None else None
    except ValidationError:
        drafted = None
    result = DocumentResult(reference.rule, drafted is not None, removed=drafted.removed if drafted else {})
    source = _Place.of(record)
    for section, parts in _matched(drafted, reference):
        result.titles[section.name] = section.title or section.name
        result.sections[section.name] = _section(result.items, section, parts, source)
    return result


def _draft(said: Assessment | None, reference: Reference) -> Proposal | None:
    for proposal in said.proposals if said is not None else ():
        if proposal.kind == "draft" and proposal.rule == reference.rule:
            if reference.subject in {"", proposal.subject}:
                return proposal
    return None


def _matched(
    drafted: Drafted | None, reference: Reference
) -> Iterator[tuple[ReferenceSection, Sequence[DraftedSection]]]:
    """Yield each section of the reference with the drafted ones that it is compared with, then the others."""
    left = list(drafted.sections) if drafted is not None else []
    for section in reference.sections:
        names = {section.name, *section.codes}
        mine = [one for one in left if one.code in names or (one.loinc and one.loinc in names)]
        left = [one for one in left if one not in mine]
        yield section, mine
    left = [one for one in left if one.sentences]
    if left:
        yield ReferenceSection(name=OTHER, text=""), left


def _section(
    items: list[Item], section: ReferenceSection, parts: Sequence[DraftedSection], source: "_Place"
) -> SectionFigures:
    mine = [sentence.text for part in parts for sentence in part.sentences]
    theirs = sentences(section.text)
    draft, wanted = _Place.of_all(mine), _Place.of_all(theirs)
    made = [
        *_facts(section.name, theirs, draft, None, "captured", "reference"),
        *_facts(section.name, mine, wanted, source, "accurate", "draft"),
        *_unsupported(section.name, mine, source),
        *_omitted(section.name, theirs, draft),
        *_contradictions(section.name, mine, theirs),
    ]
    copied, runs = _copied(section.name, mine, source)
    items += [*made, *runs]
    of: dict[str, list[Item]] = {}
    for item in made:
        of.setdefault(item.dimension, []).append(item)
    one, other = tokens("\n".join(mine)), tokens(section.text)
    return SectionFigures(
        captured=sum(item.good for item in of.get("captured", ())),
        to_capture=len(of.get("captured", ())),
        accurate=sum(item.good for item in of.get("accurate", ())),
        stated=len(of.get("accurate", ())),
        unsupported=sum(not item.good for item in of.get("unsupported", ())),
        sentences=len(mine),
        omitted=sum(not item.good for item in of.get("omitted", ())),
        to_say=len(theirs),
        contradictions=len(of.get("contradiction", ())),
        copied=copied,
        tokens=len(one),
        edits=Levenshtein.distance(one, other),
        longest=max(len(one), len(other)),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """A text to look things up in."""

    facts: frozenset[Fact]
    windows: Sequence[frozenset[str]]
    """Words of each few sentences in a row."""
    runs: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, text: str) -> "_Place":
        return cls.of_all(sentences(text), text)

    @classmethod
    def of_all(cls, said: Sequence[str], text: str = "") -> "_Place":
        words = [content(one) for one in said]
        windows = [frozenset().union(*words[at : at + WINDOW]) for at in range(len(words))]
        whole = text or "\n".join(said)
        return cls(facts(whole), windows, frozenset(_runs(tokens(whole))))

    def says(self, words: frozenset[str]) -> bool:
        """Tell whether most of some words stand together here."""
        return not words or any(len(words & window) >= BORNE * len(words) for window in self.windows)


def _runs(of: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(of[at : at + RUN]) for at in range(len(of) - RUN + 1))


def _facts(
    section: str,
    said: Sequence[str],
    place: _Place,
    beside: _Place | None,
    dimension: Literal["captured", "accurate"],
    side: Literal["draft", "reference"],
) -> Iterator[Item]:
    """Yield each fact of a section once, with whether it stands elsewhere."""
    seen: set[Fact] = set()
    known = place.facts | (beside.facts if beside is not None else frozenset())
    for at, text in enumerate(said):
        for fact in sorted(facts(text) - seen, key=lambda one: (one.kind, one.value)):
            seen.add(fact)
            yield Item(dimension, section, fact in known, text, at, side, f"{fact.kind} {fact.value}")


def _unsupported(section: str, mine: Sequence[str], source: _Place) -> Iterator[Item]:
    """Yield each drafted sentence with whether the record bears it: its facts all, its words for the most part."""
    for at, text in enumerate(mine):
        foreign = sorted(f"{fact.kind} {fact.value}" for fact in facts(text) - source.facts)
        borne = source.says(content(text))
        why = ", ".join(foreign) if foreign else "" if borne else "words"
        yield Item("unsupported", section, borne and not foreign, text, at, why=why)


def _omitted(section: str, theirs: Sequence[str], draft: _Place) -> Iterator[Item]:
    for at, text in enumerate(theirs):
        yield Item("omitted", section, draft.says(content(text)), text, at, "reference")


def _contradictions(section: str, mine: Sequence[str], theirs: Sequence[str]) -> Iterator[Item]:
    """Yield drafted sentences that say otherwise than the sentence of the reference that is most like them."""
    wanted = [(text, content(text)) for text in theirs]
    for at, text in enumerate(mine):
        words = content(text)
        near = [(len(words & other) / len(words), said) for said, other in wanted if words]
        best = max(near, default=(0.0, ""), key=lambda pair: pair[0])
        if best[0] >= BORNE and (why := ", ".join(_against(text, best[1]))):
            yield Item("contradiction", section, False, text, at, why=f"{why}: {best[1]}")


def _against(one: str, other: str) -> Iterator[str]:
    """Yield in what two sentences say the opposite of each other: a denial, a side, how much of a drug."""
    mine, its = folded(one), folded(other)
    for denying, affirming in ((mine, its), (its, mine)):
        terms = set(denied(denying))
        if any(term in affirming and term not in set(denied(affirming)) for term in terms):
            yield "denied"
            break
    left, right = dict[str, set[str]](), dict[str, set[str]]()
    for said, places in ((mine, left), (its, right)):
        for side, where in sides(said):
            places.setdefault(where, set()).add(side)
    if any(not left[where] & right[where] for where in left.keys() & right.keys()):
        yield "side"
    doses = [
        {fact.value.split(" ")[0]: fact.value for fact in facts(text) if fact.kind == "dose"} for text in (one, other)
    ]
    if any(doses[0][drug] != doses[1][drug] for drug in doses[0].keys() & doses[1].keys()):
        yield "dose"


def _copied(section: str, mine: Sequence[str], source: _Place) -> tuple[int, list[Item]]:
    """Return how many tokens of a section stand in the record in long runs, and the sentences with such."""
    total, found = 0, []
    for at, text in enumerate(mine):
        of = tokens(text)
        covered: set[int] = set()
        for begin, run in enumerate(_runs(of)):
            if run in source.runs:
                covered.update(range(begin, begin + RUN))
        total += len(covered)
        if covered:
            found.append(Item("copied", section, False, text, at, why=f"{len(covered)}/{len(of)}"))
    return total, found


def scores(figures: SectionFigures) -> Mapping[str, float | None]:
    """Return the figures as rates, each of a document or a section; None where there was nothing to judge."""

    def rate(part: int, of: int) -> float | None:
        return part / of if of else None

    return {
        "captured": rate(figures.captured, figures.to_capture),
        "accurate": rate(figures.accurate, figures.stated),
        "unsupported": rate(figures.unsupported, figures.sentences),
        "omitted": rate(figures.omitted, figures.to_say),
        "contradictions": float(figures.contradictions),
        "copied": rate(figures.copied, figures.tokens),
        "edit_distance": rate(figures.edits, figures.longest),
    }


def total(figures: Iterable[SectionFigures]) -> SectionFigures:
    """Return the counts of several sections or documents together."""
    return sum(figures, SectionFigures())
