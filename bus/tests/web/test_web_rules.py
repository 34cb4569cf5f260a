"""The page of rules says once for the site which of them can judge, and what the others want."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from hisbus.frames import AgentInfo
from hisbus_bus.flow.review import notes
from hisbus_bus.kernel import coverage, rules, tables
from hisbus_bus.kernel.coverage import Word
from hisbus_bus.kernel.settings import CoverageSettings
from hisbus_bus.kernel.site import Site
from hisbus_schemas import EVERY_OTHER, Assessment, Need, RuleInfo, Text, Unevaluated

NOTE, PAPERS = Need(item="document:C0034", after="admission"), Need(any=("document:C0026", "document:C0027"))
TITLE = RuleInfo(title=Text(zh="入院记录未按时完成", en="Admission record not in time"), source="基本规范第十七条")
QC = AgentInfo(
    name="qc", version="1", kinds=frozenset(), grants=frozenset(), rules={"R01": TITLE},
    needs={"R01": (NOTE,), "R36": (PAPERS,), EVERY_OTHER: (Need(item="class"),)},
)  # fmt: skip


@pytest.fixture
async def declared(site: Site) -> None:
    async with site.database.write() as connection:
        await rules.keep(connection, QC)


async def say(site: Site, *words: Word) -> None:
    async with site.database.write() as connection:
        await coverage.say(connection, site.headers, words, "user:qc")


def row(page: str, rule: str) -> str:
    """Return the row of a rule as a reader sees it; every day is DAY."""
    (found,) = [one for one in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if f">{rule}<" in one]
    return " ".join(re.sub(r"\d{4}-\d\d-\d\d", "DAY", re.sub(r"<[^>]*>", " ", found)).split())


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("language", "title", "judged", "lacking"),
    [
        (
            "zh",
            "入院记录未按时完成 基本规范第十七条",
            "判断",
            "数据未接入 手术知情同意书 （qc，DAY） 或 麻醉知情同意书",
        ),
        (
            "en",
            "Admission record not in time 基本规范第十七条",
            "judges",
            "not connected Consent to the operation (qc, DAY) or Consent to anaesthesia",
        ),
    ],
)
async def test_each_rule_stands_with_its_source_and_what_it_lacks(
    client: Any, site: Site, language: str, title: str, judged: str, lacking: str
) -> None:
    page, said = client("viewer", page=True), {"accept-language": language}
    before = (await page.get("/rules", headers=said)).text
    assert row(before, "R01") == f"R01 {title} {judged}"
    assert row(before, "R36") == f"R36 {judged}"
    await say(site, Word("document:C0026", "", "not_connected"))
    assert row((await page.get("/rules", headers=said)).text, "R36") == f"R36 {judged}", "the other will do"
    await say(site, Word("document:C0027", "", "not_connected"))
    after = (await page.get("/rules", headers=said)).text
    assert row(after, "R36").startswith(f"R36 {lacking}")
    assert after.count("C0026") == 1, "said once, to who points at it"


@pytest.mark.usefixtures("declared")
async def test_a_department_that_differs_is_named(client: Any, site: Site) -> None:
    await say(site, Word("document:C0034", "骨科", "not_connected"))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R01").endswith("（qc，DAY）")
    assert "判断 骨科： 数据未接入 入院记录" in row(page, "R01")
    assert "3条判断，0条数据未接入" in page and "其他规则" in page


async def test_a_rule_of_which_a_part_can_judge_says_both(client: Any, site: Site) -> None:
    consent, talk = Need(item="document:C0026", part="consent"), Need(item="document:C0047", part="discussion")
    async with site.database.write() as connection:
        await rules.keep(connection, QC.model_copy(update={"needs": {"R36": (consent, talk)}}))
    await say(site, Word("document:C0026", "", "not_connected"))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R36").startswith("R36 判断 部分数据未接入 手术知情同意书 （qc，")
    await say(site, Word("document:C0047", "", "not_connected"))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R36").startswith("R36 数据未接入 手术知情同意书 （qc，")


async def test_what_is_not_connected_stands_with_the_stays_that_it_was_seen_on(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        await rules.keep(connection, QC)
        await coverage.configure(connection, site.headers, CoverageSettings(default="observed"))
        rows = [(f"e{n}", "document:C0034", False) for n in range(25)] + [
            (f"e{n}", "document:C0034", True) for n in range(3)
        ]
        rows += [("e1", "document:C0026", True)]
        stays = [{"encounter": stay, "item": item, "seen": seen, "department": ""} for stay, item, seen in rows]
        await connection.execute(tables.coverage_stays.insert(), stays)
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R01").endswith("数据未接入 入院记录 （自DAY起需要它的25次住院中3次有）")
    assert "手术知情同意书 （自DAY起1次住院有） 或 麻醉知情同意书 （自DAY起0次住院有）" in row(page, "R36")


async def put_heads(site: Site, *said: tuple[set[str], list[Unevaluated]]) -> None:
    """Store the newest assessments of an agent: what it judged of each stay, and what it did not."""
    async with site.database.write() as connection:
        for number, (judged, not_) in enumerate(said):
            row = {
                "encounter": f"h{number}",
                "agent": "qc",
                "shadow": False,
                "version": 1,
                "evaluated": json.dumps([*judged]),
            }
            written = notes.stored(Assessment(evaluated=frozenset(judged), unevaluated=not_))
            await connection.execute(
                tables.assessment_heads.insert(), row | {"notes": written, "time": datetime.now(UTC)}
            )


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("reason", ["model", "other"])
async def test_a_rule_that_lacks_a_table_of_codes_or_a_model_says_so(client: Any, site: Site, reason: Any) -> None:
    lacks = Unevaluated(rule="R01", reason=reason, text=Text(zh="未加载术语表。", en="No terminology is loaded."))
    await put_heads(site, ({"R36"}, [lacks]), ({"R36"}, [lacks]))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R01").endswith("暂不能判断 未加载术语表。") and row(page, "R36").endswith("判断")
    assert "2条判断，0条数据未接入，1条暂不能判断" in page


@pytest.mark.usefixtures("declared")
async def test_a_rule_that_was_judged_of_most_stays_lacks_nothing(client: Any, site: Site) -> None:
    odd = Unevaluated(rule="R01", text=Text(zh="此份病历无法解析。", en="This record cannot be read."))
    own = Unevaluated(rule="R36", reason="unknown_code", text=Text(zh="代码未知。", en="Unknown code."))
    await put_heads(site, ({"R01"}, [own]), ({"R01"}, [own]), (set(), [odd, own]))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert "暂不能判断" not in page


async def test_a_rule_that_is_switched_off_is_not_shown(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        await rules.keep(connection, QC, ["R36"])
    page = (await client("viewer", page=True).get("/rules")).text
    assert "R36" in page and "R01" not in page and "入院记录" not in page


async def test_where_no_agent_has_declared_anything_the_page_says_so(client: Any) -> None:
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert "还没有智能体登记规则。" in page
    assert 'href="/rules"' in page
