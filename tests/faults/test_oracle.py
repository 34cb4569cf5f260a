"""The oracle itself: what it takes for an order that was kept, and what it does not."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from tests.faults.oracle import STORED, agents_saw_them_in_order

from hisbus_bus.kernel.log import Record
from hisbus_schemas import Assessed, Assessment, Charted

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = {3: "order.placed"}
"""Of the third version, for which the agent does not ask; all others are of documents."""

Said = tuple[int, int, int]
"""Of an answer: the version of its event, the chart that it read, since which version it stands."""


def stored(said: Sequence[Said], versions: int = 5) -> STORED:
    """Return a log with the versions of one stay, and what an agent answered in turn."""
    charted = [
        Charted(id=f"c{n}", encounter="stay", version=n, event=f"e{n}", kind=KINDS.get(n, "document.filed"), key="k")
        for n in range(1, versions + 1)
    ]
    answers = [
        Assessed(
            id=f"a{event}", agent="qc", agent_version="1", encounter="stay", version=read, event=f"e{event}", key="k",
            now=NOON, assessment=Assessment(), since=since,
        )
        for event, read, since in said
    ]  # fmt: skip
    return {
        "charted": [Record("charted", 0, n, "stay", one.model_dump_json().encode(), {}, NOON)
                    for n, one in enumerate(charted)],
        "assessments": [Record("assessments", 0, n, "stay", one.model_dump_json().encode(), {}, NOON)
                        for n, one in enumerate(answers)],
    }  # fmt: skip


CONTROL_IDS = {f"e{n}": f"run-p1-{n:05}" for n in range(1, 6)}


@pytest.mark.parametrize(
    "said",
    [
        [(1, 1, 0), (2, 2, 0), (4, 4, 0), (5, 5, 0)],
        [(1, 4, 0), (2, 4, 0), (4, 5, 0), (5, 5, 0)],
        [(4, 4, 1), (5, 5, 0)],
        [(4, 4, 1), (2, 4, 1), (5, 5, 4)],
        [(4, 4, 1), (1, 5, 0), (5, 5, 2)],
        [(2, 2, 1), (1, 3, 0), (5, 5, 1)],
    ],
    ids=[
        "one by one", "each by a newer chart", "together", "together, and again in part after a death",
        "again one by one, by a newer chart", "again with what is new",
    ],
)  # fmt: skip
def test_an_order_that_is_kept(said: Sequence[Said]) -> None:
    agents_saw_them_in_order(stored(said), CONTROL_IDS)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([(2, 2, 0), (1, 2, 0)], "first after a later one"),
        ([(5, 5, 4), (2, 5, 1)], "first after a later one"),
        ([(5, 5, 1), (4, 4, 1)], "goes back"),
        ([(4, 3, 1)], "older chart"),
    ],
    ids=["a later one first", "together, and an earlier one left behind", "an older chart", "without its own event"],
)
def test_an_order_that_is_not(said: Sequence[Said], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        agents_saw_them_in_order(stored(said), CONTROL_IDS)


def test_after_a_restore_what_was_judged_together_comes_again_of_the_chart_as_it_was() -> None:
    said = [(4, 4, 1), (2, 2, 0), (5, 5, 3)]
    agents_saw_them_in_order(stored(said), CONTROL_IDS, restored=True)
    with pytest.raises(AssertionError, match="goes back"):
        agents_saw_them_in_order(stored(said), CONTROL_IDS)
    with pytest.raises(AssertionError, match="goes back"):
        agents_saw_them_in_order(stored([(4, 4, 1), (2, 2, 0), (5, 5, 3), (1, 4, 0)]), CONTROL_IDS, restored=True)


def test_messages_that_reached_the_chart_in_another_order_than_they_were_sent() -> None:
    swapped = CONTROL_IDS | {"e1": CONTROL_IDS["e2"], "e2": CONTROL_IDS["e1"]}
    with pytest.raises(AssertionError, match="late"):
        agents_saw_them_in_order(stored([(1, 1, 0), (2, 2, 0)]), swapped)
