"""The profile language: what is laid over what, and what is refused with file and line."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hisbus import ConfigError, Raw
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_mapping.__main__ import schema
from hisbus_schemas import Report

KEPT = Path(__file__).parents[3] / "schemas" / "profile.json"


def over(tmp_path: Path, text: str) -> Mapping:
    ours = tmp_path / "our-his.toml"
    ours.write_text(text, encoding="utf-8")
    table: dict[str, Any] = {"name": "his", "profile": ours}
    return Mapping(Hl7v2Connector(table))


def test_the_published_schema_is_that_of_the_language() -> None:
    again = "review the change, then: .venv/bin/python -m hisbus_mapping schemas/profile.json"
    assert KEPT.read_text(encoding="utf-8") == schema(), again


def test_a_site_s_file_changes_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    made = over(tmp_path, '[codes.class.words]\nIP = "inpatient"\n\n[subject.stay]\ndepartment = "PV1-39"\n')
    shipped = Mapping(Hl7v2Connector({"name": "his"}))
    assert made.profile.codes["class"].words == {**shipped.profile.codes["class"].words, "IP": "inpatient"}
    assert made.profile.subject is not None and shipped.profile.subject is not None
    assert made.profile.subject.stay == {**shipped.profile.subject.stay, "department": "PV1-39"}
    assert made.name != shipped.name, "another meaning is another mapping"


def test_a_section_can_be_left_out(tmp_path: Path) -> None:
    made = over(tmp_path, "[facts.charges]\noff = true\n")
    assert made.program is not None
    assert not made.program.types & {"DFT^P03", "DFT^P11"}


@pytest.mark.parametrize(
    ("types", "any_of", "all_of"),
    [((), False, False), (("NM",), False, False), (("NM", "ST"), True, False), (("ST", "ST"), True, True)],
)
def test_a_condition_may_hold_of_one_group_or_of_each(
    tmp_path: Path, types: tuple[str, ...], any_of: bool, all_of: bool
) -> None:
    lines = ["MSH|^~\\&|LAB|HOSP|||20260302083000||ORU^R01|1|P|2.5", "PID|1||P1^^^HOSP^MR", "OBR|1||R1|K"]
    lines += [f"OBX|{number}|{type}|{number}||4" for number, type in enumerate(types)]
    for key, holds in (("any_of", any_of), ("all_of", all_of)):
        when = f'{{ {key} = {{ each = "OBX", when = {{ path = "OBX-2", is = "ST" }} }} }}'
        made = over(tmp_path, f"[facts.results]\nwhen = {when}\n")
        facts = made.translate(Raw("m", "\r".join(lines).encode(), datetime(2026, 3, 31, tzinfo=UTC))).facts
        assert bool(facts) is holds


def test_entries_of_one_list_may_come_of_several_kinds_of_groups_one_after_the_other(tmp_path: Path) -> None:
    lists = """[facts.results.data]
