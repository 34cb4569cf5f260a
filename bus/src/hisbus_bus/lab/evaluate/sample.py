"""A case whose answer is known: a chart, and what an agent must say of it."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from hisbus_schemas import Chart, Coverage

EVERYTHING = Coverage()
"""Where a case does not say what its site brings."""


class _Table(BaseModel):
    # What is not understood would not be compared, so it is refused.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Span(_Table):
    """A place in a document of the chart."""

    document: str
    """Id of the chart's entry."""
    section: int = 0
    begin: int = Field(ge=0)
    end: int = Field(ge=0)


class ExpectedFinding(_Table):
    """A finding that must be made."""

    rule: str
    subject: str = ""
    """Empty: of whichever subject."""
    state: str = ""
    """Empty: in whichever state."""
    evidence: list[Span] = []


class Findings(_Table):
    """All findings of some rules."""

    rules: list[str] = Field(min_length=1)
    """The rules that are judged. What the agent finds by others is counted apart."""
    expected: list[ExpectedFinding] = []


class Flagged(_Table):
    """Whether a document holds a mistake: a finding whose evidence lies in it says so.

    Where the mistake stands is known (``evidence``), it counts as found only where the finding's evidence meets it.
    """

    document: str
    name: str = "error"
    wrong: bool
    evidence: list[Span] = []


class ExpectedCode(_Table):
    """A code that must be assigned."""

    code: str
    system: str = ""
    display: str = ""
    evidence: list[Span] = []


class Codes(_Table):
    """All codes of a stay."""

    systems: list[str] = []
    """Code systems that are judged. Empty: all."""
    expected: list[ExpectedCode] = []


class ReferenceSection(_Table):
    """A section as a person wrote it."""

    name: str
    title: str = ""
    text: str
    codes: list[str] = []
    """Names and LOINC codes of the drafted sections that it is compared with, beside its own name."""


class Reference(_Table):
    """A document as a person wrote or signed it, with the draft it is compared with."""

    rule: str
    """Rule of the draft: the agent's template."""
    subject: str = ""
    """Empty: of whichever subject."""
    sections: list[ReferenceSection] = []
    entry: str = ""
    """In a file: id of the chart's document that is the reference; the agent is not shown it."""


class Expected(_Table):
    """What an agent must say of a case. A kind that is left out is not judged."""

    title: str = ""
    findings: Findings | None = None
    flagged: Flagged | None = None
    codes: Codes | None = None
    documents: list[Reference] = []


@dataclass(frozen=True, slots=True)
class Sample:
    """One case."""

    id: str
    chart: Chart
    expected: Expected
    coverage: Coverage = EVERYTHING
    """What the site of the case brings."""


Format = Literal["charts", "medec", "aci-bench", "mdace"]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Cases in their order."""

    name: str
    format: Format
    samples: Sequence[Sample]

    def drawn(self, limit: int, seed: int) -> "DataSet":
        """Return at most so many of the cases, drawn by a seed, in their order. 0: all."""
        if not 0 < limit < len(self.samples):
            return self
        chosen = sorted(random.Random(seed).sample(range(len(self.samples)), limit))  # noqa: S311 - a draw, no secret
        return replace(self, samples=[self.samples[at] for at in chosen])

    @property
    def sha256(self) -> str:
        """Return the hash of all that is asked and expected: two reports with the same one are of the same cases."""
        said = hashlib.sha256()
        for sample in self.samples:
            parts = [sample.id, *(part.model_dump(mode="json") for part in (sample.chart, sample.expected))]
            if sample.coverage != EVERYTHING:
                parts.append(sample.coverage.model_dump(mode="json"))
            for part in parts:
                said.update(to_json(part) + b"\n")
        return said.hexdigest()


def named_by(mistakes: Iterable[Mapping[str, Any]]) -> str:
    """Return what pydantic found wrong, by places, without any value."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in mistakes)
