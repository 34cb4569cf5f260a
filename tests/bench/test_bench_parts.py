"""The parts of the bench work; the figures themselves are nobody's to assert."""

import json
import sqlite3
from itertools import islice
from types import SimpleNamespace

import psycopg
import pytest
from tests.bench import (
    figures,
    floor_flow,
    floor_kafka,
    floor_sqlite,
    flow,
    large,
    message,
    prefix,
    processes,
    sites,
    sizing,
    steps,
)

from hisbus_bus.kernel.tables import metadata
from hisbus_simulator.week import ward_week

README = processes.ROOT / "tests/bench/README.md"


def test_the_message_is_of_one_size_and_each_is_another(monkeypatch, tmp_path):
    for corpus in (message.CORPUS, tmp_path / "absent.hl7"):
        monkeypatch.setattr(message, "CORPUS", corpus)
        one, other = (message.body(shot) for shot in islice(message.shots("x"), 2))
        assert abs(len(one) - message.SIZE) < 50
        for body, id in ((one, "x-0"), (other, "x-1")):
            assert body.split(b"|", 10)[9] == id.encode()
            admitted, *_ = steps.MAPPING.translate(steps.Raw("m", body, steps.datetime.now(steps.UTC))).facts
            assert admitted.patient.number == id
        assert one.replace(b"x-0", b"x-1") == other


def test_the_floor_stores_what_it_acknowledges(tmp_path):
    port, file = processes.free_port(), tmp_path / "floor.db"
    command = ["-m", "tests.bench.floor_sqlite", str(port), file]
    with processes.Server(command, port, tmp_path / "floor.log") as server:
        stored, refused, _ = processes.run(["-m", "tests.bench.gun", str(port), "4", "0.2", "x"]).split()
        assert processes.cpu_s(server.process) > 0
        assert processes.peak_rss_mb(server.process) > 1
    with sqlite3.connect(file) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM records")]
    connection.close()
    assert len(keys) == len(set(keys)) == int(stored) > 0
    assert int(refused) == 0


def test_both_floors_answer_alike():
    assert floor_sqlite.accept is floor_kafka.accept
    control_id, answer = floor_kafka.accept(next(message.shots("x")).frame)
    assert control_id == b"x-0"
    assert answer.startswith(b"\x0bMSH|") and answer.endswith(b"\rMSA|AA|x-0\r\x1c\r")


def test_a_server_that_does_not_start_says_where_to_look(tmp_path):
    with (
        pytest.raises(processes.BenchError, match=r"floor\.log"),
        processes.Server(["-c", "1/0"], processes.free_port(), tmp_path / "floor.log"),
    ):
        pass


def test_a_large_document_has_its_size_and_is_understood():
    frame = large.document("x", 1)
    assert large.MIB - 8 < len(frame) - 3 <= large.MIB
    facts = steps.MAPPING.translate(steps.Raw("m", frame[1:-2], steps.datetime.now(steps.UTC))).facts
    assert [fact.kind for fact in facts] == ["document.filed"]


async def test_the_long_stay_is_charted_event_by_event(monkeypatch, tmp_path):
    monkeypatch.setattr(steps, "EARLY", 6)
    monkeypatch.setattr(steps, "LATE", 90)
    monkeypatch.setattr(steps, "AROUND", 3)
    ratio, early, late = await steps._stay(tmp_path / "stay.db")
    assert ratio == late / early
    with sqlite3.connect(tmp_path / "stay.db") as connection:
        assert connection.execute("SELECT count(*) FROM events WHERE encounter IS NULL").fetchone() == (0,)
        messages = connection.execute("SELECT count(DISTINCT message) FROM events").fetchone()
    connection.close()
    assert messages == (93,)


def test_a_week_is_cut_without_losing_or_turning_a_message():
    week = list(range(100))
    assert [list(piece) for piece in flow.cut(week, [10, 20, 30])] == [week[:10], week[10:30], week[30:]]


def test_what_is_kept_counts_the_time_until_nothing_is_left():
    sent = dict.fromkeys(map(str, range(10_000)), 0.0)
    assert flow.Offer(flow.AT_ONCE, sent, seconds=10, drained_s=10, behind_s=0).kept == 500


def test_a_site_with_findings_that_nobody_expects_is_not_measured(tmp_path):
    site = sites.Site("x", tmp_path, 0, 0, f"sqlite:///{tmp_path}/x.db")
    week = ward_week(1, 1)
    with flow.engine(site).begin() as connection:
        metadata.create_all(connection)
    with pytest.raises(processes.BenchError, match="missing Counter"):
        flow.check(site, week, {each.rule for each in week.expected})
    flow.check(site, week, {"R00"})


def test_the_floor_of_the_flow_stores_a_message_under_its_stay():
    (key, body, headers), answer = floor_flow.taken(next(message.shots("x")).frame)
    told = {name: value.decode() for name, value in headers}
    assert floor_kafka.accept(next(message.shots("x")).frame)[1] == answer
    assert key == floor_flow.digest(told["visit"]) and told["visit"] != told["control_id"] == "x-0"
    assert body == message.body(next(message.shots("x")))
    assert told["msgtype"].startswith("ADT^A01")