readings = [
  { each = { of = "OBX", when = { path = "OBX-2", is = "NM" } }, item = { code = "OBX-3.1" }, values = "OBX-5" },
  { each = "NTE", item = { code = { value = "note" } }, values = "NTE-3" },
]
"""
    made = over(tmp_path, lists)
    lines = (
        "MSH|^~\\&|LAB|HOSP|||20260302083000||ORU^R01|1|P|2.5", "PID|1||P1^^^HOSP^MR", "OBR|1||R1|K", "NTE|1||first",
        "OBX|1|NM|K||4", "OBX|2|ST|T||text", "NTE|1||second",
    )  # fmt: skip
    (fact,) = made.translate(Raw("m", "\r".join(lines).encode(), datetime(2026, 3, 31, tzinfo=UTC))).facts
    assert isinstance(fact.data, Report)
    read = [(one.item.code, one.values) for one in fact.data.readings]
    assert read == [("K", ["4"]), ("note", ["first"]), ("note", ["second"])]

    with pytest.raises(ConfigError) as caught:
        over(tmp_path, lists.replace('"note"', "7"))
    assert str(caught.value).startswith(f"{tmp_path / 'our-his.toml'}:2: facts.results.data.readings.1.item")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# ours\n[subject.stay]\nwardd = 'PV1-3'\n", 3, "Stay has no such field"),
        ("[subject.stay]\ndepartment = 'PV1'\n", 2, "it names a segment and no field"),
        ("[subject.stay]\ndepartment = 'pv1-3'\n", 2, "is no path"),
        ("[subject.stay]\n\ndepartment = { from = 'PV1-3', table = 'wards' }\n", 3, "there is no [codes.wards]"),
        ("[facts.charges]\neach = 'lines'\n", 2, "the groups are"),
        ("[facts.charges.data]\nbody = 'bill'\n", 2, "it is one of"),
        ("[facts.charges]\nwhen = { path = 'FT1-1' }\n", 2, "go together"),
        ("\n[fact.charges]\n", 2, "Extra inputs are not permitted"),
        ("dates = ['tomorrow']\n", 1, "is no form of a time"),
        ("[facts.charges.data]\ntype = { shape = 'money', at = 'FT1-6' }\n", 2, "shape"),
        ("[facts.charges.data.code]\nshape = 'money'\nat = 'FT1-7'\n", 2, "there is no [shapes.money]"),
        ("[facts.results.data.readings]\nvalues = { function = 'hisbus_hl7v2.observed:nothing' }\n", 2, "there is no"),
        ("\n[codes.class.words]\nIP = 'hospitalised'\n", 3, "subject.stay.patient_class takes inpatient, outpatient"),
        ("[codes.class]\nsame = ['Q9', 'inpatient']\n", 2, "'Q9' is no word of its field"),
        ("[codes.severity.words]\nSEV = 'bad'\n", 2, "'bad' is no word of its field"),
        ("[subject.stay]\npatient_class = 'PV1-2'\n", 2, "a table must turn it into a word"),
        ("[subject.stay]\npatient_class = ['PV1-2', 'PV1-18']\n", 2, "a table must turn it into a word"),
        ("[facts.documents.data]\naction = [{ value = 'filed' }]\n", 2, "'filed' is no word of its field"),
        ("[subject.stay.patient_class]\notherwise = 'keep'\n", 2, "cannot stay as it was sent"),
        ("[facts.charges.data]\ntype = { function = 'subprocess:getoutput' }\n", 2, "is of another package"),
        ("[facts.charges]\noff = true\ndata.type = { function = 'this.s:s' }\n", 3, "is of another package"),
        ("[facts.charges.data]\ntype = { function = 'hisbus_hl7v2.groups:tomllib' }\n", 2, "is no function"),
        ("dates = 'iso'\n", 1, "dates: a list belongs here."),
        ("[codes]\nclass = 1\n", 2, "codes.class: a table belongs here."),
        ("[out]\n'MSH-3' = 1\n", 2, "a table belongs here."),
        ("[facts.charges.data]\ntype = { join = 1 }\n", 2, "a list belongs here"),
        ("[facts.results.data.readings]\neach = 1\n", 2, "a table belongs here"),
    ],
)
def test_what_cannot_be_compiled_is_told_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        over(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'our-his.toml'}:{line}: "), said
    assert words in said
    assert "this" not in sys.modules, "what another package's function stands in is not imported"


def test_every_mistake_is_told_at_once_each_at_its_line(tmp_path: Path) -> None:
    wrong = """dates = ["tomorrow"]

[[subject.visit]]
each = "PV1-19"
number = "1"

[[subject.visit]]
each = "pv1-50"
number = "1"

[subject.stay]
wardd = "PV1-3"
department = { from = "PV1-10", table = "wards" }

[facts.charges]
each = "lines"

[facts.charges.data]
type = { function = "hisbus_hl7v2.observed:nothing" }
amount = "FT1"
"""
    with pytest.raises(ConfigError) as caught:
        over(tmp_path, wrong)
    file = tmp_path / "our-his.toml"
    places = [line.removeprefix(f"{file}:").split(": ")[:2] for line in str(caught.value).splitlines()]
    assert places == [
        ["1", "dates"],
        ["8", "subject.visit.1.each"],
        ["12", "subject.stay.wardd"],
        ["13", "subject.stay.department.table"],
        ["16", "facts.charges.each"],
        ["19", "facts.charges.data.type.function"],
        ["20", "facts.charges.data.amount"],
    ]


def test_a_mistake_in_a_table_is_not_told_of_a_table_within_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        over(tmp_path, "[subject.stay]\n[codes.class]\nword = 1\n[codes.class.words]\nIP = 'inpatient'\n")
    assert str(caught.value).startswith(f"{tmp_path / 'our-his.toml'}:3: codes.class.word: ")
