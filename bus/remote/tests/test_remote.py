"""A remote agent gets what it was granted, is heard when it speaks our version, and stops nobody when it is silent.

Both ends are real; the wire between them is a pair of queues.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from hisbus.agent import Case
from hisbus.errors import BadMessage, CallFailed, ConfigError, RetryLater
from hisbus.frames import AgentInfo, Hello
from hisbus.testing import make_chart, make_document, make_event, make_patient
from hisbus_bus.host import remote as remote_host
from hisbus_bus.host.calls import StoredCase
from hisbus_bus.host.remote import RemoteHost
from hisbus_bus.host.wire import ANSWER, CASE, HELLO, SPOKEN, Post, Take
from hisbus_bus.kernel import topics
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.stored import StoredChart
from hisbus_remote import Service
from hisbus_schemas import Assessment, ChartUnknown, Code, Finding, Need, Text, Wake

CANARY = "欧阳锋"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class End:
    """One end of a wire in memory."""

    def __init__(self) -> None:
        self.other: End
        self.sent: list[Post] = []
        self.cut = False
        """The other end hears nothing."""
        self._take: Take | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, take: Take) -> None:
        self._take = take

    async def send(self, post: Post) -> None:
        self.sent.append(post)
        if not self.cut:
            self.other.deliver(post)

    def deliver(self, post: Post) -> None:
        if self._take is not None:
            task = asyncio.ensure_future(self._take(post))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self._take = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def wire() -> tuple[End, End]:
    ours, theirs = End(), End()
    ours.other, theirs.other = theirs, ours
    return ours, theirs


class Brevity:
    """Says what it is told to say, and remembers what it was shown."""

    name, version = "brevity", "3"
    kinds = frozenset({"document.filed"})
    grants = frozenset({"documents", "patient"})
    needs = {"short": [Need(item="document:C0038")]}

    def __init__(self, say: Any = None) -> None:
        self.say = say
        self.seen: list[Case] = []

    async def assess(self, case: Case) -> Assessment:
        self.seen.append(case)
        if isinstance(self.say, BaseException):
            raise self.say
        if callable(self.say):
            return await self.say()
        return self.say or Assessment(evaluated=frozenset({"short"}), proposals=[finding("k")])


def finding(key: str, **more: Any) -> Finding:
    return Finding(key=key, rule="short", message=Text(zh="短", en="short"), **more)


def settings(agent: dict[str, Any] | None = None, **its: Any) -> Settings:
    table = {"kinds": ["document.filed"], "grants": ["documents"], **its}
    return Settings(site="north", remote={"brevity": table}, agents={"brevity": agent or {}})


def case(text: str = "病情平稳。") -> Case:
    chart = make_chart(documents=[make_document("C0038", text)], patient=make_patient(CANARY))
    return Case(make_event("document.filed"), chart, chart.now, settings={"least": 4})


class Pair:
    """The bus's end and the service's, joined."""

    def __init__(self, agent: Brevity, settings: Settings) -> None:
        self.ours, self.theirs = wire()
        self.agent = agent
        self.host = RemoteHost("brevity", settings, "0123abcd", self.ours)
        self.service = Service(agent, "north", self.theirs)
        self._serving: asyncio.Task[None] | None = None

    def serve(self) -> asyncio.Task[None]:
        self._serving = asyncio.create_task(self.service.run())
        return self._serving

    async def stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def until(self, state: str) -> None:
        async with asyncio.timeout(20):
            while self.host.state != state:
                await asyncio.sleep(0.01)

    async def code(self, **more: Any) -> str:
        with pytest.raises(CallFailed) as caught:
            await self.host.assess("brevity", case(), **({"deadline_s": 20} | more))
        return caught.value.code


@asynccontextmanager
async def joined(say: Any = None, *, service: bool = True, agent: Any = None, **its: Any) -> AsyncIterator[Pair]:
    pair = Pair(Brevity(say), settings(agent, **its))
    await pair.host.start()
    if service:
        pair.serve()
        await pair.until("running")
    try:
        yield pair
    finally:
        await pair.stop()
        await pair.host.close()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_host, "PATIENCE_S", 0.05)


# --- what passes ------------------------------------------------------------------------------------------------------


async def test_a_service_judges_a_case_and_its_answer_comes_back() -> None:
    async with joined() as pair:
        answer = await pair.host.assess("brevity", case(), 20)
        assert [proposal.key for proposal in answer.proposals] == ["k"]
        assert (pair.host.agents[0].version, pair.host.agents[0].kinds) == ("3", {"document.filed"})
        (seen,) = pair.agent.seen
        assert (seen.settings, seen.event and seen.event.kind) == ({"least": 4}, "document.filed")


async def test_it_receives_only_what_it_was_granted_of_what_it_asks_for() -> None:
    async with joined(grants=["documents", "orders"]) as pair:
        await pair.host.assess("brevity", case(), 20)
        (post,) = pair.ours.sent
        assert CANARY not in post.value.decode()
        (seen,) = pair.agent.seen
        assert seen.chart.patient is None and len(seen.chart.documents) == 1
        assert pair.host.agents[0].grants == {"documents"}


async def test_a_case_as_it_is_stored_is_projected_like_any_other() -> None:
    stored = StoredChart("e1", 5, NOON, "k", {"documents": "[]", "patient": f'{{"name":"{CANARY}"}}'}, STAY)
    async with joined() as pair:
        await pair.host.assess("brevity", StoredCase(None, stored), 20)
        assert CANARY not in pair.ours.sent[0].value.decode()


async def test_a_rule_whose_need_is_unknown_of_the_stay_is_taken_out_of_its_answer() -> None:
    hidden = ChartUnknown(id="u1", version="1", item="document:*", code=Code(code="X9"))
    chart = case().chart.model_copy(update={"unknown": [hidden]})
    async with joined() as pair:
        seen = await pair.host.assess("brevity", case(), 20)
        said = await pair.host.assess("brevity", Case(None, chart, chart.now), 20)
        assert seen.evaluated == {"short"} and seen.unevaluated == []
        assert (said.evaluated, said.proposals) == (frozenset(), [])
        assert [(one.rule, one.reason) for one in said.unevaluated] == [("short", "unknown_code")]


STAY = (
    '{"encounter":"e1","version":5,"now":"2026-03-01T12:00:00Z","visit":{"authority":"A","number":"V1"},'
    '"status":"admitted"}'
)


async def test_a_call_travels_as_a_cloud_event_under_the_key_of_its_encounter() -> None:
    async with joined() as pair:
        await pair.host.assess("brevity", case(), 20)
        (asked,), answered = pair.ours.sent, pair.theirs.sent[-1]
        assert asked.key == answered.key == asked.headers["ce_correlationid"] == "encounter-1"
        assert asked.headers["ce_type"] == SPOKEN[CASE] == "hisbus.agent.called.v1"
        assert answered.headers["ce_type"] == SPOKEN[ANSWER]
        assert answered.headers["ce_causationid"] == asked.headers["ce_id"] == str(json.loads(asked.value)["id"])
        assert asked.headers["keyid"] == answered.headers["keyid"] == "0123abcd"
        assert all(CANARY not in value for post in (asked, answered) for value in post.headers.values())


async def test_answers_find_their_calls_in_any_order() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    order = iter((0, 1))

    async def say() -> Assessment:
        mine = next(order)
        await gates[mine].wait()
        return Assessment(proposals=[finding(str(mine))])

    async with joined(say) as pair:
        calls = [asyncio.create_task(pair.host.assess("brevity", case(), 20)) for _ in range(2)]
        while len(pair.agent.seen) < 2:
            await asyncio.sleep(0)
        gates[1].set()
        second = await calls[1]
        gates[0].set()
        first = await calls[0]
        assert [answer.proposals[0].key for answer in (first, second)] == ["0", "1"]


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_fields_that_a_newer_bus_added_are_ignored() -> None:
    async with joined() as pair:
        newer: Callable[[Post], None] = pair.theirs.deliver

        def deliver(post: Post) -> None:
            call = json.loads(post.value)
            call["added"] = call["event"]["added"] = call["chart"]["added"] = {"later": 1}
            newer(Post(post.key, json.dumps(call).encode(), post.headers))

        pair.theirs.deliver = deliver  # type: ignore[method-assign]
        assert (await pair.host.assess("brevity", case(), 20)).proposals


async def test_another_major_version_is_not_delivered() -> None:
    async with joined() as pair:
        await pair.host.assess("brevity", case(), 20)
        (post,) = pair.ours.sent
        headers = {**post.headers, "ce_type": "hisbus.agent.called.v2"}
        said = len(pair.theirs.sent)
        await pair.service._take(Post(post.key, post.value, headers))
        assert (len(pair.agent.seen), len(pair.theirs.sent)) == (1, said)


async def test_a_call_that_it_cannot_read_is_said_to_be_so() -> None:
    async with joined() as pair:
        real = pair.theirs.deliver
        pair.theirs.deliver = lambda post: real(Post(post.key, b'{"id":1}', post.headers))  # type: ignore[method-assign]
        assert await pair.code() == "unreadable"
        assert pair.agent.seen == []


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (
            Hello(api="2.0", agents=[AgentInfo(name="brevity", version="1", kinds=frozenset(), grants=frozenset())]),
            "api",
        ),
        (
            Hello(api="1.0", agents=[AgentInfo(name="other", version="1", kinds=frozenset(), grants=frozenset())]),
            "name",
        ),
        (Hello(api="1.0"), "name"),
        (None, "bad_hello"),
    ],
)
async def test_a_service_that_is_not_ours_is_not_asked(hello: Hello | None, code: str) -> None:
    async with joined(service=False) as pair:
        value = b"{}" if hello is None else hello.model_dump_json().encode()
        await pair.host._take(Post("brevity", value, {"ce_type": SPOKEN[HELLO]}))
        assert (pair.host.state, pair.host.reason) == ("failed", code)
        with pytest.raises(RetryLater):
            await pair.host.assess("brevity", case(), 20)
        assert pair.ours.sent == []


# --- answers that do not go on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "code"),
    [
        (KeyError(CANARY), "agent_raised"),
        ("nonsense", "bad_answer"),
        (Assessment(proposals=[finding("k"), finding("k")]), "duplicate_key"),
        (Assessment(proposals=[finding(str(n)) for n in range(4)]), "too_many_proposals"),
        (Assessment(wakes=[Wake(name=str(n), due=NOON) for n in range(4)]), "too_many_wakes"),
        (Assessment(proposals=[finding("k", payload={"much": "x" * 1024 * 1024})]), "answer_too_large"),
    ],
)
async def test_an_answer_is_judged_as_that_of_a_plugins_process(say: Any, code: str, caplog: Any) -> None:
    async with joined(say, agent={"max_proposals": 3}, answer_mb=1) as pair:
        assert await pair.code() == code
    assert CANARY not in caplog.text


@pytest.mark.parametrize(("say", "error"), [(RetryLater(), RetryLater), (ConfigError("least: too small"), ConfigError)])
async def test_what_an_agent_may_raise_is_raised_here(say: Exception, error: type[Exception]) -> None:
    async with joined(say) as pair:
        with pytest.raises(error):
            await pair.host.assess("brevity", case(), 20)


async def test_an_answer_that_is_no_reply_is_refused_and_one_that_nobody_waits_for_is_not_heard() -> None:
    async with joined() as pair:
        pair.ours.cut = True
        asking = asyncio.create_task(pair.code())
        while not pair.ours.sent:
            await asyncio.sleep(0)
        id = pair.ours.sent[0].headers["ce_id"]
        for cause, value in (("7", b"{}"), ("", b"{}"), ("x", b"{}"), (id, b"{}")):
            pair.ours.deliver(Post("e", value, {"ce_type": SPOKEN[ANSWER], "ce_causationid": cause}))
        assert await asking == "bad_answer"


async def test_an_answer_to_another_call_is_not_taken_for_this_one() -> None:
    async with joined() as pair:
        pair.ours.cut = True
        asking = asyncio.create_task(pair.code())
        while not pair.ours.sent:
            await asyncio.sleep(0)
        id = pair.ours.sent[0].headers["ce_id"]
        value = b'{"id":7,"assessment":{}}'
        pair.ours.deliver(Post("e", value, {"ce_type": SPOKEN[ANSWER], "ce_causationid": id}))
        assert await asking == "bad_answer"


async def test_a_case_larger_than_its_topic_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    small = topics.Topic("cases", "encounter", 100, 1)
    monkeypatch.setattr(remote_host, "AGENT_TOPICS", {"cases": small})
    async with joined() as pair:
        with pytest.raises(BadMessage):
            await pair.host.assess("brevity", case(), 20)
        assert pair.ours.sent == []


# --- silence ----------------------------------------------------------------------------------------------------------


async def test_nothing_is_asked_of_a_service_that_was_never_heard() -> None:
    async with joined(service=False) as pair:
        with pytest.raises(RetryLater) as caught:
            await pair.host.assess("brevity", case(), 20)
        assert (caught.value.code, pair.host.state, pair.ours.sent) == ("silent", "starting", [])


async def test_a_call_waits_for_a_service_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_host, "PATIENCE_S", 20)
    async with joined(service=False) as pair:
        asking = asyncio.create_task(pair.host.assess("brevity", case(), 20))
        await asyncio.sleep(0)
        pair.serve()
        assert (await asking).proposals


async def test_a_service_that_falls_silent_is_shown_and_its_calls_wait() -> None:
    async with joined(silence_s=0.05) as pair:
        await pair.stop()
        await pair.until("silent")
        with pytest.raises(RetryLater):
            await pair.host.assess("brevity", case(), 20)
        assert pair.ours.sent == []
        pair.serve()
        await pair.until("running")


async def test_an_outage_fails_one_call_and_lets_the_others_wait() -> None:
    async with joined() as pair:
        await pair.stop()
        assert await pair.code(deadline_s=0.01) == "deadline"
        assert pair.host.state == "silent"
        with pytest.raises(RetryLater):
            await pair.host.assess("brevity", case(), 0.01)


async def test_a_call_that_takes_too_long_has_failed_and_its_late_answer_is_not_heard() -> None:
    gate = asyncio.Event()

    async def say() -> Assessment:
        await gate.wait()
        return Assessment()

    async with joined(say) as pair:
        assert await pair.code(deadline_s=0.05) == "deadline"
        pair.host._greet(pair.theirs.sent[0])
        gate.set()
        pair.agent.say = None
        assert (await pair.host.assess("brevity", case(), 20)).proposals


async def test_the_service_drops_what_the_bus_has_given_up() -> None:
    async def say() -> Assessment:
        await asyncio.Event().wait()
        raise AssertionError

    async with joined(say) as pair:
        assert await pair.code(deadline_s=0.01) == "deadline"
        await pair.service._take(pair.ours.sent[0])
        assert [post.headers["ce_type"] for post in pair.theirs.sent] == [SPOKEN[HELLO]]


async def test_a_service_without_memory_ends_so_that_it_is_started_again() -> None:
    pair = Pair(Brevity(MemoryError()), settings())
    await pair.host.start()
    serving = pair.serve()
    await pair.until("running")
    assert await pair.code(deadline_s=0.05) == "deadline"
    with pytest.raises(MemoryError):
        await serving
    await pair.host.close()


# --- the configuration ------------------------------------------------------------------------------------------------


def test_a_remote_agents_topics_are_named_like_the_others() -> None:
    assert topics.agent_topic("north", "brevity", "cases") == "north.agent.brevity.cases.v1"
    assert topics.agent_topic("north", "brevity", "answers") == "north.agent.brevity.answers.v1"
    assert topics.agent_group("north", "brevity") == "north.agent.brevity"


@pytest.mark.parametrize("its", [{"grants": ["everything"]}, {"kinds": []}, {"answer_mb": 16}])
def test_what_a_remote_agent_may_is_checked_in_the_configuration(its: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="remote"):
        settings(**its)
