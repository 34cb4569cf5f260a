"""The rules of the site's agents as these declare them: what each is called, and what of the record it needs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import delete, select

from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import Rows, write
from hisbus_schemas import Need, RuleInfo, bare

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from hisbus.frames import AgentInfo

_NEEDS = TypeAdapter(tuple[Need, ...])
_row = tables.agent_rules.c


class Rule(NamedTuple):
    """One rule of an agent."""

    agent: str
    rule: str
    info: RuleInfo | None
    needs: tuple[Need, ...]
    enabled: bool = True
    """The agent goes by it under its settings."""


async def keep(connection: "AsyncConnection", info: "AgentInfo", goes_by: Collection[str] = ()) -> None:
    """Keep what an agent declares of its rules, in place of what it declared before.

    Args:
        connection: of a transaction that writes.
        info: what it declares.
        goes_by: the rules that it goes by under its settings; empty: nobody knows, and all are taken for that.
    """
    wanted = {}
    for name in sorted(info.needs.keys() | info.rules.keys() | set(goes_by)):
        told = info.rules.get(name)
        title, source = (told.title.model_dump_json(), told.source) if told else ("", "")
        wanted[name] = (title, source, _written(info.needs_of(name)), name in goes_by or not goes_by)
    known = select(_row.rule, _row.title, _row.source, _row.needs, _row.enabled).where(_row.agent == info.name)
    if {rule: tuple(said) for rule, *said in await connection.execute(known)} == wanted:
        return
    await connection.execute(delete(tables.agent_rules).where(_row.agent == info.name))
    beside = {"agent": info.name, "changed": datetime.now(UTC)}
    rows = [
        beside | {"rule": rule, "title": title, "source": source, "needs": needs, "enabled": enabled}
        for rule, (title, source, needs, enabled) in wanted.items()
    ]
    await write(connection, Rows(tables.agent_rules, rows))


async def forget(connection: "AsyncConnection", agents: Collection[str]) -> None:
    """Keep the rules of these agents alone: what is not called needs nothing."""
    await connection.execute(delete(tables.agent_rules).where(_row.agent.not_in(sorted(agents))))


async def read(connection: "AsyncConnection") -> list[Rule]:
    """Return the rules of all agents, by agent and rule."""
    columns = (_row.agent, _row.rule, _row.title, _row.source, _row.needs, _row.enabled)
    rows = await connection.execute(select(*columns).order_by(_row.agent, _row.rule))
    return [
        Rule(agent, rule, _info(title, source), _NEEDS.validate_json(needs), enabled)
        for agent, rule, title, source, needs, enabled in rows
    ]


def asked(rules: Sequence[Rule]) -> Mapping[str, frozenset[str]]:
    """Return the items that rules need, each with the facts of a stay that call for it; none: nothing does.

    Of several that will do a fact calls for the first: of the others one stay in a hundred may have one.
    """
    found: dict[str, set[str]] = {}
    for need in (need for rule in rules for need in rule.needs):
        for number, item in enumerate(need.items):
            facts = found.setdefault(bare(item), set())
            if number == 0 and need.after:
                facts.add(need.after)
    return {item: frozenset(facts) for item, facts in sorted(found.items())}


def _written(needs: Sequence[Need]) -> str:
    return _NEEDS.dump_json(tuple(needs), exclude_defaults=True).decode()


def _info(title: str, source: str) -> RuleInfo | None:
    return RuleInfo.model_validate_json(f'{{"title":{title}}}').model_copy(update={"source": source}) if title else None
