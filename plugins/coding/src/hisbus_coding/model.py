"""The verifier that asks a model, in a few closed questions: which of the retrieved codes does the record bear out?

The model never names a code, and never has the last word. A verdict counts only with words of the record that name the
very diagnosis. A rejection takes away the mentions that its words cover, no others, so a note that tells a model to
reject everything reaches nothing that stands elsewhere; what a list of diagnoses names as the table does stays,
disputed. What is taken away is shown to the coder, with the words.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hisbus import Case, NotEvaluated, Quote, grounded
from hisbus.agent import LLM
from hisbus.evidence import labelled
from hisbus.terms.words import key
from hisbus_coding.choice import certainty, named, unmatched
from hisbus_coding.mentions import Mention
from hisbus_coding.retrieval import SURE, Candidate
from hisbus_coding.verify import Doubt, Found, Rejected, Verdict, Verified
from hisbus_schemas import Chart, Evidence, Text

GROUP = 6
"""Candidates of one question: their answers fit into 1,024 tokens."""
MOST = 48
"""Most candidates that are asked about; those that come first in the order of the codes."""
_CHOICES = 3
"""Candidates that are asked about where none was sure enough to be assigned."""
_LEAST_TRUST = 0.8
_UNCERTAIN, _DISPUTED, _UNANSWERED = 0.7, 0.5, 0.9

_SYSTEM = """\
You check codes that a search of a code table proposed for this stay. Judge each candidate by itself; add none.
keep: the record says that the patient has this diagnosis in this stay. A chronic disease named as history counts.
reject: wherever the record names it, it is denied, left open, over, another person's, or something else is meant.
uncertain: the record does not settle it.
Give the reason, how sure you are (0 to 100), and quotes: words of a document that name this diagnosis, with what is
said of it. A verdict whose quotes do not name the diagnosis does not count."""

Reason = Literal["stated", "denied", "unsettled", "past", "other_person", "other_meaning"]

REASONS: dict[Reason, Text] = {
    "stated": Text(zh="模型未说明理由", en="the model gives no reason"),
    "denied": Text(zh="病历否认该诊断", en="the record denies it"),
    "unsettled": Text(zh="诊断尚未确定", en="the record leaves it open"),
    "past": Text(zh="为既往情况", en="it is past"),
    "other_person": Text(zh="为他人情况", en="it is another person's"),
    "other_meaning": Text(zh="原文另有所指", en="the words mean something else"),
}
_UNUSABLE = Text(
    zh="模型未给出可用的回答：部分或全部编码未经模型核对。",
    en="The model gave no usable answer: not all codes were verified by a model.",
)
_TOO_MANY = Text(
    zh=f"候选编码超过{MOST}个：其余未经模型核对。",
    en=f"There are more than {MOST} candidates: the others were not verified by a model.",
)


class Judgement(BaseModel):
    """What the model says of one candidate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: Annotated[str, Field(max_length=4, description="Its label, such as C3")]
    verdict: Literal["keep", "reject", "uncertain"]
    reason: Reason
    confidence: Annotated[int, Field(ge=0, le=100)]
    quotes: Annotated[list[Quote], Field(max_length=2)]


class Answer(BaseModel):
    """What the model is asked for: one judgement for each candidate of the question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judgements: Annotated[list[Judgement], Field(max_length=GROUP)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate with the mentions that it would code, by their places in what was found."""

    label: str
    candidate: Candidate
    places: tuple[int, ...]
    assigned: bool
    """False: nothing is sure enough there, and the model may prefer this one."""


