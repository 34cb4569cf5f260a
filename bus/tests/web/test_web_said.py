"""What agents say of their own work, on the page and over the API: what could not be judged, and what a model did."""

import re
from typing import Any

from sqlalchemy import delete, select

from hisbus_bus.desk import AgentState, ModelState
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Assessment, Opinion, Text, Unevaluated

ZH = {"accept-language": "zh-CN,zh;q=0.9"}
EN = {"accept-language": "en"}


async def finding(site: Site, rule: str) -> Any:
    async with site.database.read() as connection:
        return (await connection.execute(select(tables.proposals).where(tables.proposals.c.rule == rule))).one()


async def put(site: Site, coding: Any) -> None:
    async with site.database.write() as connection:
        await connection.execute(delete(tables.assessment_heads))
        await coding.put_heads(
            connection, coding.head("qc-text", coding.text_assessment()), coding.head("qc", Assessment())
        )


async def test_the_case_says_what_could_not_be_judged_and_why(client: Any, site: Site, coding: Any) -> None:
    await put(site, coding)
    row = await finding(site, "R45")
    chinese = (await client("viewer", page=True).get(f"/findings/{row.id}", headers=ZH)).text
    (said,) = re.findall(r'<section class="said".*?</section>', chinese, re.S)
    for reason, rules, text in (
        ("模型未能判断", "R41 R42", "模型没有给出可用的答复。"),
        ("未能判断", "R43", "无首次病程记录。"),
        ("代码未识别，未判断", "R44", "文书类型“X9”尚未识别。"),
    ):
        assert f'<b>{reason}：</b> <span class="mono">{rules}</span> {text}' in said
    assert "2条陈述" in said and "未予采用" in said
    for word in ("qwen3-32b", "3f9a1c02", "提问2次", "读入8420词元（缓存7800）", "1次无答复", "invalid_answer"):
        assert word in said, word
    assert "<b>qc</b>" not in said, "an agent that has nothing to say of itself says nothing"
    assert "4项未能判断" in chinese
    english = (await client("viewer", page=True).get(f"/findings/{row.id}", headers=EN)).text
    for word in (
        "4 not judged",
        "a code is not known",
        "for want of the model",
        "There is no first progress note.",
        "2 statement(s) of the model left out",
    ):
        assert word in english, word


async def test_what_the_site_does_not_have_is_counted_and_said_on_the_page_of_rules(
    client: Any, site: Site, coding: Any
) -> None:
    what = Text(zh="文书类型C0026", en="type of document C0026")
    lacking = [Unevaluated(rule=rule, reason="not_connected", item="document:C0026", text=what) for rule in ("A", "B")]
    async with site.database.write() as connection:
        await connection.execute(delete(tables.assessment_heads))
        await coding.put_heads(connection, coding.head("qc", Assessment(unevaluated=lacking)))
    row = await finding(site, "R45")
    page = (await client("viewer", page=True).get(f"/findings/{row.id}", headers=ZH)).text
    assert '<a href="/rules#qc">2条规则的数据未接入，见规则页</a>' in page
    assert "C0026" not in page and "项未能判断" not in page


async def test_a_case_where_all_was_judged_says_nothing_of_it(client: Any, site: Site) -> None:
    row = await finding(site, "R45")
    assert 'class="said"' not in (await client("viewer", page=True).get(f"/findings/{row.id}")).text


async def test_the_api_says_the_same_and_the_look_is_audited(client: Any, site: Site, coding: Any) -> None:
    await put(site, coding)
    items = (await client("viewer").get("/api/v1/charts/e1/assessments")).json()["items"]
    assert [item["agent"] for item in items] == ["qc", "qc-text"]
    quiet, text = items
    assert (quiet["unevaluated"], quiet["unverified"], quiet["asked"]) == ([], 0, [])
    assert text["evaluated"] == ["R40"]
    assert [(one["rule"], one["reason"], one["item"]) for one in text["unevaluated"]] == [
        ("R41", "model", ""),
        ("R42", "model", ""),
        ("R43", "other", ""),
        ("R44", "unknown_code", "document:*"),
    ]
    assert text["unevaluated"][2]["text"] == {"zh": "无首次病程记录。", "en": "There is no first progress note."}
    assert (text["unverified"], [one["outcome"] for one in text["asked"]]) == (2, ["answered", "invalid_answer"])
    assert text["asked"][0]["model"] == "qwen3-32b"
    assert (await client("viewer").get("/api/v1/charts/nothing/assessments")).status_code == 404
    assert (await client().get("/api/v1/charts/e1/assessments")).status_code == 401
    async with site.database.read() as connection:
        seen = (
            await connection.execute(select(tables.audit).where(tables.audit.c.action == "assessments.viewed"))
        ).all()
    assert [(row.encounter, row.actor) for row in seen] == [("e1", "user:viewer")]


