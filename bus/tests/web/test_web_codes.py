"""A set of codes on the page: each with its place in the record, what else could be taken, and a person's changes."""

import re
from typing import Any

import pytest
from sqlalchemy import select

from hisbus.terms import Release, store
from hisbus.terms.store import Row
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.site import Site
from hisbus_schemas import Coded, Decision

ZH = {"accept-language": "zh-CN,zh;q=0.9"}
EN = {"accept-language": "en"}
FORM = {"x-csrf-token": "reviewer-form", "hx-request": "true"}


def card(page: str, id: str) -> str:
    found = re.search(rf'<article[^>]*data-finding="{id}".*?</article>', page, re.S)
    assert found is not None
    return found[0]


async def look(client: Any, row: Any, headers: dict[str, str]) -> str:
    return str((await client("reviewer", page=True).get(f"/findings/{row.id}", headers=headers)).text)


async def answer(client: Any, row: Any, **fields: str) -> Any:
    data = {"etag": row.etag, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return await client("reviewer", page=True).post(f"/findings/{row.id}/decision", data=data, headers=FORM | ZH)


async def approved(site: Site) -> Coded:
    async with site.database.read() as connection:
        row = (await connection.execute(select(tables.decisions))).one()
    proposal = Decision.model_validate_json(row.body).approved
    assert proposal is not None
    return Coded.model_validate(proposal.payload)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (
            ZH,
            [
                "主要诊断",
                "把握一般",
                "用于病案首页",
                "候选编码",
                "入院时已有",
                "按检索",
                "备选：",
                "未能编码的诊断",
                "编码校验提示",
                "应另编病原体",
                "暂定",
            ],
        ),
        (
            EN,
            [
                "principal",
                "medium",
                "For the front page",
                "Candidates",
                "present on admission",
                "by search",
                "Others:",
                "Diagnoses without a code",
                "needs an",
            ],
        ),
    ],
)
async def test_each_code_is_shown_with_table_role_confidence_and_alternatives(
    client: Any, coded: Any, headers: dict[str, str], words: list[str]
) -> None:
    shown = card(await look(client, coded, headers), coded.id)
    for word in (
        *words,
        "J15.900",
        "细菌性肺炎",
        "ICD-10-CN 2.0",
        "95 %",
        "J18.900",
        "Z79.800",
        "气促",
        "use-additional",
    ):
        assert word in shown, word


async def test_each_code_leads_to_its_words_and_a_span_that_is_not_there_is_shown_as_missing(
    client: Any, coded: Any
) -> None:
    page = await look(client, coded, ZH)
    places = re.findall(r'class="place( missing)?" data-show="([^"]+)"', card(page, coded.id))
    missing = f"{coded.id}-3"
    all_ = [f"{coded.id}-{n}" for n in range(9)]
    assert places == [(" missing" if id == missing else "", id) for id in all_]
    marks = re.findall(r'<mark data-for="[^"]*" data-proof="([^"]*)" class="on">(.*?)</mark>', page, re.S)
    assert [(proofs.split()[-1], words) for proofs, words in marks] == [
        (f"{coded.id}-5", "气促"),
        (f"{coded.id}-8", "规律服用氨氯地平"),
        (f"{coded.id}-7", "否认"),
        (f"{coded.id}-7", "糖尿病"),
        (f"{coded.id}-4", "青霉素皮试阴性"),
        (f"{coded.id}-0", "社区获得性肺炎"),
        (f"{coded.id}-2", "高血压病2级"),
        (f"{coded.id}-1", "肺炎"),
    ]


async def test_what_a_model_makes_of_each_code_is_said_and_what_it_rejected_is_shown(client: Any, coded: Any) -> None:
    for headers, words in (
        (
            ZH,
            [
                "模型支持",
                "模型有异议",
                "病历记为皮试阴性。",
                "检索到而模型不予采用",
                "2型糖尿病",
                "病历否认。",
                "使用模型",
            ],
        ),
        (EN, ["confirmed by a model", "disputed by a model", "skin test was negative", "rejected by a model"]),
    ):
        shown = card(await look(client, coded, headers), coded.id)
        for word in words:
            assert word in shown, word


