"""Assessments: all that one agent currently has to say about one encounter."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from hisbus_schemas.contract import Contract, Instant


class Text(Contract):
    """A sentence for clinicians and reviewers, in Chinese and English."""

    zh: str
    en: str


class Evidence(Contract):
    """A verbatim span of a document, or a chart path with its value."""

    document: str | None = None
    """Id of the chart's document."""
    version: str | None = None
    section: int | None = None
    """Index of the section."""
    begin: int | None = None
    """First character within the section's text."""
    end: int | None = None
    """First character after the span."""
    quote: str | None = None
    path: str | None = None
    """``admitted``, ``procedures/ID/end``, ``vitals/ID`` ...."""
    value: str | None = None


PROPOSALS = ("findings", "codesets", "drafts")
"""Other agents' open proposals that an agent asks for by name, beside parts of the chart (``GRANTS``)."""


class _Proposed(Contract):
    id: str = ""
    """Where another agent is shown it: what an ``Opinion`` names. The bus says it, as it does ``agent``."""
    agent: str = ""
    """Who said it."""
    key: str
    """Identity within agent and encounter: one per rule and subject."""
    rule: str
    subject: str = ""
    state: str = ""
    """Deadline rules: ``absent`` or ``late``."""
    severity: Literal["info", "warning", "critical"] = "warning"
    points: float = 0
    message: Text
    evidence: list[Evidence] = []
    reads: list[str] = []
    """Refs of the chart entries it rests on."""
    due: Instant | None = None
    """The deadline that was missed, where there is one."""
    fingerprint: str = ""
    """Empty: a hash of rule, key, state and evidence."""
    model: str = ""
    """The model that judged it, or helped to (``case.llm.model``). Empty: rules alone."""
    payload: dict[str, Any] = {}

    def cites(self) -> list[Evidence]:
        """Return everything that it names as proof, each once."""
        return self.evidence

    def stamp(self) -> str:
        """Return the fingerprint: the same as long as the proposal says the same."""
        if self.fingerprint:
            return self.fingerprint
        said = [self.rule, self.key, self.state, [item.model_dump(mode="json") for item in self.evidence]]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class Correction(Contract):
    """What would be right in place of what was found, for who mends it to copy. It is never written by itself."""

    text: Text
    """The value or sentence as it would stand in the record."""
    evidence: list[Evidence] = []
    """Why that is right; ``reads`` of the finding names what it rests on, too."""


class Finding(_Proposed):
    """A defect of the record (QC)."""

    kind: Literal["finding"] = "finding"
    expected: Correction | None = None
    """Where the record itself says what would be right; None: only a person knows."""

    def cites(self) -> list[Evidence]:
        """Return what proves the defect, and what proves how it would be right."""
        right = self.expected.evidence if self.expected is not None else []
        return [*self.evidence, *(one for one in right if one not in self.evidence)]


class CodeSet(_Proposed):
    """A set of codes proposed for the stay; the payload is a ``Coded``."""

    kind: Literal["codeset"] = "codeset"


class Draft(_Proposed):
    """A document drafted for a person to finish; the payload is a ``Drafted``."""

    kind: Literal["draft"] = "draft"
    author: str = ""
    """Staff number of who is to finish and sign it, as the HIS sends it. Nobody else may decide; empty: nobody may."""


Proposal = Annotated[Finding | CodeSet | Draft, Field(discriminator="kind")]


class Opinion(Contract):
    """What an agent says of another agent's proposal. A person sees both."""

    proposal: str
    """``id`` of the proposal, as it was shown."""
    verdict: Literal["confirm", "dispute", "duplicate"]
    message: Text
    evidence: list[Evidence] = []
    of: str = ""
    """``id`` of the proposal that a duplicate repeats."""


class Wake(Contract):
    """A time at which an agent wants to look again."""

    name: str
    due: Instant


class Asked(Contract):
    """One question to the model, as the bus counted it."""

    model: str
    prompt: str
    """Version of what is constant in the prompt: the layout, the agent's instructions, the form of the answer."""
    outcome: str
    """``answered``, or why it was not: a stable code."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Tokens of the prompt that the server remembered."""
    completion_tokens: int = 0
    seconds: float = 0
    repaired: bool = False
    """The first answer could not be used; the numbers are of both."""


UnevaluatedReason = Literal["unknown_code", "not_connected", "class", "model", "other"]
"""Why a rule was not judged: nobody has said what a code means; the site's feeds do not bring what it needs; it is not
for patients of this class; the model did not help; or what the text says."""


class Unevaluated(Contract):
    """A rule that could not be judged now, and why."""

    rule: str
    reason: UnevaluatedReason = "other"
    text: Text
    """For the page: where somebody can mend it, what to do."""
    item: str = ""
    """What it lacks, as a ``Need`` names it; empty where that is not it."""


class Assessment(Contract):
    """What an agent returns: complete, never a difference."""

    evaluated: frozenset[str] = frozenset()
    """Rules it was able to judge; only their findings close by themselves."""
    unevaluated: list[Unevaluated] = []
    """Rules that could not be judged now; none of them is in ``evaluated``. The bus adds those whose ``needs`` are
    hidden behind a code of this stay that nobody has answered."""
    proposals: list[Proposal] = []
    opinions: list[Opinion] = []
    """On other agents' proposals; complete as well."""
    wakes: list[Wake] = []
    unverified: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Items that the agent left out because the words they rest on do not stand in the record."""
    asked: list[Asked] = []
    """What the model was asked for it. The bus writes it, whatever the agent says."""


class Assessed(Contract):
    """The record on ``assessments``: an assessment with what it was made from."""

    id: str
    agent: str
    agent_version: str
    encounter: str
    version: int
    """Version of the chart that the agent read."""
    event: str
    key: str
    """Key in ``raw`` of the encounter's latest message."""
    now: Instant
    assessment: Assessment
    release: str = ""
    """The release that the agent went by; empty: none was registered."""
    shadow: bool = False
    """That release is tried unseen: what it proposes is kept, and nobody is shown it or decides on it."""
    coverage: Annotated[int, Field(ge=0)] = 0
    """Version of the coverage that it was judged by."""
    since: Annotated[int, Field(ge=0)] = 0
    """Version of the chart that the oldest event made for which it stands: what waited together is judged together, by
    the newest chart, and ``event`` is the newest of it. 0: ``event`` alone."""
