"""Is it alive, is it ready, how far behind is each step?"""

from collections.abc import Sequence
from dataclasses import asdict

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from hisbus_bus.desk.process import ELSEWHERE, AgentState, Process
from hisbus_bus.desk.read import operations
from hisbus_bus.flow.lag import lag
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.telemetry import REGISTRY

router = APIRouter()


class Alive(BaseModel):
    """The process answers."""

    alive: bool = True


class Agent(BaseModel):
    """How one agent is doing."""

    name: str
    status: str
    plugin: str
    version: str
    reason: str
    """Why it has this status, as a stable code."""
    waits_for: str
    """What its calls wait for since it is not available, as a stable code; empty: they do not."""
    asks: bool
    """It asks the model."""


class Model(BaseModel):
    """How the model's server is doing."""

    status: str
    """``none``: none is configured. ``up``, or ``down``: it is left alone for a while, agents that ask it wait.
    ``elsewhere``: another process asks it."""
    name: str
    reason: str
    """Why it is left alone, as a stable code."""


class Held(BaseModel):
    """A part of the site that an operator holds."""

    target: str
    now: str
    """``stopping``, ``paused`` or ``drained``."""


class Readiness(BaseModel):
    """Whether it can work, and how much waits."""

    ready: bool
    """Log and database answer (otherwise there is no such answer), and every agent that is called runs.

    A model that is down leaves it ready: agents wait for it, and rules go on.
    """
    lag: dict[str, int]
    """By step: records and rows that wait or are being worked on; ``timers`` counts what is due as well."""
    durability: str
    """``embedded``: one machine holds the log. ``replicated``: several do. ``single-broker``: one broker does."""
    plaintext: list[str]
    """Connectors whose messages travel unencrypted between machines, as the configuration allows."""
    agents: list[Agent]
    model: Model
    held: list[Held]
    """What an operator has paused or drains. It leaves the site ready: somebody wants it so."""


@router.get("/healthz", tags=["health"])
async def alive() -> Alive:
    """Say that the process answers."""
    return Alive()


@router.get("/readyz", tags=["health"])
async def ready(request: Request) -> Readiness:
    """Say how far behind each step is. Counts only, so it needs no log-in."""
    site: Site = request.app.state.site
    process: Process = request.app.state.process
    called = agents_called(site, process)
    waiting = await lag(site, [agent.name for agent in called])
    return Readiness(
        ready=all(agent.status in {"running", ELSEWHERE} for agent in called),
        lag=waiting,
        durability=durability(site),
        plaintext=request.app.state.plaintext,
        agents=[Agent(**asdict(agent)) for agent in process.agents],
        model=Model(**asdict(process.model)),
        held=[Held(target=one.target, now=one.now) for one in await operations.asked(site) if one.wanted != "run"],
    )


@router.get("/metrics", tags=["health"], response_class=Response)
async def metrics() -> Response:
    """Expose the metrics for Prometheus."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def agents_called(site: Site, process: Process) -> Sequence[AgentState]:
    """Return the agents that the site has not switched off."""
    return [agent for agent in process.agents if site.settings.agent(agent.name).enabled]


def durability(site: Site) -> str:
    """Say what a loss of hardware costs: ``embedded`` where one machine holds the log."""
    if site.settings.log.url.startswith("sqlite:"):
        return "embedded"
    return site.settings.log.durability
