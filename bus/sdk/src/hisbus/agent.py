"""What an agent is: four words, Case, Chart, Assessment, Finding."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hisbus_schemas import Assessment, Chart, Coverage, Event, Proposal


class LLM(Protocol):
    """The only way to a model. The parent process answers; an agent never opens a connection."""

    @property
    def model(self) -> str:
        """The model's name: what an agent writes into ``model`` of the proposals that rest on its answers."""
        ...

    async def ask(self, *, system: str, question: str, answer: type[Any], only: Collection[str] | None = None) -> Any:
        """Return the model's answer as the given pydantic model.

        The bus shows it the record, as far as the agent sees it; entries carry labels (``hisbus.evidence``). Several
        questions may wait at a time, and while one does, the agent's deadline stands still.

        Args:
            system: the instructions, constant.
            question: what is asked of this record. It stands after the record, so that all agents share that.
            answer: its form. Texts and lists need a ``max_length``, numbers a range; objects are flat and closed.
            only: ids of the entries to show; None: all. Showing all to everybody is faster as long as it fits.

        Raises:
            RetryLater: the model is down. Let it pass: the agent is called again when the model is back.
            NotEvaluated: there was no usable answer, ``code`` says why. Leave the rule out of ``evaluated``.
            ConfigError: the form is not bounded; ``code`` names the field.
        """
        ...


@dataclass(frozen=True)
class Case:
    """What an agent is given to judge: one event and the chart as it stands."""

    event: Event | None
    """What woke the agent. None: a replay or an evaluation of the chart as it is."""
    chart: Chart
    now: datetime
    """The present, UTC. No agent reads a clock."""
    llm: LLM | None = None
    """None: no model is configured."""
    proposals: Sequence[Proposal] = ()
    """Other agents' open proposals, where granted, each with its ``id`` and ``agent``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The operator's settings for this agent: the table ``[agents.NAME.settings]``."""
    terms: Path | None = None
    """The site's file of terminologies, which ``hisbus.terms`` reads; None: not told. It may not exist yet."""
    release: str = ""
    """The release that the agent goes by, as the bus knows it; empty: none, as in a test."""
    coverage: Coverage = field(default_factory=Coverage)
    """What the site's feeds bring. The bus takes rules out whose ``needs`` they do not; without a word all is brought.
    """


@runtime_checkable
class Agent(Protocol):
    """Reads a case and returns everything it has to say about it. Nothing to inherit.

    More may be declared (``hisbus.frames.AgentInfo``): ``latest_only``, where several events of a stay wait one
    call with the newest chart will do; ``asks``, it asks the model; both false where they are not. And ``needs``: by
    rule, what of the record it must have to judge (``hisbus_schemas.Need``). While that is unknown of a stay, the bus
    takes the rule out of the answer, so that nothing of it opens and nothing closes. Where the site's feeds do not
    bring it, the rule is out as well, and what was found by it is withdrawn. ``rules`` gives titles and sources for the
    page of rules (``hisbus_schemas.RuleInfo``).
    """

    name: str
    version: str
    kinds: frozenset[str]
    """Kinds of events that wake it."""
    grants: frozenset[str]
    """Parts of the chart it may see (``hisbus_schemas.GRANTS``), and other agents' proposals (``PROPOSALS``)."""

    async def assess(self, case: Case) -> Assessment:
        """Judge a case. Complete each time, and without side effects."""
        ...
