"""The parts of the bench work; the figures themselves are nobody's to assert."""

import sqlite3
from itertools import islice

import pytest
from tests.bench import figures, floor_kafka, floor_sqlite, flow, large, message, prefix, processes, steps

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


def test_the_next_rate_is_what_was_worked_through_and_lower_than_what_was_too_much():
    sent = dict.fromkeys(map(str, range(10_000)), 0.0)
    burst = flow.Offer(1000, sent, drained_s=10, seconds=10, behind_s=0, agent_calls=0, rss_mb=0)
    assert not burst.kept_up
    assert flow._below(burst) == 500
    assert flow._below(flow.Offer(150, sent, drained_s=6, seconds=60, behind_s=0, agent_calls=0, rss_mb=0)) == 125


def test_a_ratio_is_the_median_of_the_turns():
    assert figures.compared("flow_p50_ms", "x", [1, 9, 4], [1, 3, 2]) == figures.Figure("flow_p50_ms", 4, "x", 2, 2)


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


def test_the_readme_names_every_figure_and_no_other():
    section = README.read_text("utf-8")
    named = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert named == list(figures.FIGURES)
