"""Every part of a chart that ``PARTS`` names has its place wherever parts are handled."""

import pytest

from hisbus.evidence import labelled
from hisbus.frames import Call, Rows
from hisbus.grants import project
from hisbus.resolve import resolves
from hisbus.testing import make_case, make_chart, make_event
from hisbus_bus.desk.api.charts import ChartBody
from hisbus_bus.desk.proofs import prove
from hisbus_bus.flow.chart import entries
from hisbus_bus.host.llm.render import record
from hisbus_schemas import GRANTS, LISTS, PARTS, Chart, Entry, Evidence, Fact, part_of


@pytest.fixture
def chart(parts: dict[str, Entry]) -> Chart:
    return make_chart(**{name: [entry] for name, entry in parts.items()})


def test_the_chart_holds_each_part_and_no_other(chart: Chart, parts: dict[str, Entry]) -> None:
    assert [part.name for part in LISTS] == list(parts), "make an entry of the new part in the fixture"
    assert {part.name for part in PARTS} == {"patient", *parts}
    assert list(chart.entries()) == list(parts.values())
    of_parts = {name for name, field in Chart.model_fields.items() if "list[" in str(field.annotation)}
    assert of_parts == set(parts)


def test_what_changed_of_each_part_can_be_sent() -> None:
    sent = {name: str(field.annotation) for name, field in Rows.model_fields.items() if name not in Call.model_fields}
    assert [name for name in sent if "Chart" in sent[name]] == [part.name for part in LISTS]
    assert all(f".{part.model.__name__}]" in sent[part.name] for part in LISTS)


@pytest.mark.parametrize("part", LISTS, ids=lambda part: part.name)
def test_an_entry_has_a_title_and_is_of_its_parts_model(part: object, parts: dict[str, Entry]) -> None:
    entry = parts[part.name]  # type: ignore[attr-defined]
    assert type(entry) is part.entry  # type: ignore[attr-defined]
    assert entry.title == part.name and entry.counts  # type: ignore[attr-defined]


@pytest.mark.parametrize("grant", GRANTS)
def test_a_part_is_seen_where_it_is_granted_and_nowhere_else(chart: Chart, grant: str) -> None:
    seen, hidden = chart.project(frozenset({grant})), chart.project(frozenset(GRANTS) - {grant})
    assert [name for name in GRANTS if getattr(seen, name)] == [grant]
    assert [name for name in GRANTS if not getattr(hidden, name)] == [grant]
    assert seen.unknown == hidden.unknown == chart.unknown, "what nobody knows is never hidden"


def test_what_an_event_carries_is_of_a_part() -> None:
    models = Fact.model_json_schema()["$defs"].values()
    bodies = {model["properties"]["body"]["const"] for model in models if "body" in model["properties"]}
    assert {part for body in bodies for part in [part_of("x.y", body)] if part} | {"vitals"} >= {
        part.name for part in PARTS if part.bodies
    }
    assert part_of("timer.due", "due") is None
    assert project(make_case(event=make_event("x.y")), frozenset()).event is not None


def test_a_model_is_shown_every_entry_under_a_label_of_its_own(chart: Chart, parts: dict[str, Entry]) -> None:
    labels = {entry.id: label for label, entry in labelled(chart)}
    assert len(set(labels.values())) == len(parts)
    text = record(chart)
    for name, entry in parts.items():
        lines = [line for line in text.splitlines() if line.startswith(f"⟦{labels[entry.id]}⟧")]
        assert lines and name in lines[0], name


def test_the_fold_reads_back_what_it_stores_of_every_part(parts: dict[str, Entry]) -> None:
    for name, entry in parts.items():
        kept = entries.Slot("s", name, "", "", (entry,))
        (found,) = entries.items((name, "k"), name, kept.body())
        assert found.model_dump(include={*type(entry).model_fields}) == entry.model_dump()


def test_the_api_shows_every_part(chart: Chart, parts: dict[str, Entry]) -> None:
    shown = ChartBody.of(chart).model_dump()
    for name, entry in parts.items():
        assert [item["id"] for item in shown[name]] == [entry.id]


def test_evidence_may_rest_on_every_part(chart: Chart, parts: dict[str, Entry]) -> None:
    for name, entry in parts.items():
        assert resolves(chart, f"{name}/{entry.id}") and not resolves(chart, f"{name}/another")
        if entry.value is not None:
            assert prove(chart, Evidence(path=f"{name}/{entry.id}", value=entry.value)).verified, name
            assert not prove(chart, Evidence(path=f"{name}/{entry.id}", value="another")).verified
