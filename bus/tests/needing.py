"""What an agent that needs something says, for tests of what the host makes of it."""

from collections.abc import Sequence
from typing import Any

from hisbus.frames import AgentInfo
from hisbus_schemas import Assessment, Finding, Need, Text


def agent(**needs: Sequence[Need]) -> AgentInfo:
    return AgentInfo(name="qc", version="1", kinds=frozenset(), grants=frozenset(), needs=needs)


def finding(rule: str) -> Finding:
    return Finding(key=rule, rule=rule, message=Text(zh="缺", en="missing"))


def answer(*rules: str, **more: Any) -> Assessment:
    return Assessment(evaluated=frozenset(rules), proposals=[finding(rule) for rule in rules], **more)
