"""The AsyncAPI 3 document: every topic, who speaks on it, and what is said. For vendors, made from ``topics.py``.

``python -m hisbus_bus.desk.asyncapi FILE`` writes it. FastStream makes the document from typed topics; what it has no
words for (headers, parameters, sizes) is added here.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI

from hisbus.frames import Call, Hello, Reply
from hisbus.hookspecs import API_VERSION
from hisbus_bus.kernel.log.kafka_cluster import DAY_MS, ENVELOPE
from hisbus_bus.kernel.topics import AGENT_TOPICS, FLOW, TOPICS, Name, Side, agent_topic, topic_name
from hisbus_schemas import Assessed, Charted, Decision, Receipt, Translated

SITE, AGENT = "{site}", "{agent}"

SAID: dict[Name, tuple[Any, str]] = {
    "raw": (
        bytes,
        "What a connector received, as it came; timers that are due; to which stay a person gave a message.",
    ),
    "events": (Translated, "What one message says, in canonical form."),
    "charted": (Charted, "A chart has a new version; the chart itself stays in the database."),
    "assessments": (Assessed, "All that one agent now has to say about one encounter."),
    "decisions": (Decision, "What a person answered to a proposal."),
    "receipts": (Receipt, "What the HIS replied to a write-back."),
}

ASKED: dict[Side, str] = {
    "cases": "Cases for one remote agent, of which it sees what it was granted. Its service alone reads them.",
    "answers": "What that service says: a sign of life every few seconds, and one reply to every call.",
}

PARAMETERS = {
    "site": {"description": "Short name of the site: `site` in its configuration."},
    "agent": {"description": "Name of the remote agent: its table `[remote.NAME]`."},
}

_TEXT = {"type": "string"}
HEADERS = {
    "type": "object",
    "description": "A CloudEvent 1.0 in Kafka binary mode. No header carries a patient's data.",
    "required": ["ce_specversion", "ce_type", "ce_source", "ce_id", "ce_time", "ce_recordedtime"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_type": _TEXT | {"description": "`hisbus.<what>.v<major>`. Ignore what has another major version."},
        "ce_source": _TEXT | {"description": "`/<site>/<step, connector or agent>`."},
        "ce_id": _TEXT | {"description": "With `ce_source` what a duplicate is known by; a call's number."},
        "ce_time": _TEXT | {"format": "date-time", "description": "When it happened."},
        "ce_recordedtime": _TEXT | {"format": "date-time", "description": "When it was stored."},
        "ce_correlationid": _TEXT | {"description": "The encounter."},
        "ce_causationid": _TEXT | {"description": "`ce_id` of what caused it; of an answer: of its call."},
        "ce_dataclassification": {"const": "restricted"},
        "keyid": _TEXT | {"description": "Which secret the keys were made with."},
        "deadline": _TEXT | {"description": "Of a call: milliseconds until it is given up."},
    },
}


@cache
def document() -> dict[str, Any]:
    """Return the document. Site and agent are parameters, so that it is the same for every site."""
    broker = KafkaBroker((), specification_url="{brokers}", protocol="kafka", logger=None)
    for name, (model, said) in SAID.items():
        broker.publisher(topic_name(SITE, name), title=name, description=f"{said} {_way(name)}", schema=model)
    cases = agent_topic(SITE, AGENT, "cases")
    broker.publisher(cases, title="cases", description=ASKED["cases"], schema=Call)
    answers = agent_topic(SITE, AGENT, "answers")
    broker.subscriber(answers, title="answers", description=ASKED["answers"])(_hear)
    title, said = "hisbus", "The topics of a site: what passes between its steps, and what a remote agent is asked."
    made: dict[str, Any] = (
        AsyncAPI(broker, title=title, version=API_VERSION, description=said).to_specification().to_jsonable()
    )
    return _completed(made)


async def _hear(said: Reply | Hello) -> None:
    """Stand for whoever hears the answers: its argument says what they are."""


def _way(name: Name) -> str:
    writers = [step for step, hop in FLOW.items() if name in hop.writes]
    readers = [step for step, hop in FLOW.items() if hop.reads == name]
    return f"Written by {', '.join(writers)}; read by {', '.join(readers) or 'nobody yet'}."


def _completed(made: dict[str, Any]) -> dict[str, Any]:
    kafka = {"host": "{brokers}", "protocol": "kafka", "variables": {"brokers": {"description": "`log.url`."}}}
    made["servers"] = {"kafka": kafka}
    made["components"]["schemas"]["Headers"] = HEADERS
    for message in made["components"]["messages"].values():
        message["headers"] = {"$ref": "#/components/schemas/Headers"}
        message["correlationId"] = {"location": "$message.header#/ce_correlationid"}
    everything = {topic.name: topic for topic in (*TOPICS.values(), *AGENT_TOPICS.values())}
    for name, channel in made["channels"].items():
        del channel["servers"]  # there is one
        channel["parameters"] = {each: PARAMETERS[each] for each in PARAMETERS if f"{{{each}}}" in channel["address"]}
        channel["bindings"]["kafka"]["topicConfiguration"] = {
            "cleanup.policy": ["delete"],
            "retention.ms": everything[name].retention_days * DAY_MS,
            "max.message.bytes": everything[name].max_bytes + ENVELOPE,
        }
    return made


def text() -> str:
    """Return the document as it is kept."""
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