async def test_the_floor_of_the_flow_hands_every_message_on():
    records = [floor_record(n, next(message.shots(f"x{n}")).frame) for n in range(3)]
    events = await floor_flow.translate(Nothing(), records, "[]")
    charted = await floor_flow.chart(Nothing(), [floor_sent(n, out) for n, out in enumerate(events)], "[]")
    assert len({key for key, *_ in charted}) == 1
    assert [json.loads(value)["version"] for _, value, _ in charted] == [1, 2, 3]
    case = {"chart": "a\nb\n", "encounter": "e", "version": 2, "event": "v"}
    said = floor_flow.judge(case)
    assert said["proposals"][0]["lines"] == 2 and said["version"] == 2


def floor_record(n, frame):
    out, _ = floor_flow.taken(frame)
    return floor_sent(n, out)


def floor_sent(n, out):
    key, value, headers = out
    return SimpleNamespace(key=key.encode(), value=value, headers=headers, partition=0, offset=n)


class Nothing:
    """A database without a row."""

    async def execute(self, *_, **__):
        return self

    async def fetchall(self):
        return []


def test_a_ratio_is_the_median_of_the_turns():
    assert figures.compared("flow_cpu_us", "x", [1, 9, 4], [1, 3, 2]) == figures.Figure("flow_cpu_us", 4, "x", 2, 2)


def test_both_layouts_of_a_prompt_have_the_same_words_in_another_order():
    said = ("the record", "2026-03-28T08:00+08:00", "Judge.", "Is it?", {"type": "boolean"})
    ours, usual = ([part["content"] for part in layout(*said).messages()] for layout in (prefix.Prompt, prefix.Usual))
    assert sorted(" ".join(ours).split()) == sorted(" ".join(usual).split())
    assert ours[1].index("record") < ours[1].index("Judge.") and usual[0].startswith("Judge.")


def test_a_bound_is_inclusive():
    least, most = figures.Wanted(least=0.8, of="ratio"), figures.Wanted(most=100)
    assert [least.met(figures.Figure("x", 0, "", 1, ratio)) for ratio in (0.79, 0.8)] == [False, True]
    assert [most.met(figures.Figure("x", value, "")) for value in (100, 100.1)] == [True, False]


def test_what_was_not_measured_this_time_stays(tmp_path):
    path = tmp_path / "var" / "bench.json"
    figures.save([figures.Figure("rss_mb", 1.0, "MiB"), figures.Figure("translate_adt_us", 2.0, "µs")], path)
    figures.save([figures.Figure("rss_mb", 3.0, "MiB")], path)
    assert {figure.name: figure.value for figure in figures.load(path)} == {"rss_mb": 3.0, "translate_adt_us": 2.0}


def test_the_table_has_a_row_for_what_was_not_measured():
    rows = figures.markdown([figures.Figure("flow_cpu_us", 7000, "µs", 1000, 7)]).splitlines()
    assert "| `flow_cpu_us` | 7,000 | µs | 1,000 | 7 | ≤ 4 × floor: **not reached** |" in rows
    assert "| `rss_mb` | not measured |  |  |  | ≤ 300 |" in rows
    assert len(rows) == len(figures.FIGURES) + 2


def test_the_readme_names_every_figure_and_no_other():
    section = README.read_text("utf-8").partition("| figure | value |")[2]
    named = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert named == list(figures.FIGURES)


def test_a_site_gets_as_many_processes_as_its_busiest_part_takes():
    costs = {"intake": 100.0, "dispatch": 500.0, "dispatch: agents": 6000.0, "chart": 900.0, "generator": 50.0}
    wanted = sizing.processes(1000, costs)
    assert (wanted["intake"], wanted["dispatch"], wanted["chart"], wanted["web"]) == (1, 10, 2, 1)
    row = sizing.row(1000, costs | {"PostgreSQL": 600.0, "Kafka": 300.0})
    assert row[:6] == ["1,000", "12.5", "1.0", "0.5", "chart 2, dispatch 10", "24"]
    assert row[-1] == "dispatch at 1,000"
    assert sizing.row(25, costs)[4:6] == ["one of each", "6"]
    assert sizing.table(costs).splitlines()[0].count("|") == sizing.table(costs).splitlines()[-1].count("|")


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_floor_of_the_flow_takes_every_message_through_all_hops(kafka, postgres, tmp_path):
    site, messages = sites.make(tmp_path / "floor", "bench-parts"), ward_week(1, 1).messages
    try:
        with sites.floor(site) as running:
            offered = flow.offer(running, messages)
            counts = "SELECT (SELECT count(*) FROM ledger), (SELECT sum(version) FROM charts), count(*) FROM proposals"
            told = running.connection.execute(counts).fetchone()
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{site.database.rpartition("/")[2]}" WITH (FORCE)')
    assert told == (len(messages), len(messages), len({each.visit for each in messages}))
    assert offered.profile.keys() == {"up", "up: agents", "Kafka", "PostgreSQL", "generator"}