class ModelVerifier:
    """Asks a model about every code that would be assigned, and about the likeliest where none would be."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    async def verify(self, case: Case, found: Sequence[Found]) -> Verified:
        """Return what was found, as far as it stands.

        Raises:
            RetryLater: the model is down.
        """
        every = asked(found)
        those = every[:MOST]
        groups = [those[at : at + GROUP] for at in range(0, len(those), GROUP)]
        answers = await asyncio.gather(
            *(self._ask(case.chart, found, group) for group in groups), return_exceptions=True
        )
        made = _Outcome(case.chart, list(found))
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, NotEvaluated):
                made.leave(group)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                made.take(group, answer)
        failed = any(isinstance(answer, BaseException) for answer in answers)
        return Verified(
            [item for item in made.found if item is not None],
            made.rejected,
            made.unverified,
            by_model=any(isinstance(answer, Answer) for answer in answers) or not groups,
            open=_UNUSABLE if failed else _TOO_MANY if len(every) > MOST else None,
        )

    async def _ask(self, chart: Chart, found: Sequence[Found], group: Sequence[Asked]) -> Answer:
        """Ask about some candidates; where the whole record is too long, by the documents that name them alone."""
        label = {entry.id: label for label, entry in labelled(chart)}
        where = {one.label: _documents(found, one) for one in group}
        # Codes and names of the site's table, and labels: nothing of the record stands outside of it.
        lines = [
            f"{one.label}: {one.candidate.code} {one.candidate.display} "
            f"(named in {', '.join(label[id] for id in where[one.label] if id in label)})"
            for one in group
        ]
        question = "Judge these candidates:\n" + "\n".join(lines)
        try:
            answer: Answer = await self._llm.ask(system=_SYSTEM, question=question, answer=Answer)
        except NotEvaluated as error:
            if error.code != "prompt_too_long":
                raise
            only = {id for ids in where.values() for id in ids}
            answer = await self._llm.ask(system=_SYSTEM, question=question, answer=Answer, only=only)
        return answer


def asked(found: Sequence[Found]) -> list[Asked]:
    """Return the candidates to ask about, in the order of the codes, then of what no code fits well enough.

    A diagnosis that somebody recorded and no document names is not asked about: no words could be quoted.
    """
    places: dict[str, list[int]] = {}
    for place, item in enumerate(found):
        if certainty(item) and item.mention.document is not None:
            places.setdefault(item.candidates[0].code, []).append(place)
    chosen = [(found[its[0]].candidates[0], its, True) for code in named(found) if (its := places.get(code))]
    loose = [
        (candidate, [place], False)
        for item in unmatched(found)
        if item.mention.document is not None
        for place in [next(at for at, other in enumerate(found) if other is item)]
        for candidate in item.candidates[:_CHOICES]
    ]
    return [
        Asked(f"C{number}", candidate, tuple(its), assigned)
        for number, (candidate, its, assigned) in enumerate([*chosen, *loose], 1)
    ]


class _Outcome:
    """What is left of what was found, judgement by judgement."""

    def __init__(self, chart: Chart, found: list[Found]) -> None:
        self._chart = chart
        self.found: list[Found | None] = [*found]
        """None: taken away."""
        self.rejected: list[Rejected] = []
        self.unverified = 0

    def leave(self, group: Sequence[Asked]) -> None:
        """Lower the confidence of what could not be judged."""
        for one in group:
            if one.assigned:
                self._mark(one.places, _UNANSWERED)

    def take(self, group: Sequence[Asked], answer: Answer) -> None:
        """Take an answer. Of two that differ about one candidate neither counts, nor what nobody asked about."""
        said: dict[str, list[Judgement]] = {one.label: [] for one in group}
        for judgement in answer.judgements:
            label = judgement.candidate.strip().upper()
            if label in said:
                said[label].append(judgement)
            else:
                self.unverified += 1
        for one in group:
            verdicts = {judgement.verdict for judgement in said[one.label]}
            if len(verdicts) == 1:
                self._judge(one, said[one.label][0])
            else:
                self.unverified += len(verdicts) > 1
                self.leave([one])

    def _judge(self, one: Asked, said: Judgement) -> None:
        if said.verdict == "uncertain":
            if one.assigned:
                self._mark(one.places, _UNCERTAIN, "uncertain")
            return
        words = grounded(self._chart, said.quotes).evidence
        rejected = said.verdict == "reject"
        quoted = {place: its for place in one.places if (its := _naming(self.found[place], words, place_too=rejected))}
        if not quoted:
            self.unverified += 1
            self.leave([one])
        elif not rejected:
            self._keep(one, list(quoted), said.confidence / 100)
        elif one.assigned:
            self._reject(one, quoted, REASONS[said.reason])

    def _keep(self, one: Asked, named: list[int], sure: float) -> None:
        trust = _LEAST_TRUST + (1 - _LEAST_TRUST) * sure
        if one.assigned:
            self._mark(one.places, trust, "confirmed")
            return
        for place in named:
            item = self.found[place]
            if item is None or item.verdict == "confirmed":
                continue  # it has its code: the likelier one
            others = [other for other in item.candidates if other.code != one.candidate.code]
            chosen = replace(one.candidate, score=max(SURE, one.candidate.score))
            self.found[place] = replace(item, candidates=[chosen, *others], verdict="confirmed", trust=trust)

    def _reject(self, one: Asked, named: dict[int, tuple[Evidence, ...]], reason: Text) -> None:
        items = {place: item for place in named if (item := self.found[place]) is not None}
        firm = {place for place, item in items.items() if item.mention.listed and item.candidates[0].method != "search"}
        for place in firm:
            self._mark([place], _DISPUTED, "disputed", Doubt(reason, named[place]))
        gone = [place for place in items if place not in firm]
        for place in gone:
            self.found[place] = None
        if gone and not any(self.found[place] is not None for place in one.places):
            words = tuple(dict.fromkeys(item for place in gone for item in named[place]))
            self.rejected.append(
                Rejected(one.candidate, tuple(items[place].mention for place in gone), Doubt(reason, words))
            )

    def _mark(self, places: Sequence[int], trust: float, verdict: Verdict = "", doubt: Doubt | None = None) -> None:
        for place in places:
            item = self.found[place]
            if item is not None:
                self.found[place] = replace(item, trust=trust, verdict=verdict, doubt=doubt)


def _documents(found: Sequence[Found], one: Asked) -> list[str]:
    ids = (found[place].mention.document for place in one.places)
    return list(dict.fromkeys(document.id for document in ids if document is not None))


def _naming(item: Found | None, words: Sequence[Evidence], *, place_too: bool) -> tuple[Evidence, ...]:
    """Return those of the quoted words that name a mention; with ``place_too`` only those that stand at its place."""
    if item is None or item.mention.document is None:
        return ()
    mention, name = item.mention, key(item.mention.text)
    of_document = [one for one in words if one.document == item.mention.document.id]
    return tuple(
        one for one in of_document if _at(one, mention) or (not place_too and name and name in key(one.quote or ""))
    )


def _at(words: Evidence, mention: Mention) -> bool:
    if words.section != mention.section or words.begin is None or words.end is None:
        return False
    return words.begin < mention.end and mention.begin < words.end
