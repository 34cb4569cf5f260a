"""A document from the record to the HIS: drafted with and without a model, decided by a person, and never before."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hisbus_bus.kernel.people import users
from hisbus_servers import fake_model as fake
from hisbus_servers.fake_model import FakeServer, Said
from hisbus_simulator.his import His

pytestmark = pytest.mark.long

DRAFTING = {"documentation": {"enabled": True}, "qc": {"enabled": False}}
HEAD = "MSH|^~\\&|EMR|HOSP|HISBUS|QC|{at}+0800||{type}|{n}|P|2.5||||||UNICODE UTF-8\rEVN||{at}+0800\r"
WHO = "PID|1||P{visit}^^^HOSP^MR||王^芳||19890105|F\rPV1|1|{kind}|W3^301^2||||D1^李||||||||||||{visit}^^^HOSP"
HISTORY = (
    "患者3天前受凉后发热，体温最高39.5℃，伴咳嗽，否认胸痛。",
    "既往左膝关节手术史。",
    "头孢曲松2.0g每日一次静脉滴注。",
)
SPOKEN = (
    "[doctor] any fever?",
    "[patient] no.",
    "[patient] my right knee hurts when i climb stairs.",
    "[doctor] i'd like to start you on meloxicam 15 mg once a day.",
)


def message(n: int, type: str, at: str, visit: str, *more: str, kind: str = "I", admitted: str = "") -> bytes:
    stay = "|" * 25 + admitted + "+0800" if admitted else ""
    head = HEAD.format(at=at, type=type, n=n) + WHO.format(visit=visit, kind=kind) + stay
    return "\r".join([head, *more, ""]).encode()


def admission(n: int, visit: str = "V1") -> bytes:
    return message(n, "ADT^A01^ADT_A01", "20260302080000", visit, admitted="20260302080000")


def document(
    n: int, number: str, type: str, at: str, *lines: str, visit: str = "V1", kind: str = "I", replaces: str = ""
) -> bytes:
    txa = f"TXA|1|{type}|TX|{at}+0800|||||D1^李|||{number}|{replaces}||||AU||AV|||D1^李^^^^^^^^^^^^^{at}+0800"
    obx = [f"OBX|{row}|TX|HPI^现病史||{line}||||||F" for row, line in enumerate(lines, 1)]
    trigger = "MDM^T10^MDM_T02" if replaces else "MDM^T02^MDM_T02"
    return message(n, trigger, at, visit, txa, *obx, kind=kind)


def discharge(n: int) -> bytes:
    diagnosis = "DG1|1||J18.900^右下肺肺炎^I10||20260306100000+0800|F"
    return message(n, "ADT^A03^ADT_A03", "20260306100000", "V1", diagnosis)


STAY = [admission(1), document(2, "N1", "C0034", "20260302100000", *HISTORY), discharge(3)]


async def drafts(bus: Any, status: str = "open") -> list[dict[str, Any]]:
    found = await bus.everything("proposals", status=status)
    return [item for item in found if item["kind"] == "draft"]


def said(draft: dict[str, Any], code: str = "") -> list[str]:
    parts = [part for part in draft["payload"]["sections"] if code in ("", part["code"])]
    return [sentence["text"] for part in parts for sentence in part["sentences"]]


async def decide(bus: Any, draft: dict[str, Any], **answer: Any) -> Any:
    path = f"proposals/{draft['id']}"
    tag = (await bus.api.get(f"/api/v1/{path}")).headers["ETag"]
    return await bus.post(f"{path}/decision", answer, **{"If-Match": tag})


def filled(draft: dict[str, Any]) -> dict[str, Any]:
    """Return the payload with a person's words in each section that the document must have and that says nothing."""
    sections = [
        part | {"sentences": [{"text": "医师补充。"}]} if part["required"] and not part["sentences"] else part
        for part in draft["payload"]["sections"]
    ]
    return {"sections": sections}