async def test_a_person_takes_back_what_a_model_rejected(client: Any, coded: Any, site: Site) -> None:
    told = await answer(client, coded, decision="edit", rejected_0_code="E11.900", rejected_0_role="other")
    assert told.status_code == 200
    changed = await approved(site)
    assert (changed.codes[-1].code, changed.codes[-1].display) == ("E11.900", "2型糖尿病")
    assert [item.quote for item in changed.codes[-1].evidence] == ["糖尿病"]
    assert changed.rejected == []


async def test_a_person_takes_a_candidate(client: Any, coded: Any, site: Site) -> None:
    told = await answer(client, coded, decision="edit", candidate_0_code="Z79.800", candidate_0_role="other")
    assert told.status_code == 200
    changed = await approved(site)
    assert (changed.codes[-1].code, changed.codes[-1].display) == ("Z79.800", "长期用药")
    assert [item.quote for item in changed.codes[-1].evidence] == ["规律服用氨氯地平"]
    assert changed.candidates == []


async def test_sets_have_a_worklist_of_their_own_and_do_not_stand_among_findings(client: Any, coded: Any) -> None:
    page = client("reviewer", page=True)
    assert f"/findings/{coded.id}" not in (await page.get("/findings", headers=ZH)).text
    own = (await page.get("/codesets", headers=ZH)).text
    assert f"/findings/{coded.id}" in own and "编码工作列表" in own and 'href="/codesets?' in own
    assert f"/findings/{coded.id}" not in (await page.get("/drafts", headers=ZH)).text
    back = (await page.get(f"/findings/{coded.id}", headers=ZH)).text
    assert 'class="back" href="/codesets"' in back


async def test_questions_of_the_same_agent_stand_with_the_codes(
    client: Any, coded: Any, site: Site, rows: Any, coding: Any
) -> None:
    async with site.database.write() as connection:
        asked = await rows.put_finding(connection, rows.pneumonia(), coding.question(), coded.opened, "coding")
    page = await look(client, coded, ZH)
    assert f'href="/findings/{asked}"' in card(page, coded.id)
    shown = card(page, asked)
    for word in ("病历所见", "白细胞 13.6", "可选答复", "白细胞增多", "无法判断", "采纳后发出"):
        assert word in shown, word
    assert "Leukocytosis" in card(await look(client, coded, EN), asked)


async def test_an_accepted_set_is_what_was_shown(client: Any, coded: Any, site: Site, coding: Any) -> None:
    assert (await answer(client, coded, decision="accept")).status_code == 200
    assert await approved(site) == coding.coded()


async def test_a_person_removes_replaces_reorders_and_adds(client: Any, coded: Any, site: Site) -> None:
    told = await answer(
        client,
        coded,
        decision="edit",
        code_0_at="2", code_0_role="other", code_0_code="J15.902",
        code_1_at="1", code_1_role="principal", code_1_code="I10.x05",
        code_2_at="3", code_2_role="other", code_2_code="",
        open_0_at="4", open_0_role="other", open_0_code="R06.800",
        new_0_at="5", new_0_role="operation", new_0_own=" 33.2400 ", new_0_display="支气管镜检查",
        new_1_at="6", new_1_role="other", new_1_own="",
        note="核对过",
    )  # fmt: skip
    assert told.status_code == 200
    assert "修改后采纳" in told.text and "人工选择" in told.text
    assert "编码校验提示" not in told.text, "the edits judged what was proposed"
    changed = await approved(site)
    assert [(entry.role, entry.rank, entry.code, entry.display) for entry in changed.codes] == [
        ("principal", 1, "I10.x05", "高血压2级"),
        ("other", 2, "J15.902", "社区获得性肺炎，非重症"),
        ("other", 3, "R06.800", "其他呼吸异常"),
        ("operation", 1, "33.2400", "支气管镜检查"),
    ]
    kept, replaced, chosen, added = changed.codes
    assert (kept.confidence, replaced.confidence, added.confidence) == (0.95, None, None)
    assert [item.quote or item.value for item in replaced.evidence] == ["社区获得性肺炎", "肺炎"]
    assert (replaced.system, replaced.poa, chosen.evidence[0].quote, added.evidence) == ("ICD-10-CN", "Y", "气促", [])
    assert changed.unmatched == []


