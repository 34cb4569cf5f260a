"""Rule files: a hospital adds a rule or changes one by dropping a file, and a mistake is named with file and key."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hisbus import ConfigError
from hisbus.agent import Case
from hisbus.testing import AgentContract
from hisbus_qc import Agent
from hisbus_qc.examples import chart, read
from hisbus_qc.rulebook import RULES, configured
from hisbus_schemas import Finding, Text

NEW = """
id = "H01"
title = { zh = "入院评估未按时完成", en = "Admission assessment not in time" }
kind = "T"
triggers = ["encounter.admitted", "document.filed"]
severity = "warning"
points = 1
source = "医院制度"
condition = "deadline"

[limits]
after = "admitted"
limit_hours = 4
documents = ["C0023"]

[texts]
document = { zh = "入院评估", en = "admission assessment" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def says(folder: Path, rule: str, now: str, **table: Any) -> list[str]:
    made = chart({"now": now, **table})
    case = Case(event=None, chart=made, now=made.now, settings={"rules_folder": str(folder), "only": [rule]})
    return [item.state or "found" for item in asyncio.run(Agent().assess(case)).proposals]


def test_a_file_adds_a_rule(folder: Path) -> None:
    (folder / "H01.toml").write_text(NEW, encoding="utf-8")
    assert says(folder, "H01", "03-02 12:30:00") == []
    assert says(folder, "H01", "03-02 12:30:01") == ["absent"]


def test_a_file_changes_what_it_names_and_leaves_the_rest(folder: Path) -> None:
    (folder / "own.toml").write_text('id = "R04"\npoints = 3\n[limits]\nlimit_hours = 168\n', encoding="utf-8")
    (rule,) = configured({"rules_folder": str(folder), "only": ["R04"]})
    assert (rule.points, rule.limits["limit_hours"]) == (3, 168)
    assert rule.limits | {"limit_hours": 72} == RULES["R04"].limits
    assert rule.title == RULES["R04"].title
    assert says(folder, "R04", "03-09 08:30:00") == []
    assert says(folder, "R04", "03-09 08:30:01") == ["absent"]


def test_a_file_changes_one_part_of_a_rule(folder: Path) -> None:
    text = 'id = "R09"\n[parts.ordinary.limits]\nlimit_hours = 48\n'
    (folder / "R09.toml").write_text(text, encoding="utf-8")
    orders = [{"what": "普通会诊：内分泌科", "time": "03-05 10:00"}]
    assert says(folder, "R09", "03-07 10:00:00", orders=orders) == []
    assert says(folder, "R09", "03-07 10:00:01", orders=orders) == ["absent"]


def test_a_file_switches_a_rule_off(folder: Path) -> None:
    (folder / "R24.toml").write_text('id = "R24"\nenabled = false\n', encoding="utf-8")
    assert "R24" not in [rule.id for rule in configured({"rules_folder": str(folder)})]


def test_a_hospital_adds_codes_that_are_not_ours_to_ship(folder: Path) -> None:
    text = 'id = "R51"\n[limits.edits.grey]\ncodes = ["I25.101"]\n'
    (folder / "R51.toml").write_text(text, encoding="utf-8")
    page = [{"type": "C0032", "signed": "03-07 10:00", "page": {"DIAGNOSIS": "I25.101 冠心病"}}]
    assert says(folder, "R51", "03-08 00:00", documents=page) == ["found"]


def test_a_rule_may_name_a_function(folder: Path) -> None:
    text = NEW.replace('condition = "deadline"', 'function = "hisbus_qc.copied:note"')
    text = text.partition("[limits]")[0] + '[limits]\ndocuments = ["C0023"]\nsame_percent = 90\nleast_characters = 5\n'
    text += '[texts]\nfound = { zh = "{time}与{before}相同{percent}", en = "{time} as {before}: {percent}" }\n'
    (folder / "H01.toml").write_text(text, encoding="utf-8")
    two = [{"type": "C0023", "signed": f"03-0{day} 10:00", "text": "护理评估无异常。"} for day in (3, 4)]
    assert says(folder, "H01", "03-05 00:00", documents=two) == ["found"]


def test_cases_of_a_hospital_are_read_beside_its_rules(folder: Path) -> None:
    text = '[[example]]\nname = "none"\nkind = "positive"\nexpects = ["absent"]\nnow = "03-02 12:30:01"\n'
    (folder / "H01.examples.toml").write_text(text, encoding="utf-8")
    (case,) = read(folder)
    assert (case.rule, case.expects) == ("H01", ("absent",))


def test_a_rule_judges_only_its_departments_and_the_days_it_is_valid(folder: Path) -> None:
    text = NEW.replace(
        "\n[limits]", '\ndepartments = ["骨科"]\nvalid_from = 2026-03-02\nvalid_until = 2026-03-31\n[limits]'
    )
    (folder / "H01.toml").write_text(text, encoding="utf-8")
    late = "04-20 00:00"
    assert says(folder, "H01", late, department="骨科") == ["absent"]
    assert says(folder, "H01", late, department="眼科") == []
    assert says(folder, "H01", late, ward="骨科") == ["absent"]
    assert says(folder, "H01", late, department="骨科", admitted="03-01 23:59") == []
    assert says(folder, "H01", late, department="骨科", admitted="03-31 23:59") == ["absent"]
    assert says(folder, "H01", late, department="骨科", admitted="04-01 00:00") == []


@pytest.mark.parametrize(
    "old, new, named",
    [
        ('id = "H01"', "", "id is missing"),
        ('id = "H01"', 'id = ""', "id "),
        ("points = 1", "points = -1", "points"),
        ("points = 1", 'points = "one"', "points"),
        ("points = 1", "weight = 1", "points is missing|weight is not known"),
        ('severity = "warning"', 'severity = "bad"', "severity"),
        ('kind = "T"', 'kind = "Z"', "kind"),
        ('zh = "入院评估未按时完成", ', "", "title.zh is missing"),
        ('condition = "deadline"', 'condition = "deadlin"', "condition is none of"),
        ('condition = "deadline"', "", "condition or function"),
        ('condition = "deadline"', 'function = "hisbus_qc.nothing:here"', "function names no function"),
        ('condition = "deadline"', 'function = "hisbus_qc.copied:nothing"', "function names no function"),
        ('"encounter.admitted"', '"encounter.admited"', "triggers encounter.admited"),
        ("limit_hours = 4", "limit_hour = 4", "limits.limit_hour is not known|limits"),
        ("limit_hours = 4", 'limit_hours = "four"', "limits.limit_hours"),
        ("limit_hours = 4", "limit_hours = 4\nlimit_days = 1", "limits .*exactly one"),
        ('after = "admitted"', 'after = "admission"', "limits.after"),
        ('after = "admitted"', 'after = "facts"\nfacts = { part = "order" }', "limits.facts.part"),
        ('en = "admission assessment"', 'en = "{name} assessment"', "texts.document"),
        ('en = "admission assessment"', 'en = "{ assessment"', "texts.document has a lone brace"),
        ('"入院评估"', '"{foo}"', "texts.document fills in other words"),
        (
            'zh = "入院评估", en = "admission assessment"',
            'zh = "{foo}", en = "{foo}"',
            r"texts.document fills in \{foo\}",
        ),
        ("[texts]\ndocument", "[texts]\ndocumen", "texts.document is missing"),
        ("limit_hours = 4", 'limit_hours = 4\npattern = "("', "limits.pattern .*regular expression"),
        ("[texts]", "[texts", "is not TOML"),
        ("[limits]", "[parts.a]\nweight = 1\n[limits]", "parts.a.weight is not known"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(folder: Path, old: str, new: str, named: str) -> None:
    assert old in NEW
    (folder / "own.toml").write_text(NEW.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^own\.toml: .*(?:{named})"):
        configured({"rules_folder": str(folder)})


def test_one_id_in_two_files_is_a_mistake(folder: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (folder / name).write_text(NEW, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^b\.toml: id H01 stands in a\.toml too"):
        configured({"rules_folder": str(folder)})


def test_a_folder_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^rules_folder "):
        configured({"rules_folder": "/nowhere/at/all"})


@pytest.mark.parametrize("only", ["R01", ["R99"], [1]])
def test_only_names_rules(only: Any) -> None:
    with pytest.raises(ConfigError, match=r"^only "):
        configured({"only": only})


class TestContract(AgentContract):
    """The contract over every case of every rule."""

    agent = Agent()

    def cases(self) -> list[Case]:
        stays = [case.chart for case in read() if case.kind == "positive"][::6]
        others = {"packs": ["us", "cn"], "rules": {"R32": {"enabled": True}}}
        cases = [Case(event=None, chart=stay, now=stay.now) for stay in stays]
        return [*cases, replace(cases[0], settings=others)]


def test_every_rule_of_the_plugin_is_of_a_pack() -> None:
    assert {pack for rule in RULES.values() for pack in rule.packs} == {"cn", "us"}
    assert [rule.id for rule in RULES.values() if not rule.packs or not {*rule.sources} <= {*rule.packs}] == []


def test_a_pack_that_the_site_did_not_name_never_appears() -> None:
    chinese, american = configured({}), configured({"packs": ["us"]})
    assert {"R17", "R18"} <= {rule.id for rule in american} and "R01" not in {rule.id for rule in american}
    assert [rule.id for rule in chinese if "CFR" in rule.source or "AHIMA" in rule.source] == []
    assert [rule.id for rule in american if not rule.source.isascii()] == []
    both = {rule.id: rule.source for rule in configured({"packs": ["cn", "us"]})}
    assert both["R17"] == "42 CFR 482.24(c)(4)" and both["R27"] == RULES["R27"].source


def test_a_rule_of_another_pack_is_not_set_by_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^rules\.R17 is a rule of the pack us: name that in packs"):
        configured({"rules": {"R17": {"enabled": True}}})
    with pytest.raises(ConfigError, match=r"^packs must be a list of cn, us"):
        configured({"packs": ["uk"]})


def test_a_hospitals_own_rule_is_of_every_pack(folder: Path) -> None:
    (folder / "H01.toml").write_text(NEW, encoding="utf-8")
    assert "H01" in {rule.id for rule in configured({"rules_folder": str(folder), "packs": ["us"]})}


def test_what_is_missing_before_one_operation_is_one_card() -> None:
    stay = chart({"now": "04-20 00:00", "procedures": [{"start": "03-03 10:30", "end": "03-03 12:00"}]})
    answer = asyncio.run(Agent().assess(Case(event=None, chart=stay, now=stay.now, settings={"only": ["R36"]})))
    (card,) = answer.proposals
    assert isinstance(card, Finding)
    assert (card.key, card.state, card.points) == ("R36:OP1", "absent", 10)
    assert card.payload["title"]["zh"] == "术前文书不齐或晚于手术开始"
    assert card.message == Text(
        zh="手术“腹腔镜阑尾切除术”开始（2026-03-03 10:30）前未见已签名的术前讨论或术前小结、已签名的手术知情同意书。",
        en="No signed pre-operative discussion or summary, signed consent to the operation before the start of the "
        "operation “腹腔镜阑尾切除术” (2026-03-03 10:30).",
    )
    assert card.payload["source"] == "病历书写基本规范（2010）第二十二条（十二）；病历书写基本规范（2010）第二十三条"
    assert len({proof.model_dump_json() for proof in card.evidence}) == len(card.evidence)


def test_what_alone_is_missing_before_an_operation_is_called_by_its_name() -> None:
    papers = [{"type": "C0047", "signed": "03-03 08:00"}]
    stay = chart({"now": "04-20 00:00", "procedures": [{"start": "03-03 10:30"}], "documents": papers})
    answer = asyncio.run(Agent().assess(Case(event=None, chart=stay, now=stay.now, settings={"only": ["R36"]})))
    (card,) = answer.proposals
    assert (card.key, card.payload["title"]["zh"]) == ("R36:OP1", "手术知情同意书缺失")


def test_a_critical_value_is_also_what_the_hospitals_list_says(folder: Path) -> None:
    text = 'id = "R65"\n[limits.facts.critical.bounds]\n"2823-3" = { below = 3.0, above = 6.0 }\n'
    (folder / "R65.toml").write_text(text, encoding="utf-8")
    for value, said in (("3.0", ["absent"]), ("3.1", []), ("6.0", ["absent"]), ("溶血", [])):
        results = [{"item": "2823-3 钾", "value": value, "time": "03-03 10:00"}]
        assert says(folder, "R65", "04-20 00:00", results=results) == said


def test_what_one_rule_takes_for_critical_the_other_leaves_to_it() -> None:
    facts = {rule: RULES[rule].limits["facts"] for rule in ("R29", "R65")}
    assert facts["R29"]["uncritical"]["bounds"] == facts["R65"]["critical"]["bounds"] != {}


def test_what_the_laboratory_reports_as_critical_is_one_card() -> None:
    low = {"item": "2823-3 钾", "value": "2.1", "time": "03-03 10:00", "flags": ["LL"], "notes": ["危急值"]}
    stay = chart({"now": "04-20 00:00", "results": [low]})
    settings = {"only": ["R29", "R65"]}
    answer = asyncio.run(Agent().assess(Case(event=None, chart=stay, now=stay.now, settings=settings)))
    assert [item.rule for item in answer.proposals] == ["R65"]
