"""Of a chart that a process was sent before no more leaves than what changed, and it sees the chart as it stands."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hisbus.frames import KeptCall, unpack
from hisbus.kept import KeptCharts
from hisbus_bus.host.outgoing import Outgoing, Sent
from hisbus_bus.kernel.stored import EMPTY, StoredChart, row
from hisbus_schemas import GRANTS, LISTS, Chart

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTS = tuple(part.name for part in LISTS)
STAY = '{"visit":{"authority":"A","number":"V"},"status":"admitted"}'
REST = json.dumps({"agent": "qc", "now": NOON.isoformat(), "max_proposals": 9, "event": None, "proposals": []})
ONE_EACH = [frozenset({grant}) for grant in GRANTS] + [frozenset[str](), frozenset(GRANTS), frozenset(GRANTS[:3])]
AT = {"at": "2026-03-01T12:00:00Z"}


def item(part: str, entry: str, version: int) -> dict[str, Any]:
    """One entry that names its part in words of its own."""
    code = {"code": f"of-{part}-{version}"}
    more: dict[str, Any] = {
        "documents": {"number": "1", "type": code, "status": "draft", "received": AT["at"], "filed": AT}
        | {"sections": [{"name": "T", "text": f"of-{part}"}], "fields": {"a": "b"}},
        "diagnoses": {"status": "final", "code": code},
        "procedures": {"key": "k", "code": code},
        "orders": {"key": "k", "status": "placed", "what": code, "notes": ["n"]},
        "results": {"report": "r", "service": code, "item": code, "values": ["1"]},
        "vitals": {"report": "r", "service": code, "item": code, "values": ["1"]},
        "charges": {"key": "k", "code": code},
        "allergies": {"key": "k", "what": code},
        "administrations": {"key": "k", "what": code},
        "moves": {"since": AT, "kind": f"of-{part}-{version}"},
        "unknown": {"item": "class", "code": code},
    }
    return {"id": f"{entry}.{part}", "version": str(version)} | more[part]


def after(before: StoredChart | None, version: int, changes: Sequence[tuple[str, str, bool]]) -> StoredChart:
    """The stay once entries have changed, each in one part: it shows something there, or nothing any more."""
    parts = {} if before is None else dict(before.parts)
    for part, entry, shown in dict.fromkeys(changes):
        items = json.dumps([item(part, entry, version)] if shown else [])
        parts[part] = parts.get(part, EMPTY).after([row(part, entry, f"place-{entry}", version, items)])
    fields = {"patient": json.dumps({"id": {"authority": "A", "number": "of-patient"}})}
    since = version if before is None else before.since
    return StoredChart("e1", version, NOON, f"key-{version}", fields, STAY, parts, since)


def afresh(stay: StoredChart) -> StoredChart:
    """The same stay, read whole: what was taken out of it is not known."""
    fresh = after(None, stay.version, [])
    for name, rows in stay.parts.items():
        fresh.parts[name] = EMPTY.after([one for one in rows.by_entry.values() if one.digest])  # type: ignore[index]
    return fresh


class Child:
    """The other end: what it reads of a frame."""

    def __init__(self) -> None:
        self.kept = KeptCharts(1 << 20)

    def hear(self, frame: str, grants: frozenset[str]) -> Chart | None:
        (call,) = unpack(f"[{frame}]".encode())
        assert isinstance(call, KeptCall)
        return call.chart if call.rows is None else self.kept.chart(grants, call.chart, call.rows)


def seen(sent: Sent, child: Child, stay: StoredChart, grants: frozenset[str]) -> tuple[Chart, list[str]]:
    """What the agent is shown of a stay, and the frames that it took."""
    call = Outgoing(REST, stay, grants)
    frames = [sent.frame(1, call)]
    chart = child.hear(frames[0], grants)
    if chart is None:
        sent.lost(call)
        frames.append(json.dumps({"type": "call", "id": 1} | json.loads(call.whole())))
        chart = child.hear(frames[1], grants)
    assert chart is not None
    return chart, frames


entries = st.tuples(st.sampled_from(PARTS), st.sampled_from("abc"), st.sampled_from((True, True, True, False)))
happens = st.sampled_from(("on", "on", "on", "on", "again", "afresh", "older", "forgets", "restored"))
steps = st.lists(st.tuples(happens, st.lists(entries, max_size=4)), min_size=1, max_size=12)


@pytest.mark.parametrize("grants", ONE_EACH, ids=lambda grants: ",".join(sorted(grants)) or "nothing")
@settings(deadline=None)
@given(steps=steps)
def test_an_agent_sees_the_chart_as_it_stands_and_nothing_leaves_that_it_was_not_granted(
    grants: frozenset[str], steps: Any
) -> None:
    sent, child = Sent(), Child()
    before = stay = after(None, 1, [("documents", "a", True)])
    for happened, changes in steps:
        match happened:
            case "on":
                before, stay = stay, after(stay, stay.version + 1, changes)
            case "afresh":
                stay = afresh(after(stay, stay.version + 1, changes))
            case "restored":  # from a backup: another stay stands under the number that was sent
                stay = afresh(after(before, stay.version, changes))
            case "forgets":
                child = Child()
        shown = before if happened == "older" else stay
        chart, frames = seen(sent, child, shown, grants)
        assert chart == shown.chart().project(grants)
        for hidden in {*GRANTS} - grants:
            assert f"of-{hidden}" not in "".join(frames)


@pytest.mark.parametrize("grants", ONE_EACH, ids=lambda grants: ",".join(sorted(grants)) or "nothing")
def test_a_part_leaves_with_its_grant_and_with_no_other_whole_or_changed(grants: frozenset[str]) -> None:
    sent, child = Sent(), Child()
    whole = after(None, 1, [(part, "a", True) for part in PARTS])
    changed = after(whole, 2, [(part, "b", True) for part in PARTS])
    for stay in (whole, changed):
        _, (frame,) = seen(sent, child, stay, grants)
        assert {part for part in (*GRANTS, "unknown") if f"of-{part}" in frame} == {*grants, "unknown"}


def test_only_what_changed_leaves() -> None:
    sent, child, grants = Sent(), Child(), frozenset({"documents", "orders"})
    stay = after(None, 1, [("documents", "a", True), ("orders", "b", True)])
    seen(sent, child, stay, grants)
    stay = after(stay, 2, [("orders", "b", True), ("results", "c", True)])
    _, (frame,) = seen(sent, child, stay, grants)
    assert ("of-orders-2" in frame, "of-documents" in frame) == (True, False)
    _, (frame,) = seen(sent, child, stay, grants)
    assert "of-orders" not in frame


def test_what_is_older_than_what_was_sent_leaves_whole_and_leaves_that_as_it_was() -> None:
    sent, child, grants = Sent(), Child(), frozenset({"documents"})
    first = after(None, 1, [("documents", "a", True)])
    newer = after(first, 2, [("documents", "b", True)])
    seen(sent, child, newer, grants)
    assert seen(sent, child, first, grants)[0] == first.chart().project(grants)
    _, frames = seen(sent, child, newer, grants)
    assert len(frames) == 1 and "of-documents" not in frames[0]


def test_what_does_not_add_up_is_asked_for_whole_and_then_goes_on() -> None:
    sent, child, grants = Sent(), Child(), frozenset({"documents"})
    stay = after(None, 1, [("documents", "a", True)])
    seen(sent, child, stay, grants)
    ((_, kept),) = child.kept._stays.items()
    kept.rows["documents"].clear()  # a fault: the row is gone, and its digest stands
    kept.digest ^= 1
    lengths = [len(seen(sent, child, stay := after(stay, version, []), grants)[1]) for version in (2, 3, 4)]
    assert lengths == [2, 1, 1]


def test_what_changed_is_laid_over_the_version_that_it_rests_on_and_over_no_other() -> None:
    grants, kept = frozenset({"documents"}), KeptCharts(1 << 20)
    stay = after(None, 1, [("documents", "a", True)])
    (call,) = unpack(f"[{Sent().frame(1, Outgoing(REST, stay, grants))}]".encode())
    assert isinstance(call, KeptCall) and call.rows is not None
    nothing = call.rows.model_copy(update={"documents": []})
    for base, there in ((1, False), (None, True), (1, True), (2, False)):
        rows = (call.rows if base is None else nothing).model_copy(update={"base": base})
        assert (kept.chart(grants, call.chart, rows) is not None) is there


@pytest.mark.parametrize(
    "spoil",
    [
        lambda chart: chart.documents.clear(),
        lambda chart: chart.documents[0].sections.clear(),
        lambda chart: chart.documents[0].fields.update(a="c"),
        lambda chart: chart.orders[0].notes.append("x"),
    ],
)
def test_what_an_agent_does_to_a_chart_is_not_seen_by_the_next_call(spoil: Any) -> None:
    sent, child, grants = Sent(), Child(), frozenset(GRANTS)
    stay = after(None, 1, [("documents", "a", True), ("orders", "b", True)])
    chart, _ = seen(sent, child, stay, grants)
    try:
        spoil(chart)
    except TypeError as error:
        assert "copy" in str(error)
    assert seen(sent, child, stay, grants)[0] == stay.chart()
    copied = chart.model_copy(deep=True)
    copied.orders[0].notes.append("x") if copied.orders else None
    assert seen(sent, child, stay, grants)[0] == stay.chart()


def test_no_more_is_kept_than_there_is_room_for() -> None:
    grants, kept = frozenset({"documents"}), KeptCharts(1500, stays=3)
    for number in range(9):
        stay = StoredChart(f"e{number}", 1, NOON, "k", {}, STAY, after(None, 1, [("documents", "a", True)]).parts, 1)
        (call,) = unpack(f"[{Sent().frame(1, Outgoing(REST, stay, grants))}]".encode())
        assert isinstance(call, KeptCall) and call.rows is not None
        assert kept.chart(grants, call.chart, call.rows) is not None
    sizes = [one.size for one in kept._stays.values()]
    assert sum(sizes) <= 1500 < sum(sizes) + sizes[0] or len(sizes) == 3
    assert kept._size == sum(sizes)
