"""`hisbus evaluate` from end to end: the agents that come with it, over cases of every form."""

import asyncio
import json
import signal
import stat
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from hisbus.errors import ConfigError
from hisbus_bus.command import main as cli
from hisbus_servers import fake_model as fake_server
from hisbus_servers.fake_model import FakeServer, Said
from hisbus_simulator import ward_week
from hisbus_simulator.export import export
from hisbus_simulator.oracle import RULES

ACI = """dataset,encounter_id,dialogue,note
aci,D1,"[doctor] hi , how is the knee ?
[patient] my right knee hurts when i climb stairs . it started 2 weeks ago .
[doctor] i'd like to start you on meloxicam 15 mg once a day .","CHIEF COMPLAINT

Right knee pain.

HISTORY OF PRESENT ILLNESS

Right knee hurts on stairs. It started 2 weeks ago. She has no fever.

PLAN

Start meloxicam 15 mg once a day.
"
"""


def configured(folder: Path, **agents: Any) -> Path:
    """Write a configuration; no log and no database are there."""
    lines = ['site = "test"', f'terms_file = "{folder}/terms.db"', "[retry]", "attempts = 1"]
    for name, settings in agents.items():
        lines.append(f"[agents.{name}.settings]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    path = folder / "hisbus.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def command(folder: Path, *arguments: str | Path) -> Result:
    """Run the command in this process; paths that are relative are the folder's."""
    with chdir(folder):
        return CliRunner().invoke(cli.app, ["--config", str(folder / "hisbus.toml"), *map(str, arguments)])


def report(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ward's week as charts, as the simulator exports it."""
    folder = tmp_path_factory.mktemp("week")
    assert export(ward_week(seed=1), folder) == 46
    return folder


def test_the_rules_find_in_the_simulators_week_what_must_be_found_and_nothing_else(week: Path, tmp_path: Path) -> None:
    configured(tmp_path, qc={"only": list(RULES)})
    done = command(tmp_path, "evaluate", "run", "qc", week, "--out", "out")
    assert done.exit_code == 0, done.exception
    said = report(tmp_path / "out")
    expected = len(ward_week(seed=1).expected)
    whole = said["labels"]["whole"]
    assert (whole["tp"], whole["fp"], whole["fn"]) == (expected, 0, 0)
    assert whole["precision"]["value"] == whole["recall"]["value"] == 1
    planted = {finding.rule for finding in ward_week(seed=1).expected}
    of_each = {one["name"]: one["f1"]["value"] for one in said["labels"]["each"]}
    assert {rule: value for rule, value in of_each.items() if rule in planted} == dict.fromkeys(planted, 1)
    assert said["labels"]["exact"]["of"] == 46 and said["failed"] == {} and said["usage"]["questions"] == 0


def test_with_wrong_limits_the_figures_fall_and_the_comparison_names_the_cases(week: Path, tmp_path: Path) -> None:
    configured(tmp_path, qc={"only": list(RULES)})
    assert command(tmp_path, "evaluate", "run", "qc", week, "--out", "right").exit_code == 0
    configured(tmp_path, qc={"only": [rule for rule in RULES if rule != "R10"]})
    assert command(tmp_path, "evaluate", "run", "qc", week, "--out", "wrong").exit_code == 0
    missed = {one["name"]: one for one in report(tmp_path / "wrong")["labels"]["each"]}["R10"]
    lost = sorted({finding.visit for finding in ward_week(seed=1).expected if finding.rule == "R10"})
    assert missed["recall"]["value"] == 0 and missed["not_evaluated"] == 46

    done = command(tmp_path, "evaluate", "compare", "right", "wrong", "--out", "both")
    assert done.exit_code == 0, done.exception
    compared = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert {one["name"]: one["lost"] for one in compared["labels"] if one["lost"] or one["gained"]} == {"R10": lost}
    assert "the first is better" in done.stdout or "chance" in done.stdout
    assert (tmp_path / "both" / "comparison.html").exists()


def test_the_same_week_gives_the_same_charts(week: Path, tmp_path: Path) -> None:
    export(ward_week(seed=1), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in week.iterdir()
    }


def test_a_visit_note_is_compared_with_the_reference_by_division(tmp_path: Path) -> None:
    configured(tmp_path)
    (tmp_path / "aci.csv").write_text(ACI, encoding="utf-8")
    done = command(tmp_path, "evaluate", "run", "documentation", "aci.csv", "--out", "out")
    assert done.exit_code == 0, done.exception
    documents = report(tmp_path / "out")["documents"]
    assert (documents["drafted"], documents["of"]) == (1, 1)
    by_name = {one["name"]: one for one in documents["sections"]}
    assert by_name["subjective"]["captured"]["good"] == 2, "the side and the two weeks, not the denial"
    assert by_name["assessment_and_plan"]["captured"]["value"] == 1, "the dose"
    assert by_name[""]["unsupported"]["good"] == 0 and (by_name[""]["copied"]["good"], by_name[""]["copied"]["of"]) == (
        14,
        29,
    )
    items = report(tmp_path / "out")["document_items"]
    omitted = [one["text"] for one in items if one["dimension"] == "captured" and not one["good"]]
    assert "She has no fever." in omitted


def test_codes_and_their_evidence_are_compared_with_span_files(tmp_path: Path) -> None:
    configured(tmp_path)
    table = tmp_path / "codes.csv"
    table.write_text("code,name\nI10,Essential hypertension\nJ18.9,Pneumonia\nE11.9,Type 2 diabetes mellitus\n")
    loaded = command(tmp_path, "terms", "load", table, "--system", "ICD-10-CM", "--version", "1")
    assert loaded.exit_code == 0, loaded.exception
    text = "Discharge diagnosis:\n1. Essential hypertension\n2. Pneumonia\n"
    marks = [
        {"begin": text.index(name), "end": text.index(name) + len(name), "code": code, "code_system": "ICD-10-CM"}
        for code, name in (("I10", "Essential hypertension"), ("E11.9", "Pneumonia"))
    ]
    notes = [{"note_id": 1, "category": "Discharge summary", "description": "", "text": text, "annotations": marks}]
    (tmp_path / "spans").mkdir()
    (tmp_path / "spans" / "1.json").write_text(json.dumps({"hadm_id": 1, "comment": "", "notes": notes}))
    done = command(tmp_path, "evaluate", "run", "coding", "spans", "--out", "out")
    assert done.exit_code == 0, done.exception
    labels = report(tmp_path / "out")["labels"]
    assert {one["name"]: (one["tp"], one["fp"], one["fn"]) for one in labels["each"]} == {
        "I10": (1, 0, 0), "J189": (0, 1, 0), "E119": (0, 0, 1),
    }  # fmt: skip
    assert labels["overlap_characters"]["mean"] == 1


def test_nothing_but_the_report_is_written_and_it_is_its_owners(tmp_path: Path) -> None:
    configured(tmp_path)
    (tmp_path / "aci.csv").write_text(ACI, encoding="utf-8")
    assert command(tmp_path, "evaluate", "run", "documentation", "aci.csv", "--out", "out", "--no-text").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aci.csv", "hisbus.toml", "out"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.html"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o600}
    for path in (tmp_path / "out").iterdir():
        assert "knee" not in path.read_text(encoding="utf-8") and "meloxicam" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody", "aci.csv", "--out", "out"), "There is no agent 'nobody'"),
        (("qc", "absent", "--out", "out"), "There is no absent"),
        (("qc", "aci.csv", "--out", "."), "exists"),
        (("qc", "aci.csv", "--out", "out", "--llm-url", "http://10.0.0.1", "--model", "m"), "use https"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    configured(tmp_path)
    (tmp_path / "aci.csv").write_text(ACI, encoding="utf-8")
    done = command(tmp_path, "evaluate", "run", *arguments)
    assert isinstance(done.exception, ConfigError) and says in str(done.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aci.csv", "hisbus.toml"]


async def test_an_interrupt_leaves_no_report_and_no_half_of_one(tmp_path: Path) -> None:
    configured(tmp_path)
    (tmp_path / "aci.csv").write_text(ACI, encoding="utf-8")

    async def never(_server: FakeServer, _request: dict[str, Any]) -> Said:
        return await asyncio.Future()

    async with FakeServer() as server:
        server.otherwise = never
        model = ("--llm-url", server.url, "--model", server.models[0])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hisbus_bus", "--config", "hisbus.toml", "evaluate", "run", "documentation"),
            *("aci.csv", "--out", "out", *model), cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(100):
            await server.until(lambda: server.running > 0)
            process.send_signal(signal.SIGINT)
            assert await process.wait() != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aci.csv", "hisbus.toml"]


async def test_the_same_command_with_another_model_gives_runs_that_can_be_compared(tmp_path: Path) -> None:
    configured(tmp_path)
    (tmp_path / "aci.csv").write_text(ACI, encoding="utf-8")
    async with FakeServer(models=("one", "other")) as server:
        server.otherwise = fake_server.text("no JSON")
        for name in ("one", "other"):
            run = (
                "evaluate",
                "run",
                "documentation",
                "aci.csv",
                "--out",
                name,
                "--llm-url",
                server.url,
                "--model",
                name,
            )
            done = await asyncio.to_thread(command, tmp_path, *run)
            assert done.exit_code == 0 and "questions were not answered" in done.stdout, (
                "the draft was assembled instead"
            )
    assert report(tmp_path / "one")["agent"]["model"] == "one"
    usage = report(tmp_path / "one")["usage"]
    assert usage["questions"] > 0 and "answered" not in usage["outcomes"]
    assert "问题未获回答" in (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    assert command(tmp_path, "evaluate", "compare", "one", "other").exit_code == 0


def test_indicators_are_told_from_excerpts_or_nobody_tells_them(tmp_path: Path) -> None:
    configured(tmp_path)
    note = {"patient note": "入院当日行洼田饮水试验。", "facts": [], "label": "Yes"}
    lines = [json.dumps({"unique_id": name, **note}) for name in ("筛查率", "随访率")]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "words.toml").write_text('[indicators]\n"筛查率" = "洼田"\n', encoding="utf-8")
    bare = command(tmp_path, "evaluate", "indicators", "cases.jsonl")
    assert bare.exit_code == 0 and bare.output.count("no agent answers this") == 3
    asked = command(tmp_path, "evaluate", "indicators", "cases.jsonl", "--agent", "qc", "--out", "qc")
    assert asked.exit_code == 0 and asked.output.count("qc does not answer this") == 3
    found = command(tmp_path, "evaluate", "indicators", "cases.jsonl", "--patterns", "words.toml", "--out", "words")
    assert found.output.count("words.toml does not answer this") == 1 and "all that were answered" in found.output
    made = json.loads((tmp_path / "words" / "indicators.json").read_text(encoding="utf-8"))
    assert made["told"]["answers"]["accuracy"]["good"] == 1 and made["whole"]["base"]["of"] == 2
    assert "洼田" not in (tmp_path / "words" / "indicators.html").read_text(encoding="utf-8")
    both = command(tmp_path, "evaluate", "indicators", "cases.jsonl", "--agent", "qc", "--patterns", "words.toml")
    assert isinstance(both.exception, ConfigError)


@pytest.mark.corpora
def test_the_real_corpora_go_through(tmp_path: Path, corpora: Path) -> None:
    configured(tmp_path)
    data = corpora / "aci-bench" / "valid.csv"
    done = command(tmp_path, "evaluate", "run", "documentation", data, "--limit", "3", "--out", "aci")
    assert done.exit_code == 0, done.exception
    assert report(tmp_path / "aci")["data"]["cases"] == 3 and report(tmp_path / "aci")["documents"]["drafted"] == 3
    data = corpora / "medec" / "validation.csv"
    done = command(tmp_path, "evaluate", "run", "qc", data, "--limit", "20", "--seed", "2", "--out", "medec")
    assert done.exit_code == 0, done.exception
    whole = report(tmp_path / "medec")["labels"]["whole"]
    assert whole["base_rate"]["of"] == 20 and whole["tp"] + whole["fn"] == whole["base_rate"]["good"]
    assert whole["tp"] + whole["tn"] < 20, "a finding somewhere else in a wrong text has not found its mistake"
