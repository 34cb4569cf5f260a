"""The flow, written once: topics, who reads and writes them, their keys, and their headers.

Topics are ``<site>.<name>.v1``. A record is a CloudEvent 1.0 in Kafka binary mode: attributes in ``ce_`` headers.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the names of the flow are known without all contracts, which take a quarter of a second to import
    from hisbus_schemas import PatientId, VisitId

MIB = 1024 * 1024

Name = Literal["raw", "events", "charted", "assessments", "decisions", "receipts"]

Side = Literal["cases", "answers"]
"""The two topics of a remote agent: what it is asked, and what it says."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the flow, or of a remote agent."""

    name: str
    keyed_by: Literal["patient", "encounter"]
    max_bytes: int
    """Largest record, bytes."""
    retention_days: int


TOPICS: Mapping[Name, Topic] = {
    "raw": Topic("raw", "patient", 33 * MIB, 90),
    "events": Topic("events", "patient", 48 * MIB, 30),
    "charted": Topic("charted", "encounter", 1 * MIB, 30),
    "assessments": Topic("assessments", "encounter", 16 * MIB, 30),
    "decisions": Topic("decisions", "encounter", 1 * MIB, 3650),
    "receipts": Topic("receipts", "encounter", 1 * MIB, 3650),
}

AGENT_TOPICS: Mapping[Side, Topic] = {
    "cases": Topic("cases", "encounter", 48 * MIB, 1),
    "answers": Topic("answers", "encounter", 16 * MIB, 1),
}
"""What lies there is a call under way: it is asked again from the flow, so a day is enough."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What one step reads and writes."""

    reads: Name | None
    writes: tuple[Name, ...]
    stores: bool = True
    """Whether the database keeps its position beside what it writes there."""


FLOW: Mapping[str, Hop] = {
    "intake": Hop(None, ("raw",), stores=False),
    "translate": Hop("raw", ("events",)),
    "chart": Hop("events", ("charted",)),
    "dispatch": Hop("charted", ("assessments",), stores=False),
    "timers": Hop("assessments", ("raw",)),
    "review": Hop("assessments", ("decisions", "raw")),
    "writeback": Hop("decisions", ("receipts",)),
}

STEPS = (*FLOW, "web")
"""What a process can be asked to run."""

INTERNAL = "hisbus"
"""The connector of what the bus itself appends to ``raw``: wakes, news of proposals, and where people put messages."""

BACKFILL = "backfill"
"""Header in ``raw`` of a message of before the site was connected: ``ALL``, or a time (ISO 8601) before which what it
tells is. In ``charted``: ``ALL`` of a stay of which that holds for all, ``ENDS`` where it goes on."""
ALL, ENDS = "all", "ends"


def topic_name(site: str, name: Name) -> str:
    """Return the topic's full name, ``<site>.<name>.v1``."""
    return f"{site}.{name}.v1"


def agent_topic(site: str, agent: str, side: Side) -> str:
    """Return the full name of a remote agent's topic, ``<site>.agent.<name>.cases.v1`` or ``.answers.v1``."""
    return f"{site}.agent.{agent}.{side}.v1"


def agent_group(site: str, agent: str) -> str:
    """Return the consumer group of a remote agent's service, ``<site>.agent.<name>``."""
    return f"{site}.agent.{agent}"


def group_name(site: str, step: str) -> str:
    """Return a step's consumer group, ``<site>.<step>``; for dispatch ``<site>.dispatch.<agent>``."""
    return f"{site}.{step}"


class Keys:
    """Keys of records: HMACs with the site's secret. Nothing about a patient can be read from them."""

    def __init__(self, secret: bytes) -> None:
        self._mac = hmac.new(secret, digestmod=hashlib.sha256)
        self.id = hashlib.sha256(secret).hexdigest()[:8]

    def _of(self, *parts: str) -> str:
        mac = self._mac.copy()
        mac.update("\x1f".join(parts).encode())
        return mac.hexdigest()[:32]

    @property
    def cache_salt(self) -> str:
        """Keeps what the model's server remembers of this site's charts apart from what others ask it."""
        return self._of("llm", "cache_salt")

    def patient(self, patient: "PatientId") -> str:
        """Return the key of a patient as received."""
        return self._of("patient", patient.authority, patient.number)

    def arrived(self, patient: "PatientId | None", message: str) -> str:
        """Return the key of a message that arrives.

        What names no patient still needs an order of its own, and a copy of it must meet the first in one place.
        """
        return self.patient(patient) if patient else self._of("message", message)

    def encounter(self, visit: "VisitId") -> str:
        """Return the id of an encounter, which is also its key."""
        counter = (visit.counter,) if visit.counter else ()
        return self._of("encounter", visit.authority, visit.number, *counter)

    def of(self, kind: str, *parts: str) -> str:
        """Return a key for anything else that must not be readable."""
        return self._of(kind, *parts)


def digest(*parts: object) -> str:
    """Return a deterministic id for an output: the hash of what it was made from."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def origin(*, type: str, site: str, keyid: str, source: str) -> dict[str, str]:
    """Return what the headers of all records of one type from one source have in common; see ``headers``."""
    return {
        "ce_specversion": "1.0",
        "ce_type": f"hisbus.{type}.v1",
        "ce_source": f"/{site}/{source}",
        "ce_dataclassification": "restricted",
        "keyid": keyid,
    }


def stamped(origin: Mapping[str, str], *, id: str, time: datetime, recorded: datetime, **more: str) -> dict[str, str]:
    """Return the headers of one record of this origin; see ``headers``."""
    headers = {**origin, "ce_id": id, "ce_time": time.isoformat(), "ce_recordedtime": recorded.isoformat()}
    for name, value in more.items():
        if value:
            headers[name] = value
    return headers


def headers(
    *,
    id: str,
    type: str,
    site: str,
    keyid: str,
    source: str,
    time: datetime,
    recorded: datetime,
    correlation: str = "",
    causation: str = "",
    **more: str,
) -> dict[str, str]:
    """Return the headers of a record: CloudEvents attributes, and ours under their own names.

    Args:
        id: deterministic; with ``source`` it is what readers drop duplicates by.
        type: ``message.received``, ``events.translated``, ``encounter.charted`` ...
        site: name of the site.
        keyid: which secret the keys were made with.
        source: connector or step.
        time: when it happened, UTC.
        recorded: when we stored it, UTC.
        correlation: the encounter.
        causation: id of what caused it.
        more: further headers; empty ones are left out.
    """
    common = origin(type=type, site=site, keyid=keyid, source=source)
    flow = {"ce_correlationid": correlation, "ce_causationid": causation}
    return stamped(common, id=id, time=time, recorded=recorded, **flow, **more)
