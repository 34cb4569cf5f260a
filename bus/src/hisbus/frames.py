"""What passes between a plugin's process and the bus: frames of four bytes of length (big endian) and JSON.

The child speaks first (``Hello``); then every ``Call`` gets one ``Reply``, in any order. The frame type ``llm``,
with which a child will ask the parent for a model's answer, is reserved: no version sends it yet.
"""

import struct
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hisbus_schemas import GRANTS, Assessment, Chart, Contract, Event, Instant, Proposal

LENGTH = struct.Struct(">I")

Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Kind = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+!-]{1,64}$")]


def _known(grants: frozenset[str]) -> frozenset[str]:
    if not grants <= set(GRANTS):
        raise ValueError("unknown grant")
    return grants


class AgentInfo(Contract):
    """What an agent declares. Its words name groups, metrics and addresses, so they are checked here again."""

    name: Word
    version: Version
    kinds: Annotated[frozenset[Kind], Field(max_length=1000)]
    grants: Annotated[frozenset[str], AfterValidator(_known)]


class Hello(Contract):
    """The first frame of a child: its agents, or why there are none."""

    type: Literal["hello"] = "hello"
    api: Annotated[str, Field(pattern=r"^\d{1,4}\.\d{1,4}$")]
    """The API's version where the plugin is installed."""
    agents: Annotated[list[AgentInfo], Field(max_length=100)] = []
    failure: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")] = ""


class Call(Contract):
    """One case for one agent."""

    type: Literal["call"] = "call"
    id: int
    agent: str
    event: Event | None
    chart: Chart
    now: Instant
    proposals: list[Proposal] = []
    settings: dict[str, Any] = {}
    terms: str = ""
    """Path of the site's file of terminologies."""
    max_proposals: int


class Reply(Contract):
    """The answer to one call: an assessment, or the code of a failure and the hash of where it arose."""

    type: Literal["reply"] = "reply"
    id: int
    assessment: Assessment | None = None
    failure: Literal[
        "", "retry_later", "config", "agent_raised", "bad_answer", "too_many_proposals", "answer_too_large"
    ] = ""
    said: Annotated[str, Field(max_length=500)] = ""
    """What the agent says of its settings; only where there is no event, so that no patient can be in it."""
    stack: Annotated[str, Field(pattern=r"^[0-9a-f]{0,16}$")] = ""


def pack(frame: Contract) -> bytes:
    """Return the bytes of a frame."""
    return _framed(frame.model_dump_json())


def pack_call(id: int, call: str) -> bytes:
    """Return the bytes of a ``Call`` that is JSON already, all but its id."""
    return _framed(f'{{"id":{id},{call[1:]}')


def _framed(text: str) -> bytes:
    body = text.encode()
    return LENGTH.pack(len(body)) + body
