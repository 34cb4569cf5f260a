"""The page as it is sent: what is marked, what is offered, and that no address names a patient."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from sqlalchemy import select, update

import hisbus_bus.desk
from hisbus_bus.desk.texts import negotiate, texts
from hisbus_bus.kernel import audit, tables
from hisbus_bus.kernel.controls import Now
from hisbus_bus.kernel.signals import Kind
from hisbus_bus.kernel.site import Site
from hisbus_schemas import LISTS

ZH = {"accept-language": "zh-CN,zh;q=0.9"}
EN = {"accept-language": "en"}
FORM = {"x-csrf-token": "reviewer-form", "hx-request": "true"}


async def finding(site: Site, rule: str) -> Any:
    async with site.database.read() as connection:
        return (await connection.execute(select(tables.proposals).where(tables.proposals.c.rule == rule))).one()


async def test_the_worklist_shows_who_lies_where_with_what(client: Any, site: Site) -> None:
    page = client("viewer", page=True)
    text = (await page.get("/findings", headers=ZH)).text
    for said in ("R10", "手术记录未按时完成", "欧阳慧敏", "普外二区", "0807-11", "缺失", "严重"):
        assert said in text, said
    only = (await page.get("/findings", params={"department": "神经内科"}, headers=ZH)).text
    assert "马淑兰" in only and "张建国" not in only
    none = (await page.get("/findings", params={"status": "rejected"}, headers=ZH)).text
    assert "没有符合条件的缺陷" in none


async def test_what_was_withdrawn_can_be_found(client: Any, site: Site) -> None:
    row = await finding(site, "R10")
    async with site.database.write() as connection:
        its = tables.proposals.c.id == row.id
        await connection.execute(update(tables.proposals).where(its).values(status="withdrawn"))
        await audit.history(
            connection, proposal=row.id, status="withdrawn", actor="step:review", detail="not_connected"
        )
    page = client("viewer", page=True)
    link = re.search(r'href="(/findings\?[^"]*)"[^>]*>已撤回 <b>1</b>', (await page.get("/findings", headers=ZH)).text)
    assert link is not None
    found = (await page.get(link[1].replace("&amp;", "&"), headers=ZH)).text
    assert "R10" in found and "R45" not in found
    assert "已撤回 审核 · 数据未接入" in told((await page.get(f"/findings/{row.id}", headers=ZH)).text)


def told(page: str) -> list[str]:
    """Return the lines of histories as a reader sees them."""
    lines = re.findall(r"<li><span class=\"time\">[^<]*</span>(.*?)</li>", page)
    return [" ".join(re.sub(r"<[^>]+>", "", line).split()) for line in lines]


async def test_the_case_marks_the_evidence_where_it_stands(client: Any, site: Site) -> None:
    row = await finding(site, "R45")
    page = await client("viewer", page=True).get(f"/findings/{row.id}", headers=ZH)
    marks = re.findall(r'<mark data-for="([^"]+)"[^>]*class="on">(.*?)</mark>', page.text, re.S)
    assert [(who, text[:10]) for who, text in marks] == [(row.id, "患者神志清，精神可，")]
    late = await finding(site, "R01")
    page = await client("viewer", page=True).get(f"/findings/{late.id}", headers=ZH)
    marked = re.findall(r'class="on">(.*?)</mark>', page.text, re.S)
    assert marked == ["2026-03-02 08:30", "2026-03-03 11:42", "发热、咳嗽、咳痰5天，加重伴气促1天。"]


async def test_what_cannot_be_verified_comes_last_and_is_said_so(client: Any, site: Site) -> None:
    row = await finding(site, "R45")
    page = await client("viewer", page=True).get(f"/findings/{row.id}", headers=ZH)
    cards = re.findall(r'<article class="card.*?</article>', page.text, re.S)
    rules = [re.search(r"<h3><b>(\w+)</b>", card) for card in cards]
    assert [rule[1] for rule in rules if rule] == ["R01", "R27", "R45", "R60"]
    assert ["依据无法核对" in card for card in cards] == [False, False, False, True]


async def test_the_history_of_a_finding_is_told_in_the_readers_words(client: Any, site: Site) -> None:
    row = await finding(site, "R45")
    async with site.database.write() as connection:
        await audit.history(connection, proposal=row.id, status="superseded", actor="step:review")
        await audit.history(connection, proposal=row.id, status="writeback.applied", actor="user:ann", detail="AA")
    for language, lines in (
        (ZH, ["待处理 审核", "已被新结果取代 审核", "HIS 已确认 ann · AA"]),
        (EN, ["Open Review", "Superseded Review", "Acknowledged by the HIS ann · AA"]),
    ):
        page = await client("viewer", page=True).get(f"/findings/{row.id}", headers=language)
        assert told(page.text) == lines


async def test_a_viewer_is_offered_no_decision(client: Any, site: Site) -> None:
    row = await finding(site, "R45")
    seen = (await client("viewer", page=True).get(f"/findings/{row.id}")).text
    assert 'value="accept"' not in seen
    answer = await client("viewer", page=True).post(
        f"/findings/{row.id}/decision",
        data={"decision": "accept", "etag": row.etag},
        headers=FORM | {"x-csrf-token": "viewer-form"},
    )
    assert answer.status_code == 403
    assert (await finding(site, "R45")).status == "open"


async def test_a_decision_brings_the_card_back_with_its_receipt(client: Any, site: Site, rows: Any) -> None:
    row = await finding(site, "R45")
    page = client("reviewer", page=True)
    data = {"decision": "accept", "etag": row.etag}
    answer = await page.post(f"/findings/{row.id}/decision", data=data, headers=FORM | ZH)
    assert answer.status_code == 200
    assert "<html" not in answer.text and "已采纳" in answer.text and "reviewer 于" in answer.text
    assert 'hx-trigger="every 1s"' in answer.text
    async with site.database.write() as connection:
        sent = await rows.put_writeback(connection, row.id, "e1")
    moving = (await page.get(f"/findings/{row.id}/receipt", headers=ZH)).text
    assert "等待发送到 HIS" in moving and "every 1s" in moving
    async with site.database.write() as connection:
        done = {"status": "applied", "code": "AA", "changed": datetime.now(UTC)}
        await connection.execute(update(tables.writebacks).where(tables.writebacks.c.id == sent).values(**done))
    settled = (await page.get(f"/findings/{row.id}/receipt", headers=ZH)).text
    assert "HIS 已确认" in settled and "every 1s" not in settled
    assert "张" not in settled


async def test_a_refused_decision_says_why_and_shows_what_stands(client: Any, site: Site) -> None:
    row = await finding(site, "R27")
    page = client("reviewer", page=True)
    path = f"/findings/{row.id}/decision"
    changed = await page.post(path, data={"decision": "accept", "etag": "old"}, headers=FORM | ZH)
    assert changed.status_code == 412 and "已经变更" in changed.text
    missing = await page.post(path, data={"decision": "accept"}, headers=FORM | ZH)
    assert missing.status_code == 428
    reasonless = await page.post(path, data={"decision": "reject", "etag": row.etag}, headers=FORM | ZH)
    assert reasonless.status_code == 422
    plain = await page.post(
        path,
        data={"decision": "reject", "reason": "wrong", "etag": row.etag, "csrf": "reviewer-form"},
    )
    assert (plain.status_code, plain.headers["location"]) == (303, f"/findings/{row.id}")
    twice = await page.post(path, data={"decision": "accept", "etag": row.etag}, headers=FORM | ZH)
    assert twice.status_code == 409 and "已驳回" in twice.text and "判断有误" in twice.text


async def test_an_edit_shows_the_words_that_a_person_gave(client: Any, site: Site) -> None:
    row = await finding(site, "R27")
    data = {"decision": "edit", "etag": row.etag, "zh": "改过的话", "en": "other words", "note": "核对过"}
    answer = await client("reviewer", page=True).post(f"/findings/{row.id}/decision", data=data, headers=FORM | ZH)
    assert answer.status_code == 200
    assert "修改后采纳" in answer.text and "改过的话" in answer.text


async def test_a_stale_finding_offers_nothing_but_to_reload(client: Any, site: Site) -> None:
    row = await finding(site, "R13")
    text = (await client("reviewer", page=True).get(f"/findings/{row.id}", headers=ZH)).text
    card = re.search(rf'<article[^>]*data-finding="{row.id}".*?</article>', text, re.S)
    assert card is not None and "病历在此缺陷提出之后已变更" in card[0]
    assert all("disabled" in button for button in re.findall(r'<button[^>]*data-act="\w+"[^>]*>', card[0]))


async def test_every_look_at_the_page_is_audited(client: Any, site: Site) -> None:
    row = await finding(site, "R45")
    page = client("viewer", page=True)
    for path in ("/findings", f"/findings/{row.id}", "/messages/0.0"):
        await page.get(path)
    await page.post("/messages/search", data={"visit": "ZY2603001", "csrf": "viewer-form"})
    async with site.database.read() as connection:
        actions = list(await connection.scalars(select(tables.audit.c.action).order_by(tables.audit.c.id)))
    shown = [action for action in actions if not action.endswith(".stale")]
    assert shown == ["proposals.listed", "chart.viewed", "proposal.viewed", "message.viewed", "message.searched"]


async def test_no_address_and_no_title_names_a_patient(client: Any, site: Site) -> None:
    page = client("admin", page=True)
    row = await finding(site, "R45")
    identity = ("张建国", "欧阳慧敏", "马淑兰", "ZY26", "110101195003074514")
    for path in ("/findings", f"/findings/{row.id}", "/messages", "/messages/0.0", "/writebacks", "/parked", "/audit"):
        text = (await page.get(path)).text
        addresses = re.findall(r'(?:href|action|hx-get|hx-post|src)="([^"]*)"', text)
        titles = re.findall(r"<title>(.*?)</title>", text, re.S)
        assert addresses and titles
        for place in (*addresses, *titles):
            assert not any(who in unquote(place) for who in identity), (path, place)


async def test_the_page_says_what_is_off(client: Any, app: Any, rows: Any) -> None:
    app.state.process = rows.Agents([hisbus_bus.desk.AgentState("qc-text", "failed")])
    text = (await client("viewer", page=True).get("/findings", headers=ZH)).text
    assert "qc-text" in text and "启动失败" in text and "内嵌日志" in text


async def test_an_admin_replays_and_a_reviewer_answers_on_the_page(client: Any, site: Site) -> None:
    admin = client("admin", page=True)
    assert "/parked/parked-1/replay" in (await admin.get("/parked")).text
    assert "/replay" not in (await client("reviewer", page=True).get("/parked")).text
    assert (await admin.post("/parked/parked-1/replay", data={"csrf": "admin-form"})).status_code == 303
    reviewer = client("reviewer", page=True)
    path = re.search(r'action="(/writebacks/\w+/resolution)"', (await reviewer.get("/writebacks")).text)
    assert path is not None
    data = {"csrf": "reviewer-form", "resolution": "applied", "note": "seen"}
    assert (await reviewer.post(path[1], data=data)).status_code == 303
    async with site.database.read() as connection:
        assert await connection.scalar(select(tables.writebacks.c.status)) == "applied"
    assert (await client("reviewer", page=True).get("/audit")).status_code == 403


def test_both_languages_say_the_same_things() -> None:
    def keys(table: Any, before: str = "") -> set[str]:
        return {
            key
            for name, value in table.items()
            for key in (keys(value, f"{before}{name}.") if isinstance(value, dict) else {before + name})
        }

    chinese, english = keys(texts("zh")), keys(texts("en"))
    assert chinese == english
    templates = Path(hisbus_bus.desk.__file__).parent / "templates"
    used = "".join(file.read_text(encoding="utf-8") for file in templates.glob("*.html"))
    by_value = {
        "agent", "role", "status", "severity", "state", "sex", "reason", "refused", "receipt", "diagnosis", "order",
        "document", "field", "message-status", "writeback-status", "verdict",
        "kind", "model", "history", "step", "part", "class", "ordered", "administration", "unknown", "unevaluated",
        "called", "no-stay", "work-kind", "work-todo",
    }  # fmt: skip
    by_value |= {
        "site.embedded",
        "site.single-broker",
        "site.agent",
        "site.plaintext",
        "site.model-down",
        "site.model-none",
        "stay.preadmitted",
        "stay.replaced",
        "stay.withdrawn",
    }
    by_value |= {f"stay.{status}" for status in ("preadmitted", "registered", "admitted", "discharged", "cancelled")}
    by_value |= {f"fact.{part.name}" for part in LISTS}
    by_value |= {f"fact.{path}" for path in ("admitted", "discharged", "status")}
    by_value |= {f"fact.{path}" for path in ("about", "signed", "department", "sex", "birth_date")}
    by_value |= {f"draft.{written}" for written in ("assembled", "model", "mixed")}
    by_value |= {f"controls.{now}" for now in get_args(Now) if now != "running"}
    by_value |= {f"signals.{kind}" for kind in get_args(Kind) if kind != "held"}
    by_value |= {key for key in chinese if key.startswith("draft.reason.")}
    by_value |= {key for key in chinese if key.startswith(("codes.role.", "codes.method.", "codes.verified."))}
    by_value |= {key for key in chinese if key.startswith(("codes.band.", "codes.purpose.", "worklist.of."))}
    by_value |= {key for key in chinese if key.startswith("worklist.empty.")}
    by_value |= {key for key in chinese if key.startswith(("allergy.", "document.", "section.", "vital."))}
    by_value |= {f"message.{field}" for field in ("patient", "visit", "text")}
    by_value |= {f"way.waits-{step}" for step in ("translate", "chart")}
    by_value |= {f"asked.{status}" for status in ("open", "answered")}
    by_value |= {f"parked.{status}" for status in ("parked", "replayed", "closed")}
    by_value |= {f"became.{outcome}" for outcome in ("sent", "refused", "read", "waiting", "parked")} | {"cut"}
    for key in chinese:
        table, _, name = key.partition(".")
        direct = f"t.{key}" in used or f"t.{table}['{name}']" in used or f't.{table}["{name}"]' in used
        assert direct or by_value & {key, table}, f"{key} is never shown"


def test_a_reader_gets_the_language_they_chose_else_asked_for_else_chinese() -> None:
    assert negotiate("en", "zh-CN") == "en"
    assert negotiate(None, "en-GB,en;q=0.9,zh;q=0.8") == "en"
    assert negotiate("xx", "de,fr;q=0.5") == "zh"
