"""The agent as a whole: what is due, what a draft rests on, and that it changes with the record and nothing else."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from hisbus import Case, ConfigError
from hisbus.testing import (
    AgentContract,
    make_case,
    make_chart,
    make_coverage,
    make_document,
    make_operation,
    make_order,
    make_patient,
    run,
)
from hisbus_bus.desk.proofs import prove
from hisbus_bus.desk.texts import texts
from hisbus_documentation import Agent
from hisbus_documentation.grounding import CHECKS
from hisbus_documentation.template import TEMPLATES
from hisbus_schemas import Chart, ChartDiagnosis, ChartReading, Code, Draft, Drafted, Event, Section

Ward = dict[str, list[Event]]
Fold = Callable[[Sequence[Event]], Chart]
Drafts = Callable[..., dict[str, Draft]]
Said = Callable[..., str]
Read = Callable[[Draft], Drafted]

OWED = frozenset({"C0009", "C0037", "C0049"})
OF_BOTH = {"discharge-record", "operative-record"}
APPENDICITIS = "ZY260300002"
ADMITTED, LEFT = "2026-03-02T08:00+08:00", "2026-03-06T10:00+08:00"


def unwritten(events: Sequence[Event], *types: str) -> list[Event]:
    """Return a stay in which nobody wrote the documents of some types."""
    return [event for event in events if getattr(getattr(event.data, "type", None), "code", "") not in (types or OWED)]


def reading(id: str, value: str, at: str, *flags: str, **more: Any) -> ChartReading:
    item = Code(code="718-7", text="Hemoglobin", system="LN")
    fields: dict[str, Any] = {
        "id": id, "version": f"{id}-1", "report": id, "service": Code(text="CBC"), "item": item, "values": [value],
        "unit": "g/L", "range": "115-175", "flags": list(flags), "time": {"at": at},
    }  # fmt: skip
    return ChartReading.model_validate(fields | more)


def english() -> Chart:
    """Return a stay whose record is in English."""
    record = make_document(
        "C0034",
        id="d1",
        at=ADMITTED,
        signed=ADMITTED,
        sections=[
            Section(name="CC", title="Chief complaint", text="Black stools for 2 days."),
            Section(
                name="HPI", title="", text="Black stools for 2 days. Denies chest pain. Took ibuprofen 400 mg daily."
            ),
        ],
    )
    return make_chart(
        admitted=ADMITTED,
        discharged=LEFT,
        now=LEFT,
        timezone="UTC",
        patient=make_patient("John Roe", sex="male", birth_date="1961-05-04"),
        documents=[record],
        diagnoses=[
            ChartDiagnosis(id="dg", version="v", status="final", code=Code(code="K92.1", text="Melena"), rank=1)
        ],
        results=[
            reading("r1", "82", "2026-03-02T02:00:00Z", "L"),
            reading("r2", "101", "2026-03-05T02:00:00Z", "L"),
            reading("r3", "99", "2026-03-04T02:00:00Z", "L", status="withdrawn", withdrawn=True),
        ],
    )


class TestContract(AgentContract):
    agent = Agent()
    patient_text = ("John Roe", "Black stools")

    @pytest.fixture(autouse=True)
    def stays(self, ward: Ward, chart_of: Fold) -> None:
        self.charts = [english(), chart_of(unwritten(ward[APPENDICITIS]))]

    def cases(self) -> list[Case]:
        return [make_case(chart) for chart in getattr(self, "charts", [english()])]


def test_a_stay_owes_what_nobody_has_signed(ward: Ward, chart_of: Fold, draft_for: Drafts) -> None:
    keys = {key.partition(":")[0] for key in draft_for(chart_of(unwritten(ward[APPENDICITIS])))}
    assert keys == {"discharge-record", "operative-record"}
    lying = [event for event in unwritten(ward[APPENDICITIS]) if event.kind != "encounter.discharged"]
    assert {key.partition(":")[0] for key in draft_for(chart_of(lying))} == {"first-progress-note", "operative-record"}


def test_what_nobody_signs_at_this_site_is_not_drafted(ward: Ward, chart_of: Fold) -> None:
    chart = chart_of(unwritten(ward[APPENDICITIS]))
    for missing, made in (("C0049", {"operative-record"}), ("C0009", {"discharge-record"}), ("C0002", OF_BOTH)):
        case = make_case(chart, coverage=make_coverage(f"document:{missing}"))
        said = asyncio.run(run(Agent(), case))
        assert {item.rule for item in said.proposals} == made


def test_a_note_of_a_visit_is_drafted_wherever_a_visit_is_recorded() -> None:
    assert "visit-note" not in Agent.needs
    assert {need.item for need in Agent.needs["discharge-record"]} == {"class", "document:C0049"}


def test_no_assembled_draft_of_a_wards_week_holds_a_sentence_that_its_own_grounding_takes_out(
    ward: Ward, chart_of: Fold, draft_for: Drafts, document: Read
) -> None:
    drafted = 0
    for events in ward.values():
        for written in (events, unwritten(events), unwritten(events)[: 1 + len(events) // 2], events[:3]):
            chart = chart_of(written)
            for draft in draft_for(chart).values():
                drafted += 1
                assert document(draft).removed == {}
                assert document(draft).written == "assembled"
                assert "未使用模型" in draft.message.zh and "without a model" in draft.message.en
                assert all(said.sources for part in document(draft).sections for said in part.sentences)
                assert all(prove(chart, item).verified for item in draft.evidence)
    assert drafted >= 60


def test_a_discharge_record_says_what_the_record_says(
    ward: Ward, chart_of: Fold, draft_for: Drafts, said: Said, document: Read
) -> None:
    draft = draft_for(chart_of(unwritten(ward[APPENDICITIS])))["discharge-record"]
    assert document(draft).type.code == "C0049" and document(draft).loinc == "18842-5"
    assert "转移性右下腹痛" in said(draft, "SUMMARY") and "入院（GSUR）" in said(draft, "SUMMARY")
    assert said(draft, "ADMISSION_DX") == "急性阑尾炎（K35.900）。"
    assert said(draft, "DX") == "急性阑尾炎，其他和未特指的（K35.800）。"
    assert "白细胞计数 13.6 ×10^9/L（参考3.5-9.5），偏高" in said(draft, "AUX")
    assert "血红蛋白" not in said(draft, "AUX"), "what was normal is not among the abnormal results"
    assert "行腹腔镜阑尾切除术" in said(draft, "COURSE") and "上级医师查房记录：" in said(draft, "COURSE")
    assert "住院4天" in said(draft, "STATUS")


def test_an_english_record_is_drafted_in_english(draft_for: Drafts, said: Said, document: Read) -> None:
    draft = draft_for(english())["discharge-record"]
    assert document(draft).language == "en"
    assert "Discharged 2026-03-06 10:00, 4 days after admission." in said(draft, "STATUS")
    assert said(draft, "DX") == "Melena (K92.1)."
    assert said(draft, "AUX") == (
        "2026-03-02 02:00 Hemoglobin 82 g/L (reference 115-175), low; "
        "2026-03-05 02:00 Hemoglobin 101 g/L (reference 115-175), low."
    )
    assert said(draft, "COURSE") == "" and said(draft, "ADVICE") == "", "nothing is made up for what is not there"


def test_the_language_may_be_set(draft_for: Drafts, said: Said) -> None:
    draft = draft_for(english(), language="zh")["discharge-record"]
    assert "住院4天" in said(draft, "STATUS")


def test_a_draft_goes_stale_when_any_of_its_sources_changes(ward: Ward, chart_of: Fold, draft_for: Drafts) -> None:
    chart = chart_of(unwritten(ward[APPENDICITIS]))
    draft = draft_for(chart)["discharge-record"]
    note = next(item for item in chart.documents if item.type.code == "C0038")
    wbc = next(item for item in chart.results if item.values == ["13.6"])
    for part, touched, change in (
        ("documents", note, {}),
        ("results", wbc, {"values": ["16.3"]}),
        ("results", wbc, {"unit": "%"}),
    ):
        assert touched.ref in draft.reads
        update = {"version": "later", **change}
        changed = [item.model_copy(update=update) if item is touched else item for item in getattr(chart, part)]
        later = chart.model_copy(update={part: changed})
        assert not all(later.holds(ref) for ref in draft.reads)
        assert draft_for(later)["discharge-record"].stamp() != draft.stamp()
    reopened = chart.model_copy(update={"discharged": None, "status": "admitted"})
    assert not all(reopened.holds(ref) for ref in draft.reads)
    assert "discharge-record" not in draft_for(reopened)


def test_a_corrected_patient_makes_a_first_note_stale(ward: Ward, chart_of: Fold, draft_for: Drafts) -> None:
    chart = chart_of(unwritten(ward[APPENDICITIS])[:6])
    draft = draft_for(chart)["first-progress-note"]
    assert chart.patient is not None
    other = "female" if chart.patient.sex == "male" else "male"
    corrected = chart.model_copy(update={"patient": chart.patient.model_copy(update={"sex": other})})
    assert not all(corrected.holds(ref) for ref in draft.reads)


def test_a_fingerprint_stays_while_what_it_rests_on_does(ward: Ward, chart_of: Fold, draft_for: Drafts) -> None:
    chart = chart_of(unwritten(ward[APPENDICITIS]))
    draft = draft_for(chart)["discharge-record"]
    unread = reading("new", "5.0", "2026-03-06T01:00:00Z", "N", item=Code(code="x", text="钾"))
    unsigned = make_document("C0038", "未签名的病程。", id="u")
    later = chart.model_copy(
        update={
            "now": chart.now + timedelta(days=3),
            "version": chart.version + 5,
            "results": [*chart.results, unread],
            "documents": [*reversed(chart.documents), unsigned],
        }
    )
    again = draft_for(later)["discharge-record"]
    assert (again.stamp(), again.reads, again.payload) == (draft.stamp(), draft.reads, draft.payload)


@pytest.mark.parametrize("status", ["signed", "withdrawn", "replaced"])
def test_only_a_signed_document_that_counts_ends_the_draft(status: str, draft_for: Drafts) -> None:
    signed = make_document("C0049", "x", id="d2", at=LEFT, signed=LEFT, status=status)
    chart = english().model_copy(update={"documents": [*english().documents, signed]})
    assert ("discharge-record" in draft_for(chart)) == (status != "signed")


def test_a_second_operation_has_a_record_of_its_own(draft_for: Drafts, said: Said) -> None:
    first = make_operation("o1", start="2026-03-03T09:00Z", end="2026-03-03T10:00Z", text="First")
    second = make_operation("o2", start="2026-03-05T09:00Z", end="2026-03-05T10:00Z", text="Second")
    going_on = make_operation("o3", start="2026-03-06T01:00Z")
    record = make_document("C0009", "First.", id="d9", at="2026-03-03T12:00Z", signed="2026-03-03T12:00Z")
    chart = make_chart(admitted=ADMITTED, now=LEFT, procedures=[first, second, going_on], documents=[record])
    found = draft_for(chart)
    assert [key for key in found if key.startswith("operative")] == ["operative-record:o2"]
    assert "Second" in said(found["operative-record:o2"], "OP_NAME")


@pytest.mark.parametrize(
    ("day", "others", "keys"),
    [
        (29, [], []),
        (30, [], ["stage-summary:1"]),
        (61, [], ["stage-summary:2"]),
        (61, [("C0043", 45)], []),
        (61, [("C0042", 45)], []),
        (61, [("C0043", 25)], ["stage-summary:2"]),
    ],
)
def test_a_long_stay_is_summed_up_each_month(
    day: int, others: list[tuple[str, int]], keys: list[str], draft_for: Drafts
) -> None:
    begun = english().admitted
    assert begun is not None
    documents = [
        make_document(
            type, "x", id=f"x{n}", at=begun.at + timedelta(days=after), signed=begun.at + timedelta(days=after)
        )
        for n, (type, after) in enumerate(others)
    ]
    chart = make_chart(admitted=ADMITTED, now=begun.at + timedelta(days=day), documents=documents)
    assert [key for key in draft_for(chart) if key.startswith("stage")] == keys


@pytest.mark.parametrize(
    "fields", [{"status": "cancelled"}, {"patient_class": "outpatient"}, {"died": True}, {"department": "DAY"}]
)
def test_what_owes_nothing_has_no_draft_and_is_evaluated(fields: dict[str, Any], draft_for: Drafts) -> None:
    chart = english().model_copy(update=fields)
    settings = {"templates": {"discharge-record": {"except_departments": ["DAY"]}}}
    assert "discharge-record" not in draft_for(chart, **settings)


async def test_every_template_is_evaluated_and_none_wakes() -> None:
    assessment = await Agent().assess(make_case(english()))
    assert assessment.evaluated == TEMPLATES.keys()
    assert assessment.wakes == []
    off = make_case(english(), settings={"templates": {"discharge-record": {"enabled": False}}})
    assert (await Agent().assess(off)).evaluated == TEMPLATES.keys() - {"discharge-record"}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"language": "fr"}, "language"),
        ({"colour": 1}, "colour"),
        ({"templates": {"letter": {}}}, "templates.letter"),
        ({"templates": {"visit-note": {"enabled": "no"}}}, "templates.visit-note.enabled"),
        ({"transcripts": "TRANSCRIPT"}, "transcripts"),
    ],
)
async def test_wrong_settings_are_refused_by_their_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        await Agent().assess(make_case(english(), settings=settings))


def test_orders_stand_in_the_plan_of_a_first_note(draft_for: Drafts, said: Said) -> None:
    orders = [
        make_order("o1", "Chest X-ray", at=ADMITTED),
        make_order("o2", "CT", at=ADMITTED, status="cancelled"),
        make_order("o3", "MRI", at="2026-03-04T08:00+08:00"),
    ]
    chart = make_chart(admitted=ADMITTED, now=LEFT, orders=orders)
    assert said(draft_for(chart)["first-progress-note"], "PLAN") == "Ordered 2026-03-02 08:00: Chest X-ray."


def test_what_the_chart_says_wrongly_is_taken_out_and_counted(draft_for: Drafts, document: Read, said: Said) -> None:
    chart = english()
    text = "She is a 30-year-old woman. Black stools for 2 days."
    record = chart.documents[0].model_copy(update={"sections": [Section(name="HPI", text=text)]})
    draft = draft_for(chart.model_copy(update={"documents": [record]}))["discharge-record"]
    assert document(draft).removed == {"age": 1}
    assert "Black stools" in said(draft, "SUMMARY") and "30-year-old" not in said(draft)
    assert "1 unsupported taken out" in draft.message.en and "已删除无依据的1句" in draft.message.zh


def test_templates_name_their_codes() -> None:
    assert {template.type for template in TEMPLATES.values()} == {"C0049", "C0009", "C0037", "C0043", "C0002"}
    for template in TEMPLATES.values():
        assert template.loinc and template.title.zh and template.title.en
        assert all(section.loinc and section.title.zh and section.title.en for section in template.sections)
        assert len({section.code for section in template.sections}) == len(template.sections)


def test_the_checks_are_those_that_the_page_has_words_for() -> None:
    for language in ("zh", "en"):
        assert texts(language)["draft"]["reason"].keys() == CHECKS.keys()