async def test_a_finding_that_a_model_judged_is_marked(client: Any, site: Site, rows: Any, coding: Any) -> None:
    row = await finding(site, "R45")
    async with site.database.write() as connection:
        made = await rows.put_finding(connection, rows.pneumonia(), coding.judged_by_model(), row.opened, "qc-text")
    for headers, word in ((ZH, "模型判断"), (EN, "Judged by a model")):
        page = (await client("viewer", page=True).get(f"/findings/{made}", headers=headers)).text
        cards = {id: text for text, id in re.findall(r'(<article[^>]*data-finding="([^"]+)".*?</article>)', page, re.S)}
        assert [id for id, text in cards.items() if word in text] == [made]
        assert "qwen3-32b" in cards[made]
        assert (await client("viewer", page=True).get("/findings", headers=headers)).text.count(word) == 1
    assert (await client("viewer").get(f"/api/v1/proposals/{made}")).json()["model"] == "qwen3-32b"
    assert (await client("viewer").get(f"/api/v1/proposals/{row.id}")).json()["model"] == ""


async def test_codes_and_drafts_have_voices_too(client: Any, site: Site, rows: Any, coding: Any, coded: Any) -> None:
    dispute = Text(zh="病程记录中未见病原学依据。", en="No progress note bears a bacterium.")
    confirm = Text(zh="与病程记录一致。", en="It agrees with the progress notes.")
    async with site.database.write() as connection:
        drafted = await rows.put_finding(connection, rows.pneumonia(), coding.draft(), coded.opened, "documentation")
        words = coding.span("高血压病2级")
        said = [
            Opinion(proposal=coded.id, verdict="dispute", message=dispute, evidence=[words]),
            Opinion(proposal=drafted, verdict="confirm", message=confirm),
        ]
        await coding.put_heads(connection, coding.head("codes-check", Assessment(), said))
    page = (await client("viewer", page=True).get(f"/findings/{coded.id}", headers=ZH)).text
    cards = {id: text for text, id in re.findall(r'(<article[^>]*data-finding="([^"]+)".*?</article>)', page, re.S)}
    assert "提出异议" in cards[coded.id] and dispute.zh in cards[coded.id] and "codes-check" in cards[coded.id]
    assert f'data-show="{coded.id}-codes-check-0"' in cards[coded.id]
    assert confirm.zh in cards[drafted] and dispute.zh not in cards[drafted]


WAITING = AgentState("qc-text", "running", "qc", "1", waits_for="llm", asks=True)
RULES = AgentState("qc", "running", "qc", "1")


async def test_the_page_says_that_the_model_is_down_and_who_waits(client: Any, app: Any, rows: Any) -> None:
    app.state.process = rows.Agents([RULES, WAITING], ModelState("down", "qwen3-32b", "llm_unreachable"))
    page = client("viewer", page=True)
    assert "模型无响应（llm_unreachable）" in (await page.get("/findings", headers=ZH)).text
    for headers, words in (
        (ZH, ["qwen3-32b", "无响应", "等待模型", "llm_unreachable"]),
        (EN, ["qwen3-32b", "does not answer", "the model", "llm_unreachable"]),
    ):
        text = (await page.get("/agents", headers=headers)).text
        for word in words:
            assert word in text, word
    ready = (await client().get("/readyz")).json()
    assert ready["ready"] is True, "rules go on"
    assert ready["model"] == {"status": "down", "name": "qwen3-32b", "reason": "llm_unreachable"}
    assert [(one["name"], one["waits_for"]) for one in ready["agents"]] == [("qc", ""), ("qc-text", "llm")]
    assert ready["lag"]["dispatch.qc-text"] == 0


async def test_the_page_says_what_is_off_without_a_model(client: Any, app: Any, site: Site, rows: Any) -> None:
    idle = AgentState("qc-text", "running", "qc", "1", asks=True)
    page = client("viewer", page=True)
    app.state.process = rows.Agents([RULES, idle])
    assert "未配置模型：qc-text 需要模型的判断不做。" in (await page.get("/findings", headers=ZH)).text
    assert "none is configured" in (await page.get("/agents", headers=EN)).text
    app.state.process = rows.Agents([RULES, idle], ModelState("up", "qwen3-32b"))
    assert "模型" not in re.sub(r"(?s)<nav>.*?</nav>", "", (await page.get("/findings", headers=ZH)).text)
    app.state.process = rows.Agents([RULES])
    assert "未配置模型" not in (await page.get("/findings", headers=ZH)).text


async def test_a_process_that_calls_no_agents_does_not_say_how_the_model_is(client: Any, app: Any, rows: Any) -> None:
    away = AgentState("qc", "elsewhere", "qc")
    app.state.process = rows.Agents([away], ModelState("elsewhere", "qwen3-32b"))
    text = (await client("viewer", page=True).get("/agents", headers=EN)).text
    assert "asked by another process" in text and "in another process" in text
    assert (await client().get("/readyz")).json()["ready"] is True