def nothing_of_it(draft: dict[str, Any]) -> list[dict[str, Any]]:
    """Return edits by which an empty document, or another one, would leave."""
    sections = filled(draft)["sections"]
    signs_alone = [part | {"sentences": [{"text": "——。"}]} for part in sections]
    unasked = [part | {"required": False, "sentences": []} for part in sections]
    said = [part for part in sections if not part["required"]]
    other = {"sections": sections, "type": draft["payload"]["type"] | {"code": "C0034"}}
    return [{"sections": []}, {"sections": said}, {"sections": unasked}, {"sections": signs_alone}, other]


async def signs(bus: Any, number: str = "D1") -> None:
    """Let the one user be the doctor of a staff number."""
    await users.add_number(bus.app.site.database, "tester", number, "HOSP")


class Person:
    """Somebody at the page, logged in."""

    def __init__(self, bus: Any) -> None:
        self._api = bus.api
        self._cookies: dict[str, str] = {}

    async def log_in(self) -> None:
        await self.read("/login")
        await self.send("/login", name="tester", password="a long enough password")

    async def read(self, path: str) -> str:
        answer = await self._api.get(path, headers=self._headers())
        assert answer.status_code == 200
        self._keep(answer)
        self._form = re.findall(r'name="csrf" value="([^"]+)"', answer.text)
        return html.unescape(answer.text)

    async def send(self, path: str, **fields: str) -> None:
        answer = await self._api.post(path, data=fields | {"csrf": self._form[-1]}, headers=self._headers())
        assert answer.status_code == 303, answer.text
        self._keep(answer)

    def _keep(self, answer: Any) -> None:
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value

    def _headers(self) -> dict[str, str]:
        return {
            "cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
            "accept-language": "zh",
        }


async def test_a_discharge_makes_a_draft_that_leaves_once_a_person_accepts_it_and_as_no_legal_document(
    hospital: Any,
) -> None:
    async with His() as his, hospital(agents=DRAFTING, send="{}:{}".format(*his.address)) as bus:
        await signs(bus)
        await bus.send(STAY[:2])
        await bus.idle()
        assert {item["rule"] for item in await drafts(bus)} == {"first-progress-note"}
        await bus.send(STAY[2:])
        await bus.idle()
        (draft,) = await drafts(bus)
        assert draft["rule"] == draft["key"] == "discharge-record"
        assert draft["payload"]["written"] == "assembled" and "未使用模型" in draft["message"]["zh"]
        assert said(draft, "SUMMARY")[1:] == [*HISTORY]
        assert said(draft, "DX") == ["右下肺肺炎（J18.900）。"]
        assert [item["quote"] for item in draft["evidence"] if item["quote"]] == [*HISTORY]
        person = Person(bus)
        await person.log_in()
        page = await person.read(f"/findings/{draft['id']}")
        assert all(line in page for line in (*HISTORY, "出院记录", "右下肺肺炎（J18.900）。", "未使用模型"))
        assert his.received == [] and await bus.everything("writebacks") == [], "nothing leaves before the decision"

        assert "缺必填内容：入院诊断、诊疗经过、出院医嘱" in page and "补全前不能提交" in draft["message"]["zh"]
        for answer in ({"decision": "accept"}, {"decision": "edit", "payload": {"note": "已核对"}}):
            refused = await decide(bus, draft, **answer)
            assert (refused.status_code, refused.json()["code"]) == (422, "incomplete")
        for changed in nothing_of_it(draft):
            refused = await decide(bus, draft, decision="edit", payload=changed)
            assert refused.status_code == 422, changed
        assert his.received == []
        assert (await decide(bus, draft, decision="edit", payload=filled(draft))).status_code == 200
        await bus.idle()
        (left,) = his.documents.values()
        assert await drafts(bus) == []
        assert [item["status"] for item in await bus.everything("writebacks")] == ["applied"]
    assert (left.type, left.completion, left.availability) == ("C0049", "PA", "UN")
    assert (left.patient, left.visit) == ("PV1", "V1")
    assert set(HISTORY) <= set(left.lines) and any("tester" in line for line in left.lines)


