"""What leaves when a draft was accepted: the document that it is, and never more than a draft."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hisbus.lines import lines, sections
from hisbus.testing import make_chart, make_patient
from hisbus_bus.flow.writeback.document import Approved, compose
from hisbus_schemas import Code, Decision, Draft, Drafted, DraftedSection, DraftedSentence, Section, Text, WriteBack

ROW: Any = SimpleNamespace(id="w1", connector="his", proposal="p1", decision="d1")
AT = datetime(2026, 3, 6, 4, tzinfo=UTC)
SECTIONS = [
    DraftedSection(
        code="COURSE",
        title=Text(zh="诊疗经过", en="Course"),
        sentences=[DraftedSentence(text="行阑尾切除术。", sources=[0]), DraftedSentence(text="恢复良好。")],
    ),
    DraftedSection(code="ADVICE", title=Text(zh="出院医嘱", en="Orders")),
]


def sent(payload: dict[str, Any]) -> WriteBack:
    draft = Draft(
        key="discharge-record",
        rule="discharge-record",
        message=Text(zh="出院记录草稿。", en="Draft of the discharge record."),
        payload=payload,
    )
    decision = Decision(
        id="d1", proposal="p1", revision=1, agent="documentation", rule=draft.rule, encounter="e", decision="accept",
        user="ann", decided=AT, etag="x", approved=draft,
    )  # fmt: skip
    return compose(ROW, Approved(decision, draft, make_chart(patient=make_patient("王建国"))))


def drafted(language: Any) -> dict[str, Any]:
    title = Text(zh="出院记录", en="Discharge record")
    type = Code(code="C0049", text="出院记录", system="WS/T 500")
    return Drafted(
        template="discharge-record", type=type, title=title, language=language, sections=SECTIONS
    ).model_dump(mode="json")


def test_a_draft_leaves_as_the_document_it_is_without_the_sections_that_say_nothing() -> None:
    writeback = sent(drafted("zh"))
    origin = "草稿: documentation\n审核: ann, 2026-03-06 12:00"
    assert writeback.document == Code(code="C0049", text="出院记录", system="WS/T 500")
    assert sections(writeback) == [
        Section(name="COURSE", title="诊疗经过", text="行阑尾切除术。\n恢复良好。"),
        Section(name="HISBUS", title="来源", text=origin),
    ]
    assert lines(writeback) == ["诊疗经过", "行阑尾切除术。", "恢复良好。", "来源", *origin.splitlines()]


def test_its_titles_are_in_its_language() -> None:
    assert sections(sent(drafted("en")))[0].title == "Course"


def test_a_draft_of_a_shape_of_its_own_leaves_as_a_notice() -> None:
    writeback = sent({"text": "..."})
    assert writeback.document == Code() and sections(writeback) == []
    assert lines(writeback)[:2] == ["建议 discharge-record", "出院记录草稿。"]
