"""Between retrieval and the choice of codes: where a model may confirm, reorder or reject candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hisbus import Case
from hisbus_coding.mentions import Mention
from hisbus_coding.retrieval import Candidate


@dataclass(frozen=True, slots=True)
class Found:
    """A mention with the codes that it may stand for, the likeliest first. None: nothing fits."""

    mention: Mention
    candidates: tuple[Candidate, ...]


class Verifier(Protocol):
    """Confirms candidates. It may reorder or remove them and change a mention's status; it never adds a code."""

    async def verify(self, case: Case, found: Sequence[Found]) -> Sequence[Found]:
        """Return what was found, as far as it stands.

        Raises:
            RetryLater: it cannot tell now; the agent is called again later.
        """
        ...


class AsRetrieved:
    """Takes every candidate as it was retrieved: what is done without a model."""

    async def verify(self, case: Case, found: Sequence[Found]) -> Sequence[Found]:
        """Return what was found."""
        return found