async def test_what_a_person_edits_on_the_page_is_what_leaves(hospital: Any) -> None:
    async with His() as his, hospital(agents=DRAFTING, send="{}:{}".format(*his.address)) as bus:
        await signs(bus)
        await bus.send(STAY)
        await bus.idle()
        (draft,) = await drafts(bus)
        person = Person(bus)
        await person.log_in()
        page = await person.read(f"/findings/{draft['id']}")
        (tag,) = set(re.findall(r'name="etag" value="([^"]+)"', page))
        codes = [part["code"] for part in draft["payload"]["sections"]]
        written = {"ADMISSION_DX": "肺炎。", "COURSE": "抗感染治疗。", "ADVICE": "两周后门诊复诊。"}
        fields = {"section-0": HISTORY[0]} | {f"section-{codes.index(code)}": line for code, line in written.items()}
        await person.send(f"/findings/{draft['id']}/decision", decision="edit", etag=tag, **fields)
        await bus.idle()
        (left,) = his.documents.values()
        decided = await bus.get(f"proposals/{draft['id']}")
    assert decided["status"] == "edited"
    assert "两周后门诊复诊。" in left.lines and HISTORY[0] in left.lines and HISTORY[1] not in left.lines
    assert (left.type, left.completion, left.availability) == ("C0049", "PA", "UN")


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_what_a_person_rejects_stays_rejected_until_the_record_changes_and_never_leaves(hospital: Any) -> None:
    async with His() as his, hospital(agents=DRAFTING, send="{}:{}".format(*his.address)) as bus:
        await bus.send(STAY)
        await bus.idle()
        (draft,) = await drafts(bus)
        refused = await decide(bus, draft, decision="reject", reason="not_relevant")
        assert (refused.status_code, refused.json()["code"]) == (403, "not_author"), "an admin is not its author"
        person = Person(bus)
        await person.log_in()
        assert "此草稿只能由其作者（工号D1）处理" in await person.read(f"/findings/{draft['id']}")
        await signs(bus)
        assert 'data-act="reject"' in await person.read(f"/findings/{draft['id']}")
        assert (await decide(bus, draft, decision="reject", reason="not_relevant")).status_code == 200
        await bus.send([document(4, "N9", "C0001", "20260306110000", "与出院记录无关。")])
        await bus.idle()
        assert await drafts(bus) == [], "no source of it has changed"
        await bus.send([document(5, "N2", "C0034", "20260306120000", "患者5天前发热。", replaces="N1")])
        await bus.idle()
        (again,) = await drafts(bus)
        assert "患者5天前发热。" in said(again)
    assert his.received == []


# --- with a model -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer(max_model_len=100_000) as running:
        yield running


def llm(server: FakeServer) -> dict[str, Any]:
    return {"url": server.url, "model": "tiny", "context_tokens": 65_536, "breaker_failures": 1, "breaker_pause_s": 0.1}


def asked(request: dict[str, Any]) -> str:
    """Return which section a request asks for."""
    (code,) = re.findall(r"The section: [^\n]*\((\w+)\)", request["messages"][1]["content"])
    return str(code)


def writes(**sections: list[tuple[str, str]]) -> fake.Move:
    """Return a model that writes sentences, each with a label, into sections."""

    async def move(server: FakeServer, request: dict[str, Any]) -> Said:
        sentences = [{"text": text, "labels": [label]} for text, label in sections.get(asked(request), [])]
        return Said(200, server.completion(request, json.dumps({"sentences": sentences}, ensure_ascii=False)))

    return move


TRUE = "患者受凉后发热3天，体温最高39.5℃，否认胸痛。"
UNTRUE = {
    "number": "患者受凉后发热5天。",
    "laterality": "既往右膝关节手术史。",
    "negation": "患者受凉后发热，伴胸痛。",
    "invented_normal": "患者受凉后发热，肝功能正常。",
    "dose": "阿奇霉素0.5g每日一次静脉滴注。",
    "name": "患者受凉后发热，予左氧氟沙星治疗。",
    "no_source": "患者受凉。",
}
"""What a model may make of the history, by the reason for which it is taken out. The drugs are of another patient."""


