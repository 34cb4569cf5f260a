"""Breaker and turns as state machines: whatever happens in whatever order, they keep what they promise."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from hisbus.errors import RetryLater
from hisbus_bus.host.llm.breaker import Breaker
from hisbus_bus.host.llm.turns import MOST_WAITING, Priority, Turns

FAILURES, PAUSE = 3, 10.0


class BreakerMachine(RuleBasedStateMachine):
    """Against a model of what the breaker promises: a count, a time, and at most one who tries."""

    inside = Bundle("inside")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(FAILURES, PAUSE)
        self.now = 0.0
        self.in_a_row = 0
        self.opened: float | None = None
        self.trying: object | None = None

    @property
    def closed_to_all(self) -> bool:
        waits = self.opened is not None and self.now < self.opened + PAUSE
        return self.trying is not None or waits

    @rule(seconds=st.floats(0, 2 * PAUSE))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=inside)
    def enter(self) -> object:
        try:
            entered = self.breaker.enter(self.now)
        except RetryLater as error:
            assert self.closed_to_all and error.code == "llm"
            return object()
        assert not self.closed_to_all
        if self.opened is not None:
            self.trying = entered
        return entered

    @rule(who=consumes(inside))
    def succeed(self, who: object) -> None:
        self.breaker.succeeded(self.now)
        self.in_a_row, self.opened, self.trying = 0, None, None

    @rule(who=consumes(inside))
    def fail(self, who: object) -> None:
        self.breaker.failed(who, self.now, "llm_busy")
        self.in_a_row += 1
        if who is self.trying or (self.opened is None and self.in_a_row >= FAILURES):
            self.opened, self.trying = self.now, None

    @rule(who=consumes(inside))
    def give_up(self, who: object) -> None:
        self.breaker.left(who)
        if who is self.trying:
            self.trying = None

    @invariant()
    def state_is_what_it_must_be(self) -> None:
        expected = "trying" if self.trying is not None else "closed" if self.opened is None else "open"
        assert self.breaker.state == expected

    @invariant()
    def it_never_stays_closed_to_all_for_longer_than_a_pause(self) -> None:
        if self.trying is None:
            self.breaker.check(self.now + PAUSE)


class TestBreaker(BreakerMachine.TestCase):
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from([0, 10, 20])),
        st.tuples(st.sampled_from(["leave", "give up"]), st.integers(0, 30)),
    ),
    max_size=40,
)


@given(places=st.integers(1, 4), steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_turns_are_bounded_the_urgent_come_first_and_no_place_is_lost(places: int, steps: list[Step]) -> None:
    asyncio.run(_turns(places, steps))


async def _turns(places: int, steps: list[Step]) -> None:
    turns = Turns(places)
    began: list[int] = []
    came: list[tuple[Priority, asyncio.Task[None], asyncio.Event]] = []

    async def take(number: int, priority: Priority, leave: asyncio.Event) -> None:
        async with turns.turn(priority):
            began.append(number)
            await leave.wait()

    async def settle() -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    for what, argument in steps:
        holding = [n for n in began if not came[n][1].done()]
        waiting = [n for n in range(len(came)) if n not in began and not came[n][1].done()]
        if what == "come":
            priority, leave = Priority(argument), asyncio.Event()
            came.append((priority, asyncio.create_task(take(len(came), priority, leave)), leave))
        elif what == "leave" and holding:
            came[holding[argument % len(holding)]][2].set()
        elif what == "give up" and (holding or waiting):
            both = holding + waiting
            came[both[argument % len(both)]][1].cancel()
        before = len(began)
        await settle()
        holding = [n for n in began if not came[n][1].done()]
        waiting = [n for n in range(len(came)) if n not in began and not came[n][1].done()]
        assert turns.taken == len(holding) <= places
        assert turns.waiting == len(waiting)
        for late in waiting:
            assert turns.taken >= turns.places(came[late][0]), "a place is free, and somebody waits who may take it"
        for early in began[before:]:
            better = [n for n in waiting if (came[n][0], n) < (came[early][0], early)]
            assert not better, "somebody less urgent, or later, went first"
    for _, task, _ in came:
        task.cancel()
    await asyncio.gather(*(task for _, task, _ in came), return_exceptions=True)
    assert (turns.taken, turns.waiting) == (0, 0)


async def test_a_turn_that_comes_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    turns = Turns(1)
    first = turns.turn(Priority.LIVE)
    await first.__aenter__()
    second = asyncio.create_task(turns.turn(Priority.LIVE).__aenter__())
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    async with asyncio.timeout(1), turns.turn(Priority.LIVE):
        assert turns.taken == 1


async def test_more_than_can_wait_are_sent_back() -> None:
    turns = Turns(1)
    async with turns.turn(Priority.LIVE):
        tasks = [asyncio.create_task(turns.turn(Priority.LIVE).__aenter__()) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(RetryLater) as caught:
            async with turns.turn(Priority.INTERACTIVE):
                raise AssertionError
        assert caught.value.code == "llm_busy"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
