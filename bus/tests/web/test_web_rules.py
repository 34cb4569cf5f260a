"""The page of rules says once for the site which of them can judge, and what the others want."""

import re
from typing import Any

import pytest

from hisbus.frames import AgentInfo
from hisbus_bus.kernel import coverage, rules
from hisbus_bus.kernel.coverage import Word
from hisbus_bus.kernel.site import Site
from hisbus_schemas import EVERY_OTHER, Need, RuleInfo, Text

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
    """Return the row of a rule as a reader sees it."""
    (found,) = [one for one in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if f">{rule}<" in one]
    return " ".join(re.sub(r"<[^>]*>", " ", found).split())


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("language", "title", "judged", "lacking"),
    [
        ("zh", "入院记录未按时完成 基本规范第十七条", "判断", "数据未接入 文书类型C0026或文书类型C0027"),
        (
            "en",
            "Admission record not in time 基本规范第十七条",
            "judges",
            "not connected type of document C0026 or",
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
    assert after.count("C0026") == 1, "said once"


@pytest.mark.usefixtures("declared")
async def test_a_department_that_differs_is_named(client: Any, site: Site) -> None:
    await say(site, Word("document:C0034", "骨科", "not_connected"))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R01").endswith("判断 骨科： 数据未接入 文书类型C0034")
    assert "3条判断，0条数据未接入" in page and "其他规则" in page


async def test_a_rule_of_which_a_part_can_judge_says_both(client: Any, site: Site) -> None:
    consent, talk = Need(item="document:C0026", part="consent"), Need(item="document:C0047", part="discussion")
    async with site.database.write() as connection:
        await rules.keep(connection, QC.model_copy(update={"needs": {"R36": (consent, talk)}}))
    await say(site, Word("document:C0026", "", "not_connected"))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R36") == "R36 判断 部分数据未接入 文书类型C0026"
    await say(site, Word("document:C0047", "", "not_connected"))
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert row(page, "R36") == "R36 数据未接入 文书类型C0026；文书类型C0047"


async def test_a_rule_that_is_switched_off_is_not_shown(client: Any, site: Site) -> None:
    async with site.database.write() as connection:
        await rules.keep(connection, QC, ["R36"])
    page = (await client("viewer", page=True).get("/rules")).text
    assert "R36" in page and "R01" not in page and "入院记录" not in page


async def test_where_no_agent_has_declared_anything_the_page_says_so(client: Any) -> None:
    page = (await client("viewer", page=True).get("/rules", headers={"accept-language": "zh"})).text
    assert "还没有智能体登记规则。" in page
    assert 'href="/rules"' in page
