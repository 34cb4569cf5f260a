"""What is connected follows from what was said: by the configuration, by people, and by what was seen."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.frames import AgentInfo
from hisbus_bus.desk.read import coverage as listed
from hisbus_bus.kernel import coverage, rules, tables
from hisbus_bus.kernel.coverage import ANYTHING, CONFIGURED, FOUND, Said, State, Word
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.settings import CoverageSettings
from hisbus_bus.kernel.site import Site
from hisbus_schemas import EVERY_OTHER, Coverage, Need, RuleInfo, Text

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTE, CONSENT, PERSON = "document:C0034", "document:C0026", "user:qc"
OBSERVED = (CONFIGURED, ANYTHING, "", "observed")


def told(*words: tuple[str, str, str, State]) -> Coverage:
    numbered = enumerate(words, 1)
    said = [Said(Word(item, ward, state), who, number, NOON) for number, (who, item, ward, state) in numbered]
    return coverage.told(said)


def test_before_anything_is_said_everything_is_connected() -> None:
    assert told() == Coverage()


def test_an_observed_site_has_what_was_found_and_nothing_else() -> None:
    said = told(OBSERVED, (FOUND, NOTE, "", "connected"))
    assert (said.version, said.brings(NOTE), said.brings(CONSENT)) == (2, True, False)


def test_what_was_found_counts_only_while_the_site_is_observed() -> None:
    found = (FOUND, NOTE, "骨科", "not_connected")
    assert told((FOUND, NOTE, "", "connected"), found).brings(NOTE, "骨科")
    assert told(OBSERVED, found, (CONFIGURED, ANYTHING, "", "connected")).brings(NOTE, "骨科")


@pytest.mark.parametrize("by", [PERSON, CONFIGURED])
def test_what_a_person_says_goes_before_what_was_found_whenever_it_was_said(by: str) -> None:
    connected, lacking = (FOUND, NOTE, "", "connected"), (FOUND, NOTE, "骨科", "not_connected")
    no, yes = (by, NOTE, "", "not_connected"), (by, NOTE, "", "connected")
    for words in ((OBSERVED, connected, no), (OBSERVED, no, connected)):
        assert not told(*words).brings(NOTE)
    assert told(OBSERVED, connected, lacking, yes).brings(NOTE, "骨科"), "of all departments"
    ward = (FOUND, NOTE, "骨科", "connected")
    assert not told(OBSERVED, connected, ward, (by, NOTE, "骨科", "not_connected")).brings(NOTE, "骨科")
    assert told(no).brings(CONSENT) and not told(no).brings(NOTE), "also where nothing is observed"


def test_a_word_that_is_taken_back_leaves_what_was_found() -> None:
    back = (PERSON, NOTE, "", "observed")
    no = (PERSON, NOTE, "", "not_connected")
    assert told(OBSERVED, (FOUND, NOTE, "", "connected"), no, back).brings(NOTE)
    assert not told(OBSERVED, no, back).brings(NOTE)


def test_what_a_person_takes_back_leaves_the_word_of_the_configuration() -> None:
    configured, back = (CONFIGURED, NOTE, "", "not_connected"), (PERSON, NOTE, "", "observed")
    assert not told(configured, back).brings(NOTE)
    assert not told(configured, (PERSON, NOTE, "", "connected"), back).brings(NOTE)
    assert not told(OBSERVED, (FOUND, NOTE, "", "connected"), configured, back).brings(NOTE)


def test_what_is_no_longer_configured_leaves_the_word_of_a_person() -> None:
    assert not told((PERSON, NOTE, "", "not_connected"), (CONFIGURED, NOTE, "", "observed")).brings(NOTE)


def test_of_a_person_and_the_configuration_the_newest_word_counts() -> None:
    no, yes = (CONFIGURED, NOTE, "", "not_connected"), (PERSON, NOTE, "", "connected")
    assert told(no, yes).brings(NOTE) and not told(yes, no).brings(NOTE)
    assert told(yes, no, yes).brings(NOTE), "said again"


# --- saying it --------------------------------------------------------------------------------------------------------


async def say(site: Site, *words: Word, who: str = PERSON) -> bool:
    async with site.database.write() as connection:
        return await coverage.say(connection, site.headers, words, who)


async def configured(site: Site, **settings: Any) -> Coverage:
    async with site.database.write() as connection:
        await coverage.configure(connection, site.headers, CoverageSettings(**settings))
        return await coverage.read(connection)


async def waiting(site: Site) -> list[str]:
    """Return the ids of what is on its way to the log."""
    async with site.database.read() as connection:
        return list(await connection.scalars(select(tables.outbox.c.id)))


async def stay(site: Site, id: str, status: str, **more: Any) -> None:
    row: dict[str, Any] = dict.fromkeys(("authority", "number", "connector", "timezone", "claims", "named"), "")
    row |= {"id": id, "status": status, "key": f"key-{id}", "now": NOON, "version": 1, "assigned": "", "stay": "{}"}
    async with site.database.write() as connection:
        await connection.execute(tables.encounters.insert(), row | more)


async def proposal(site: Site, encounter: str, status: str) -> None:
    columns = tables.proposals.c
    row: dict[str, Any] = {column.name: "" for column in columns}
    row |= {"id": f"{encounter}-{status}", "identity": f"{encounter}-{status}", "revision": 1, "version": 1}
    row |= {"encounter": encounter, "status": status, "rectified": False, "points": 0.0, "opened": NOON, "due": None}
    async with site.database.write() as connection:
        await connection.execute(tables.proposals.insert(), row | {"body": b"", "shadow": False})


async def test_saying_the_same_again_says_nothing(site: Site) -> None:
    word = Word(NOTE, "", "not_connected")
    assert await say(site, word)
    assert not await say(site, word)
    assert not await say(site, Word(CONSENT, "", "observed")), "nothing was said of it"


async def test_a_person_may_repeat_what_the_configuration_has_overruled_since(site: Site) -> None:
    word = Word(NOTE, "", "connected")
    await say(site, word)
    await configured(site, items={NOTE: "not_connected"})
    assert await say(site, word) and not await say(site, word)
    async with site.database.read() as connection:
        assert (await coverage.read(connection)).brings(NOTE)


async def test_nothing_of_a_person_is_there_to_take_back_where_the_configuration_alone_spoke(site: Site) -> None:
    before = await configured(site, items={NOTE: "not_connected"})
    assert not await say(site, Word(NOTE, "", "observed"))
    assert await configured(site, items={NOTE: "not_connected"}) == before


async def test_those_are_told_who_are_not_closed_or_wait_for_a_person_or_had_something_withdrawn(site: Site) -> None:
    for id, status in (("e1", "admitted"), ("e2", "discharged"), ("e3", "discharged"), ("e4", "cancelled")):
        await stay(site, id, status)
    await stay(site, "e5", "discharged")
    await proposal(site, "e2", "stale")
    await proposal(site, "e3", "accepted")
    await proposal(site, "e5", "withdrawn")
    await stay(site, "e6", "admitted", past=True)
    await say(site, Word(NOTE, "", "not_connected"))
    async with site.database.read() as connection:
        keys = list(await connection.scalars(select(tables.outbox.c.key).order_by(tables.outbox.c.key)))
    assert keys == ["key-e1", "key-e2", "key-e5"]


async def test_the_departments_that_are_known_are_those_of_the_stays_and_of_the_staff(site: Site) -> None:
    await stay(site, "e1", "admitted", stay='{"department": "内科"}')
    await stay(site, "e2", "admitted", stay='{"department": ""}')
    await stay(site, "e3", "admitted")
    about = {"authority": "", "name": "甲", "title": "", "head": False}
    async with site.database.write() as connection:
        people = [("1", "骨科", None), ("2", "旧科", NOON), ("3", "", None)]
        rows = [about | {"number": number, "department": ward, "left": left} for number, ward, left in people]
        await connection.execute(tables.staff.insert(), rows)
    async with site.database.read() as connection:
        assert await listed.departments(connection) == ["内科", "骨科"]


async def test_what_changes_nothing_that_is_judged_makes_no_version(site: Site) -> None:
    await stay(site, "e1", "admitted")
    assert await say(site, Word(NOTE, "", "connected"))
    assert await waiting(site) == []
    async with site.database.read() as connection:
        assert (await coverage.read(connection)).version == 0
        (row,) = await connection.execute(select(tables.audit.c.actor, tables.audit.c.action, tables.audit.c.object))
    assert tuple(row) == (PERSON, "coverage.connected", NOTE)


async def test_the_configuration_is_said_once_and_what_is_no_longer_in_it_is_taken_back(site: Site) -> None:
    assert await configured(site) == Coverage(), "as shipped nothing is said"
    now = await configured(site, default="observed", items={NOTE: "connected", "document:*": "not_connected"})
    assert (now.version, now.others, now.site) == (1, False, {NOTE: True, "document": False})
    assert await configured(site, default="observed", items={NOTE: "connected", "document": "not_connected"}) == now
    now = await configured(site, default="observed")
    assert (now.version, now.others, now.site) == (2, False, {})
    assert (await configured(site)).others


async def test_what_a_person_said_since_stands_when_the_site_starts_again(site: Site) -> None:
    await configured(site, items={NOTE: "not_connected"})
    await say(site, Word(NOTE, "", "connected"))
    assert (await configured(site, items={NOTE: "not_connected"})).brings(NOTE)


# --- what rules need --------------------------------------------------------------------------------------------------


def info(name: str = "qc", **needs: tuple[Need, ...]) -> AgentInfo:
    told = {"R01": RuleInfo(title=Text(zh="入院记录", en="Admission record"), source="规范")}
    return AgentInfo(name=name, version="1", kinds=frozenset(), grants=frozenset(), needs=needs, rules=told)


async def kept(database: Database) -> list[rules.Rule]:
    async with database.read() as connection:
        return await rules.read(connection)


async def test_the_rules_of_an_agent_are_those_that_it_declared_last(database: Database) -> None:
    one, two = Need(item=NOTE, after="admission"), Need(any=(CONSENT, "class"))
    for declared in (info(R01=(one,), R02=(two,)), info(R01=(two,)), info("coding", R09=(one,))):
        async with database.write() as connection:
            await rules.keep(connection, declared)
    found = await kept(database)
    assert [(rule.agent, rule.rule, rule.needs) for rule in found] == [
        ("coding", "R01", ()),
        ("coding", "R09", (one,)),
        ("qc", "R01", (two,)),
    ]
    assert found[0].info == RuleInfo(title=Text(zh="入院记录", en="Admission record"), source="规范")
    assert found[1].info is None
    async with database.write() as connection:
        await rules.forget(connection, ["coding"])
    assert {rule.agent for rule in await kept(database)} == {"coding"}


async def test_declaring_the_same_again_changes_nothing(database: Database) -> None:
    changed = select(tables.agent_rules.c.changed)
    times = []
    for _ in range(2):
        async with database.write() as connection:
            await rules.keep(connection, info(R01=(Need(item=NOTE),)))
            times.append(await connection.scalar(changed))
    assert times[0] == times[1]


async def test_the_rules_that_an_agent_goes_by_are_told_from_those_that_are_switched_off(database: Database) -> None:
    one, any_ = Need(item=NOTE), Need(item="class")
    async with database.write() as connection:
        await rules.keep(connection, info(R01=(one,), R02=(one,), **{EVERY_OTHER: (any_,)}), ["R01", "H01"])
    found = {rule.rule: (rule.enabled, rule.needs) for rule in await kept(database)}
    assert found == {
        "R01": (True, (one,)),
        "R02": (False, (one,)),
        "H01": (True, (any_,)),  # the hospital's own
        EVERY_OTHER: (False, (any_,)),
    }


def test_what_is_asked_after_is_every_item_of_every_need_and_of_several_the_first_is_called_for() -> None:
    needs = (Need(item=NOTE, after="admission"), Need(item="document:*"), Need(any=(NOTE, CONSENT), after="operation"))
    found = rules.asked([rules.Rule("qc", "R01", None, needs)])
    assert found == {
        NOTE: {"admission", "operation"},
        CONSENT: frozenset(),
        "document": frozenset(),
    }