async def test_a_models_sentences_are_checked_and_what_nothing_bears_is_taken_out_counted_and_shown(
    hospital: Any, server: FakeServer
) -> None:
    claims = [(text, "D99" if why == "no_source" else "D1") for why, text in UNTRUE.items()]
    server.otherwise = writes(SUMMARY=[(TRUE, "D1"), *claims], DX=[("右下肺肺炎。", "G1")])
    other = document(5, "N7", "C0034", "20260302100000", "阿奇霉素0.5g每日一次静脉滴注，左氧氟沙星治疗。", visit="V2")
    async with His() as his, hospital(agents=DRAFTING, llm=llm(server), send="{}:{}".format(*his.address)) as bus:
        await bus.send([admission(4, "V2"), other, *STAY])
        await bus.idle()
        (draft,) = [item for item in await drafts(bus) if item["rule"] == "discharge-record"]
        person = Person(bus)
        await person.log_in()
        page = await person.read(f"/findings/{draft['id']}")
        await signs(bus)
        assert (await decide(bus, draft, decision="edit", payload=filled(draft))).status_code == 200
        await bus.idle()
        (left,) = his.documents.values()
        assert await bus.everything("parked") == []
    assert said(draft, "SUMMARY") == [TRUE] and said(draft, "DX") == ["右下肺肺炎。"]
    assert draft["payload"]["removed"] == dict.fromkeys(UNTRUE, 1)
    (place,) = draft["payload"]["sections"][0]["sentences"][0]["sources"]
    assert draft["evidence"][place]["quote"] == HISTORY[0], "the words of the document that bear the sentence"
    assert "已删除7句" in page and "侧别不符 1" in page and "已删除无依据的7句" in page
    assert TRUE in left.lines and not {*UNTRUE.values()} & {*left.lines}
    prompts = [request["messages"][1]["content"] for request in server.requests]
    assert any("阿奇霉素" in prompt for prompt in prompts)
    assert not any("阿奇霉素" in prompt and "受凉后发热" in prompt for prompt in prompts), "one patient to a prompt"


async def test_nonsense_of_the_model_makes_an_assembled_draft_that_says_so(hospital: Any, server: FakeServer) -> None:
    server.otherwise = fake.text("所见属实。")
    async with hospital(agents=DRAFTING, llm=llm(server)) as bus:
        await bus.send(STAY)
        await bus.idle()
        (draft,) = await drafts(bus)
        person = Person(bus)
        await person.log_in()
        page = await person.read(f"/findings/{draft['id']}")
        assert await bus.everything("parked") == []
    assert draft["payload"]["written"] == "assembled"
    assert [*HISTORY] == said(draft, "SUMMARY")[1:]
    assert "the model gave no usable answer" in draft["message"]["en"]
    assert "模型未给出可用的回答" in page


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_while_the_model_is_down_nothing_is_drafted_and_nothing_is_lost(
    hospital: Any, server: FakeServer
) -> None:
    server.otherwise = writes(DX=[("右下肺肺炎。", "G1")])
    async with hospital(agents=DRAFTING, llm=llm(server)) as bus:
        await server.kill()
        await bus.send(STAY)

        async def only_the_drafting_waits() -> bool:
            lag = (await bus.api.get("/readyz")).json()["lag"]
            return {step for step, count in lag.items() if count} == {"dispatch.documentation"}

        async with asyncio.timeout(60):
            while not await only_the_drafting_waits():
                await asyncio.sleep(0.02)
        assert await drafts(bus) == []
        await server.start()
        await bus.idle()
        (draft,) = await drafts(bus)
        assert await bus.everything("parked") == []
    assert draft["payload"]["written"] == "mixed"