@pytest.mark.parametrize(
    "fields",
    [
        {"new_0_own": "pneumonia", "new_0_role": "other"},
        {"new_0_own": "J18.900", "new_0_role": "operation"},
        {"new_0_own": "47.0100", "new_0_role": "other"},
        {"new_0_own": "I10.x05", "new_0_role": "other"},
        {"code_1_role": "principal"},
        {"new_0_own": "J" * 41, "new_0_role": "other"},
    ],
    ids=["no-code", "no-operation", "no-diagnosis", "twice", "two-principal", "too-long"],
)
async def test_codes_that_cannot_be_recorded_are_refused_and_nothing_is_decided(
    client: Any, coded: Any, site: Site, fields: dict[str, str]
) -> None:
    told = await answer(client, coded, decision="edit", **fields)
    assert told.status_code == 422
    assert "编码不能保存" in told.text
    async with site.database.read() as connection:
        assert (await connection.execute(select(tables.decisions))).all() == []


async def test_a_set_keeps_a_principal_diagnosis(client: Any, coded: Any, site: Site) -> None:
    told = await answer(client, coded, decision="edit", code_0_role="other")
    assert told.status_code == 422 and "未指定主要诊断" in told.text
    async with site.database.write() as connection:
        body = coded.body.replace(b'"purpose":"front_page"', b'"purpose":"research"')
        assert body != coded.body
        await connection.execute(tables.proposals.update().where(tables.proposals.c.id == coded.id).values(body=body))
    assert (await answer(client, coded, decision="edit", code_0_role="other")).status_code == 200, "of another kind"


async def test_a_code_is_of_a_system_that_the_site_has_a_table_of(
    client: Any, coded: Any, site: Site, coding: Any
) -> None:
    path, match = f"/api/v1/proposals/{coded.id}/decision", {"If-Match": f'"{coded.etag}"'}
    codes = coding.coded().model_dump(mode="json")["codes"]
    own = {"code": "33.2400", "system": "ICD-9-CM-3", "version": "3.0", "role": "operation"}
    body = {"decision": "edit", "payload": {"codes": [*codes, own]}}
    refused = await client("reviewer").post(path, json=body, headers=match)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_system")
    about = {"version": "3.0", "source": "own.csv", "sha256": "0" * 64, "loaded": "", "licence": ""}
    release = Release("ICD-9-CM-3", "procedure", **about)
    store.load(site.settings.terms_file, release, [Row("33.2400", "支气管镜检查")])
    assert (await client("reviewer").post(path, json=body, headers=match)).status_code == 200


async def test_what_a_coder_typed_stays_in_the_form_where_it_was_refused(client: Any, coded: Any) -> None:
    told = await answer(client, coded, decision="edit", new_0_own="pneumonia", new_0_role="operation", code_1_at="7")
    form = told.text[told.text.index('data-panel="edit"') :]
    assert 'data-refused="true"' in told.text and 'name="new-0-own" value="pneumonia"' in form
    assert re.search(r'name="code-1-at"[^>]*value="7"', form)
    assert re.search(r'<select class="role" name="new-0-role".*?<option value="operation" selected>', form, re.S)
    assert "hidden" not in form[: form.index(">")]


@pytest.mark.parametrize("code", ["J18.9", "I63.900x003", "A17.000+", "D63.0*", "S72.001A", "Z51.1"])
async def test_a_code_may_be_entered_that_nobody_proposed(client: Any, coded: Any, site: Site, code: str) -> None:
    assert (await answer(client, coded, decision="edit", new_0_own=code, new_0_role="other")).status_code == 200
    assert (await approved(site)).codes[-1].code == code


async def test_the_api_takes_no_set_that_the_page_would_refuse(client: Any, coded: Any, coding: Any) -> None:
    path, match = f"/api/v1/proposals/{coded.id}/decision", {"If-Match": f'"{coded.etag}"'}
    for payload in ({"codes": "none"}, {"codes": [{"code": "J18.900"}]}, {"codes": [{"code": "x|y", "role": "other"}]}):
        body = {"decision": "edit", "payload": payload}
        told = await client("reviewer").post(path, json=body, headers=match)
        assert (told.status_code, told.json()["code"]) == (422, "bad_codes"), payload
    body = {"decision": "edit", "payload": {"codes": coding.coded().model_dump(mode="json")["codes"][:1]}}
    assert (await client("reviewer").post(path, json=body, headers=match)).status_code == 200
