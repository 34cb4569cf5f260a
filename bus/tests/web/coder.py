"""What agents beside the rules propose for the ward's first stay: codes, a question, a draft, opinions."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.flow.review import notes, opinions
from hisbus_bus.kernel import tables
from hisbus_schemas import (
    Asked,
    Assessment,
    Code,
    Coded,
    CodedDoubt,
    CodedEdit,
    CodedEntry,
    CodedOpen,
    CodedRejected,
    CodeOption,
    CodeSet,
    Draft,
    Drafted,
    DraftedSection,
    DraftedSentence,
    Evidence,
    Finding,
    Opinion,
    Text,
    Unevaluated,
)

TABLE = {"system": "ICD-10-CN", "version": "2.0"}
PAST = "高血压病史8年，规律服用氨氯地平，血压控制可。否认糖尿病、冠心病史。青霉素皮试阴性。"
DIAGNOSES = "1. 社区获得性肺炎（右下肺，非重症）\n2. 高血压病2级（中危）"


def span(words: str, text: str = DIAGNOSES, section: int = 3) -> Evidence:
    """Return the place of words in the admission record."""
    begin = text.index(words)
    place = {"document": "n1", "version": "n1-v", "section": section}
    return Evidence(**place, begin=begin, end=begin + len(words), quote=words)


def coded() -> Coded:
    return Coded(
        purpose="front_page",
        codes=[
            CodedEntry(
                code="J15.900",
                display="细菌性肺炎",
                role="principal",
                rank=1,
                poa="Y",
                evidence=[span("社区获得性肺炎"), Evidence(path="diagnoses/dg", value="肺炎")],
                confidence=0.84,
                band="medium",
                method="search",
                alternatives=[
                    CodeOption(code="J18.900", display="肺炎", score=0.8),
                    CodeOption(code="J15.902", display="社区获得性肺炎，非重症", score=0.78),
                ],
                **TABLE,
            ),
            CodedEntry(
                code="I10.x05",
                display="高血压2级",
                role="other",
                rank=2,
                evidence=[span("高血压病2级")],
                confidence=0.95,
                method="title",
                verified="confirmed",
                alternatives=[CodeOption(code="I10.x00", display="特发性（原发性）高血压", score=0.7)],
                **TABLE,
            ),
            CodedEntry(
                code="Z88.000",
                display="青霉素过敏史",
                role="other",
                rank=3,
                evidence=[Evidence(document="n1", version="n1-v", section=2, begin=0, end=4, quote="青霉素过")],
                confidence=0.61,
                method="search",
                verified="disputed",
                doubt=CodedDoubt(
                    reason=Text(zh="病历记为皮试阴性。", en="The record says the skin test was negative."),
                    evidence=[span("青霉素皮试阴性", PAST, 2)],
                ),
                **TABLE,
            ),
        ],
        rejected=[
            CodedRejected(
                code="E11.900",
                display="2型糖尿病",
                evidence=[span("糖尿病", PAST, 2)],
                doubt=CodedDoubt(
                    reason=Text(zh="病历否认。", en="The record denies it."), evidence=[span("否认糖尿病", PAST, 2)]
                ),
            )
        ],
        candidates=[
            CodedEntry(
                code="Z79.800",
                display="长期用药",
                role="other",
                evidence=[span("规律服用氨氯地平", PAST, 2)],
                confidence=0.12,
                band="low",
                **TABLE,
            )
        ],
        verified_by="model",
        edits=[
            CodedEdit(
                id="use-additional",
                severity="warning",
                codes=["J15.900"],
                message=Text(zh="编码J15.900应另编病原体。", en="J15.900 needs an additional code for the organism."),
            )
        ],
        unmatched=[
            CodedOpen(
                text="气促",
                evidence=span("气促", "发热、咳嗽、咳痰5天，加重伴气促1天。", 0),
                alternatives=[CodeOption(code="R06.800", display="其他呼吸异常", score=0.4)],
            )
        ],
    )


def code_set() -> CodeSet:
    its = coded()
    return CodeSet(
        key="codes",
        rule="codes",
        state="running",
        severity="warning",
        message=Text(
            zh="建议编码3项（ICD-10-CN 2.0），在院，暂定。", en="3 codes proposed (ICD-10-CN 2.0), preliminary."
        ),
        evidence=[entry.evidence[0] for entry in its.codes],
        reads=["n1@n1-v", "dg@v"],
        payload=its.model_dump(mode="json", exclude_none=True),
    )


def question() -> Finding:
    draft = Text(
        zh="病历所见：白细胞 13.6 10⁹/L。请结合临床判断并记录相应诊断（如有）。",
        en="In the record: white cells 13.6 10⁹/L. Please document the corresponding diagnosis, if any.",
    )
    options = [
        ("白细胞增多", "Leukocytosis"),
        ("无临床意义", "Not significant"),
        ("其他", "Other"),
        ("无法判断", "Undetermined"),
    ]
    return Finding(
        key="R58:short:leukocytes-high",
        rule="R58",
        severity="info",
        message=draft,
        evidence=[Evidence(path="results/r1", value="13.6")],
        reads=["r1@v"],
        payload={
            "title": {"zh": "向临床医师询问", "en": "Question to the clinician"},
            "query": {
                "draft": draft.model_dump(),
                "indicators": [{"zh": "白细胞 13.6 10⁹/L", "en": "White cells 13.6 10⁹/L"}],
                "options": [{"zh": zh, "en": en} for zh, en in options],
            },
        },
    )


def draft() -> Draft:
    payload = Drafted(
        template="discharge-record",
        type=Code(code="C0049"),
        title=Text(zh="出院记录", en="Discharge record"),
        language="zh",
        written="mixed",
        sections=[
            DraftedSection(
                code="SUMMARY",
                title=Text(zh="入院情况", en="Condition on admission"),
                loinc="11450-4",
                written="model",
                sentences=[
                    DraftedSentence(text="患者因发热、咳嗽、咳痰5天，加重伴气促1天入院。", sources=[0]),
                    DraftedSentence(text="入院体温39.1℃，脉搏104次/分。", sources=[1, 2]),
                ],
            ),
            DraftedSection(code="ADVICE", title=Text(zh="出院医嘱", en="Discharge orders")),
        ],
        removed={"negation": 1},
    )
    said = "发热、咳嗽、咳痰5天，加重伴气促1天。"
    return Draft(
        key="discharge-record",
        rule="discharge-record",
        severity="info",
        model="qwen3-32b",
        message=Text(
            zh="出院记录草稿，2句，均有来源。", en="Draft of the discharge record, 2 sentences, all with sources."
        ),
        evidence=[
            span(said, said, 0),
            Evidence(path="vitals/v1", value="39.1"),
            Evidence(path="vitals/v2", value="104"),
        ],
        reads=["n1@n1-v", "v1@v", "v2@v"],
        payload=payload.model_dump(mode="json"),
    )


def judged_by_model() -> Finding:
    return Finding(
        key="R40:n2",
        rule="R40",
        severity="info",
        model="qwen3-32b",
        message=Text(
            zh="诊断依据未提及影像学的具体所见部位。",
            en="The basis of the diagnosis does not name where imaging shows it.",
        ),
        evidence=[Evidence(path="diagnoses/dg", value="肺炎")],
        reads=["dg@v"],
        payload={"title": {"zh": "诊断依据不充分", "en": "Thin diagnostic basis"}},
    )


def asked(**more: Any) -> Asked:
    given: dict[str, Any] = {
        "model": "qwen3-32b",
        "prompt": "3f9a1c02",
        "outcome": "answered",
        "prompt_tokens": 4210,
        "cached_tokens": 3900,
        "completion_tokens": 180,
        "seconds": 1.4,
    }
    return Asked(**(given | more))


NO_ANSWER = Text(zh="模型没有给出可用的答复。", en="The model gave no usable answer.")
UNKNOWN = Text(zh="文书类型“X9”尚未识别。", en="The type of document “X9” is not known.")


def text_assessment() -> Assessment:
    """What an agent says of itself that asks a model."""
    return Assessment(
        evaluated=frozenset({"R40"}),
        unevaluated=[
            *(Unevaluated(rule=rule, reason="model", text=NO_ANSWER) for rule in ("R41", "R42")),
            Unevaluated(rule="R43", text=Text(zh="无首次病程记录。", en="There is no first progress note.")),
            Unevaluated(rule="R44", reason="unknown_code", text=UNKNOWN, item="document:*"),
        ],
        unverified=2,
        asked=[asked(), asked(outcome="invalid_answer", repaired=True)],
    )


def head(agent: str, assessment: Assessment, said: list[Opinion] | None = None) -> dict[str, Any]:
    """Return the row that review keeps of an assessment."""
    return {
        "encounter": "e1",
        "agent": agent,
        "version": 12,
        "evaluated": '["R40"]' if assessment.evaluated else "[]",
        "time": datetime(2026, 3, 6, 4, tzinfo=UTC),
        "opinions": opinions.stored(said or []),
        "notes": notes.stored(assessment),
    }


async def put_heads(connection: AsyncConnection, *heads: dict[str, Any]) -> None:
    await connection.execute(tables.assessment_heads.insert(), list(heads))