async def test_a_draft_whose_source_changed_is_stale_until_it_is_drafted_anew(
    hospital: Any, server: FakeServer
) -> None:
    held = asyncio.Event()
    server.otherwise = writes(DX=[("右下肺肺炎。", "G1")])
    async with His() as his, hospital(agents=DRAFTING, llm=llm(server), send="{}:{}".format(*his.address)) as bus:
        await bus.send(STAY)
        await bus.idle()
        (draft,) = await drafts(bus)
        before = len(server.requests)
        server.otherwise = fake.after(held, server.otherwise)
        await bus.send([document(4, "N2", "C0034", "20260306110000", "患者5天前发热。", replaces="N1")])
        await server.until(lambda: len(server.requests) > before)
        await signs(bus)
        assert (await decide(bus, draft, decision="accept")).status_code in {409, 412}
        person = Person(bus)
        await person.log_in()
        assert 'class="alert stale"' in await person.read(f"/findings/{draft['id']}")
        held.set()
        await bus.idle()
        (again,) = await drafts(bus)
        assert (await bus.get(f"proposals/{draft['id']}"))["status"] == "superseded"
    assert again["key"] == draft["key"] and again["id"] != draft["id"]
    assert "患者5天前发热。" in said(again)
    assert his.received == []


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_what_changes_no_source_of_a_draft_neither_asks_the_model_nor_touches_the_draft(
    hospital: Any, server: FakeServer
) -> None:
    server.otherwise = writes(DX=[("右下肺肺炎。", "G1")])
    async with hospital(agents=DRAFTING, llm=llm(server)) as bus:
        await bus.send(STAY)
        await bus.idle()
        before, (draft,) = len(server.requests), await drafts(bus)
        server.otherwise = writes(DX=[("诊断：右下肺肺炎。", "G1")])
        await bus.send([document(4, "N9", "C0001", "20260306110000", "与出院记录无关。")])
        await bus.idle()
        assert await drafts(bus) == [draft]
        assert len(server.requests) == before


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_a_transcript_that_comes_as_a_document_makes_a_visit_note(hospital: Any, server: FakeServer) -> None:
    server.otherwise = writes(
        CC=[("The patient denies fever.", "D1"), ("The patient reports left knee pain.", "D1")],
        PLAN=[("Start meloxicam 15 mg once a day.", "D1"), ("Start meloxicam 50 mg once a day.", "D1")],
    )
    visit = message(1, "ADT^A04^ADT_A01", "20260302080000", "V3", kind="O")
    transcript = document(2, "T1", "TRANSCRIPT", "20260302083000", *SPOKEN, visit="V3", kind="O")
    async with His() as his, hospital(agents=DRAFTING, llm=llm(server), send="{}:{}".format(*his.address)) as bus:
        await bus.send([visit, transcript])
        await bus.idle()
        await signs(bus)
        (draft,) = await drafts(bus)
        assert (await decide(bus, draft, decision="edit", payload=filled(draft))).status_code == 200
        await bus.idle()
        (left,) = his.documents.values()
    assert draft["rule"] == "visit-note" and draft["payload"]["language"] == "en"
    assert said(draft, "CC") == ["The patient denies fever."]
    assert said(draft, "PLAN") == ["Start meloxicam 15 mg once a day."]
    assert draft["payload"]["removed"] == {"dose": 1, "laterality": 1}
    assert (left.type, left.completion, left.availability) == ("C0002", "PA", "UN")


@pytest.mark.parametrize("backbone", ["embedded"], indirect=True)
async def test_without_a_model_what_was_said_is_a_transcript_that_cannot_be_sent(hospital: Any) -> None:
    visit = message(1, "ADT^A04^ADT_A01", "20260302080000", "V3", kind="O")
    transcript = document(2, "T1", "TRANSCRIPT", "20260302083000", *SPOKEN, visit="V3", kind="O")
    async with His() as his, hospital(agents=DRAFTING, send="{}:{}".format(*his.address)) as bus:
        await bus.send([visit, transcript])
        await bus.idle()
        await signs(bus)
        (draft,) = await drafts(bus)
        for answer in ({"decision": "accept"}, {"decision": "edit", "payload": filled(draft)}):
            refused = await decide(bus, draft, **answer)
            assert (refused.status_code, refused.json()["code"]) == (422, "no_document")
        person = Person(bus)
        await person.log_in()
        page = await person.read(f"/findings/{draft['id']}")
        assert (await decide(bus, draft, decision="reject", reason="not_relevant")).status_code == 200
        await bus.idle()
    assert draft["payload"]["form"] == "transcript" and "不是病历" in page
    assert his.received == []
