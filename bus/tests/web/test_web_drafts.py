"""A drafted document on the page: its sections, each sentence's place in the record, and a person's own words."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.errors import Refused
from hisbus_bus.flow.review import decide
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_schemas import (
    Code,
    Decision,
    Draft,
    Drafted,
    DraftedSection,
    DraftedSentence,
    Evidence,
    Text,
)

ZH = {"accept-language": "zh-CN,zh;q=0.9"}
EN = {"accept-language": "en"}
FORM = {"x-csrf-token": "reviewer-form", "hx-request": "true"}
FIRST = "患者因肺炎入院。"
SECOND = "体温39.1℃。"


def draft(chart: Any) -> Draft:
    history = chart.documents[0].sections[0].text
    evidence = [
        Evidence(path="diagnoses/dg", value="肺炎"),
        Evidence(path="vitals/v1", value="39.1"),
        Evidence(path="patient/sex", value="male"),
        Evidence(document="n1", version="n1-v", section=0, begin=0, end=len(history), quote=history),
        Evidence(path="vitals/v1", value="40.0"),
    ]
    sections = [
        DraftedSection(
            code="SUMMARY",
            title=Text(zh="入院情况", en="Condition on admission"),
            loinc="11450-4",
            sentences=[
                DraftedSentence(text=FIRST, sources=[0, 2, 3]),
                DraftedSentence(text=SECOND, sources=[1, 4]),
            ],
        ),
        DraftedSection(code="ADVICE", title=Text(zh="出院医嘱", en="Discharge orders")),
    ]
    payload = Drafted(
        template="discharge-record",
        type=Code(code="C0049"),
        title=Text(zh="出院记录", en="Discharge record"),
        language="zh",
        sections=sections,
        removed={"negation": 2, "dose": 1},
    )
    return Draft(
        key="discharge-record",
        rule="discharge-record",
        author="D1",
        severity="info",
        message=Text(zh="出院记录草稿。", en="Draft of the discharge record."),
        evidence=evidence,
        reads=["dg@v"],
        payload=payload.model_dump(mode="json"),
    )


@pytest.fixture
async def drafted(site: Site, rows: Any) -> Any:
    chart = rows.pneumonia()
    async with site.database.write() as connection:
        mine = {"authority": "HOSP", "number": "D1", "user": "reviewer"}
        await connection.execute(tables.staff_numbers.insert(), mine)
        id = await rows.put_finding(connection, chart, draft(chart), datetime.now(UTC))
        return (await connection.execute(select(tables.proposals).where(tables.proposals.c.id == id))).one()


def card(page: str, id: str) -> str:
    found = re.search(rf'<article[^>]*data-finding="{id}".*?</article>', page, re.S)
    assert found is not None
    return found[0]


async def decided(site: Site) -> Drafted:
    async with site.database.read() as connection:
        row = (await connection.execute(select(tables.decisions))).one()
    approved = Decision.model_validate_json(row.body).approved
    assert approved is not None
    return Drafted.model_validate(approved.payload)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (ZH, ["依病历条目拼装", "已删除3句：", "否定不符 2", "剂量不符 1", "（病历中无相关内容）", "性别"]),
        (
            EN,
            [
                "Assembled from the record",
                "3 sentence(s) taken out:",
                "negation 2",
                "dose 1",
                "the record says nothing",
                "Sex",
            ],
        ),
    ],
)
async def test_a_draft_is_shown_by_section_with_what_was_taken_out(
    client: Any, drafted: Any, headers: dict[str, str], words: list[str]
) -> None:
    page = (await client("viewer", page=True).get(f"/findings/{drafted.id}", headers=headers)).text
    shown = card(page, drafted.id)
    for word in (*words, "入院情况", "11450-4", "C0049", FIRST, SECOND):
        assert word in shown, word


async def test_each_sentence_leads_to_its_places_and_a_source_that_is_not_there_is_shown_as_missing(
    client: Any, drafted: Any
) -> None:
    page = (await client("viewer", page=True).get(f"/findings/{drafted.id}", headers=ZH)).text
    sentences = re.findall(r"<li>(?:(?!</li>).)*</li>", card(page, drafted.id), re.S)
    assert re.findall(r'data-show="([^"]+)"', sentences[0]) == [f"{drafted.id}-{n}" for n in (0, 2, 3)]
    assert "disabled" not in sentences[0]
    assert re.findall(r'class="source( missing)?" data-show', sentences[1]) == ["", " missing"]
    assert re.search(rf'data-proof="[^"]*{drafted.id}-3', page)


async def test_a_person_edits_the_text_and_the_lines_that_stay_keep_their_sources(
    client: Any, drafted: Any, site: Site
) -> None:
    own = "今日好转出院。"
    data = {
        "decision": "edit",
        "etag": drafted.etag,
        "section-0": f"{SECOND}\r\n\r\n  {own}  ",
        "section-1": "两周后门诊复诊。",
        "note": "核对过",
    }
    answer = await client("reviewer", page=True).post(f"/findings/{drafted.id}/decision", data=data, headers=FORM | ZH)
    assert answer.status_code == 200
    assert "修改后采纳" in answer.text and own in answer.text and FIRST not in answer.text
    assert "（人工填写）" in answer.text
    summary, advice = (await decided(site)).sections
    assert [(said.text, said.sources) for said in summary.sentences] == [(SECOND, [1, 4]), (own, [])]
    assert [(said.text, said.sources) for said in advice.sentences] == [("两周后门诊复诊。", [])]


async def test_a_section_may_be_long_and_not_endless(client: Any, drafted: Any, site: Site) -> None:
    page = client("reviewer", page=True)
    data = {"decision": "edit", "etag": drafted.etag, "section-1": "好。\n" * 9000}
    refused = await page.post(f"/findings/{drafted.id}/decision", data=data, headers=FORM)
    assert refused.status_code == 422
    data["section-1"] = "好转。\n" * 2000
    taken = await page.post(f"/findings/{drafted.id}/decision", data=data, headers=FORM)
    assert taken.status_code == 200
    assert len((await decided(site)).sections[1].sentences) == 2000


async def test_an_accepted_draft_is_what_was_shown(client: Any, drafted: Any, site: Site, rows: Any) -> None:
    data = {"decision": "accept", "etag": drafted.etag}
    answer = await client("reviewer", page=True).post(f"/findings/{drafted.id}/decision", data=data, headers=FORM)
    assert answer.status_code == 200
    assert await decided(site) == Drafted.model_validate(draft(rows.pneumonia()).payload)


# --- whose it is ------------------------------------------------------------------------------------------------------


async def held_by(site: Site, user: str, number: str = "D1") -> None:
    """Give a staff number to a user; nobody else has it then."""
    async with site.database.write() as connection:
        numbers = tables.staff_numbers
        await connection.execute(numbers.delete().where(numbers.c.number == number))
        await connection.execute(numbers.insert(), {"authority": "HOSP", "number": number, "user": user})


async def listed(site: Site, number: str, name: str, *, head: bool = False, left: datetime | None = None) -> None:
    """Put somebody into the directory of staff."""
    row = {"authority": "HOSP", "number": number, "name": name, "department": "呼吸内科", "title": "", "head": head}
    async with site.database.write() as connection:
        await connection.execute(tables.staff.insert(), row | {"left": left})


async def accepts(client: Any, role: str, row: Any) -> tuple[int, str]:
    """Accept a proposal over the API; return the status, and why it was refused."""
    answer = await client(role).post(
        f"/api/v1/proposals/{row.id}/decision", json={"decision": "accept"}, headers={"If-Match": f'"{row.etag}"'}
    )
    return answer.status_code, answer.json().get("code", "")


async def test_an_author_who_may_decide_nothing_else_answers_their_draft(client: Any, drafted: Any, site: Site) -> None:
    await held_by(site, "viewer")
    page = (await client("viewer", page=True).get(f"/findings/{drafted.id}", headers=ZH)).text
    assert 'value="accept"' in card(page, drafted.id) and page.count('value="accept"') == 1
    async with site.database.read() as connection:
        its = tables.proposals.c.kind == "finding"
        finding = (await connection.execute(select(tables.proposals).where(its).limit(1))).one()
    assert await accepts(client, "viewer", finding) == (403, "forbidden")
    assert await accepts(client, "reviewer", drafted) == (403, "not_author")
    assert await accepts(client, "viewer", drafted) == (200, "")


async def test_a_role_that_was_taken_from_them_meanwhile_does_not_help(client: Any, drafted: Any, site: Site) -> None:
    async with site.database.write() as connection:
        await connection.execute(tables.users.update().where(tables.users.c.name == "reviewer").values(role="nothing"))
    with pytest.raises(Refused):
        await decide(
            site, proposal_id=drafted.id, user="reviewer", role="reviewer", if_match=drafted.etag, decision="accept"
        )


@pytest.mark.parametrize("gone", ["disabled", "not in the directory", "left"])
@pytest.mark.parametrize("instead", ["head", "admin"])
async def test_where_the_author_has_left_the_head_of_the_department_or_an_admin_answers(
    client: Any, drafted: Any, site: Site, gone: str, instead: str
) -> None:
    await listed(site, "D9", "周建平", head=True)
    if gone == "disabled":
        async with site.database.write() as connection:
            user = {"name": "ann", "role": "viewer", "password": "", "active": False, "failures": 0}
            await connection.execute(tables.users.insert(), user)
        await held_by(site, "ann")
    else:
        async with site.database.write() as connection:
            await connection.execute(tables.staff_numbers.delete())
    if gone != "not in the directory":
        await listed(site, "D1", "李明", left=datetime.now(UTC) if gone == "left" else None)
    await held_by(site, "viewer" if instead == "head" else "reviewer", "D9" if instead == "head" else "D8")
    page = (await client("reviewer", page=True).get(f"/findings/{drafted.id}", headers=ZH)).text
    assert "已离职，由科主任或管理员处理" in card(page, drafted.id)
    assert await accepts(client, "reviewer", drafted) == (403, "not_author")
    assert await accepts(client, "viewer" if instead == "head" else "admin", drafted) == (200, "")


async def test_while_the_author_is_there_neither_the_head_nor_an_admin_answers(
    client: Any, drafted: Any, site: Site
) -> None:
    await listed(site, "D1", "李明")
    await listed(site, "D9", "周建平", head=True)
    await held_by(site, "viewer", "D9")
    for role in ("viewer", "admin"):
        assert await accepts(client, role, drafted) == (403, "not_author")


async def test_the_list_of_drafts_shows_whose_they_are_and_can_be_narrowed(
    client: Any, drafted: Any, site: Site, rows: Any
) -> None:
    await listed(site, "D1", "李明")
    await listed(site, "D9", "周建平", left=datetime.now(UTC))
    other = draft(rows.pneumonia()).model_copy(update={"key": "first-progress-note", "author": "D9"})
    async with site.database.write() as connection:
        await rows.put_finding(connection, rows.pneumonia(), other, datetime.now(UTC))
    page = client("reviewer", page=True)

    async def shown(**wanted: str) -> list[str]:
        text = (await page.get("/drafts", params=wanted, headers=ZH)).text
        lines = re.findall(r"<tr class=.row. data-row>(.*?)</tr>", text, re.S)
        return sorted(re.sub(r"<[^>]*>", " ", line).split()[0] for line in lines)

    assert await shown() == ["周建平", "李明"]
    assert await shown(author="mine") == ["李明"] and await shown(author="D9") == ["周建平"]
    everything = (await page.get("/drafts", params={"author": "mine"}, headers=ZH)).text
    assert "已离职" not in everything and 'value="mine" selected' in everything and "周建平 (1)" in everything
    async with site.database.write() as connection:
        await connection.execute(tables.staff_numbers.delete())
    assert await shown(author="mine") == []


@pytest.mark.parametrize("headers", [ZH, EN])
async def test_a_draft_is_nowhere_called_a_defect(client: Any, drafted: Any, headers: dict[str, str]) -> None:
    page = client("reviewer", page=True)
    seen = card((await page.get(f"/findings/{drafted.id}", headers=headers)).text, drafted.id)
    data = {"decision": "accept", "etag": drafted.etag}
    for _ in range(2):
        answer = await page.post(f"/findings/{drafted.id}/decision", data=data, headers=FORM | headers)
        seen += answer.text
    assert answer.status_code == 409
    said = re.sub(r"<[^>]*>", " ", seen)
    assert "缺陷" not in said and "finding" not in said.casefold()
