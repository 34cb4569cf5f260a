"""What each trigger means, field by field."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hisbus import BadMessage, Raw
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_schemas import (
    Charge,
    Code,
    Demographics,
    Diagnoses,
    Document,
    Fact,
    Location,
    Merge,
    Move,
    Order,
    PatientId,
    Person,
    Procedure,
    Report,
    Stay,
    VisitId,
)

PID = "PID|1||P1^^^HOSP^MR~110101196005041226^^^CN^NI||王^建国||19600504|M||||||||M"
PV1 = "PV1|1|I|W3^301^2^HOSP||||D100^李^明|||CARD|||||||||V1^^^HOSP"


def msh(type: str) -> str:
    return f"MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||{type}|A-1|P|2.5||||||UNICODE UTF-8"


def pv1(**fields: str) -> str:
    row = [""] * 46
    row[:20] = PV1.split("|")
    for number, value in fields.items():
        row[int(number.removeprefix("f"))] = value
    return "|".join(row)


def one(translate: Any, *lines: str) -> Fact:
    facts = translate(*lines).facts
    assert len(facts) == 1
    return facts[0]


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        ("A01", "encounter.admitted"),
        ("A02", "encounter.transferred"),
        ("A03", "encounter.discharged"),
        ("A04", "encounter.registered"),
        ("A08", "encounter.updated"),
        ("A11", "encounter.cancelled"),
        ("A13", "encounter.discharge_cancelled"),
        ("A28", "patient.updated"),
        ("A31", "patient.updated"),
    ],
)
def test_the_trigger_of_msh_9_makes_the_kind(translate: Any, trigger: str, kind: str) -> None:
    fact = one(translate, msh(f"ADT^{trigger}^ADT_A01"), "EVN|A99|20260302090000", PID, PV1)
    assert fact.kind == kind
    assert fact.patient == PatientId(authority="HOSP", number="P1")
    assert fact.visit == VisitId(authority="HOSP", number="V1")
    assert fact.time.isoformat() == "2026-03-02T09:00:00+08:00"
    assert fact.demographics == Demographics(
        name="王建国", birth_date=date(1960, 5, 4), sex="male", id_card="110101196005041226", marital_status="M"
    )
    assert fact.stay == Stay(
        patient_class="inpatient",
        location=Location(ward="W3", room="301", bed="2"),
        attending=Person(id="D100", name="李明"),
        department="CARD",
    )


def test_a_message_without_trigger_event_segment_is_dated_by_its_header(translate: Any) -> None:
    assert one(translate, msh("ADT^A08"), PID, PV1).time.isoformat() == "2026-03-02T08:30:00+08:00"


@pytest.mark.parametrize(
    ("event", "time", "flags"),
    [
        ("EVN||20260302090000||||20260302070000", "2026-03-02T07:00:00+08:00", []),
        ("EVN||20260302090000+0000", "2026-03-02T09:00:00+00:00", []),
        ("EVN||20260302090000||||tomorrow", "2026-03-02T09:00:00+08:00", ["bad_time.EVN-6"]),
        ("EVN||never", "2026-03-02T08:30:00+08:00", ["bad_time.EVN-2"]),
        ("EVN||20290101", "2029-01-01T00:00:00+08:00", ["future_time"]),
    ],
)
def test_the_source_time_is_evn_6_else_evn_2_else_msh_7(
    translate: Any, event: str, time: str, flags: list[str]
) -> None:
    fact = one(translate, msh("ADT^A08"), event, PID, PV1)
    assert (fact.time.isoformat(), fact.flags) == (time, flags)


def test_a_message_without_any_time_is_dated_by_its_storing(translate: Any) -> None:
    fact = one(translate, msh("ADT^A08").replace("20260302083000+0800", ""), PID, PV1)
    assert (fact.time.isoformat(), fact.flags) == ("2026-03-31T00:00:00+00:00", ["no_source_time"])


def test_what_was_flagged_as_future_at_reception_stays_so(translate: Any) -> None:
    fact = translate(msh("ADT^A08"), PID, PV1, flags=("future_time",)).facts[0]
    assert fact.flags == ["future_time"]


@pytest.mark.parametrize(
    ("field", "authority", "number"),
    [
        ("X^^^A^AN~P1^^^HOSP^MR", "HOSP", "P1"),
        ("X^^^A^AN~Y^^^B^PI", "A", "X"),
        ("P1", "his", "P1"),
        ("P1^^^&1.2.3&ISO^MR", "1.2.3", "P1"),
        ("P1^^^HOSP&1.2.3&ISO^MR", "HOSP", "P1"),
        ("^^^HOSP^MR~P2", "his", "P2"),
    ],
)
def test_the_patient_is_the_first_record_number_else_the_first_number(
    translate: Any, field: str, authority: str, number: str
) -> None:
    fact = one(translate, msh("ADT^A01"), f"PID|1||{field}", PV1)
    assert fact.patient == PatientId(authority=authority, number=number)


@pytest.mark.parametrize("pid", ["PID|1", 'PID|1||""', "ZZZ|1"])
def test_a_message_without_patient_number_is_kept_and_flagged(translate: Any, pid: str) -> None:
    fact = one(translate, msh("ADT^A01"), pid, PV1)
    assert (fact.patient, fact.flags) == (None, ["no_patient_id"])


@pytest.mark.parametrize("visit", ["", '""', "^^^HOSP"])
def test_without_visit_number_there_is_no_visit(translate: Any, visit: str) -> None:
    assert one(translate, msh("ADT^A01"), PID, pv1(f19=visit)).visit is None


def test_the_times_and_the_outcome_of_the_stay(translate: Any) -> None:
    stay = one(translate, msh("ADT^A03"), PID, pv1(f36="20", f44="20260301", f45="202603020830+0800")).stay
    assert stay is not None
    assert stay.admitted is not None
    assert (stay.admitted.isoformat(), stay.admitted.precision) == ("2026-03-01T00:00:00+08:00", "day")
    assert stay.discharged is not None
    assert (stay.discharged.isoformat(), stay.discharged.precision) == ("2026-03-02T08:30:00+08:00", "minute")
    assert stay.disposition == "died"


def test_death_is_read(translate: Any) -> None:
    row = [*PID.split("|"), *[""] * 20][:31]
    row[29:31] = "20260302070000", "Y"
    about = one(translate, msh("ADT^A03"), "|".join(row), PV1).demographics
    assert about is not None
    assert about.dead is True
    assert about.died is not None
    assert about.died.isoformat() == "2026-03-02T07:00:00+08:00"


def test_empty_says_nothing_and_null_deletes(translate: Any) -> None:
    fact = one(translate, msh("ADT^A08"), 'PID|1||P1||""||""|""', pv1(f2="", f3='""', f7="", f10='""', f45='""'))
    assert fact.demographics == Demographics(deleted=["name", "birth_date", "sex"])
    assert fact.stay == Stay(deleted=["location", "department", "discharged"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("王^建国", "王建国"),
        ("DUCK^DONALD^D", "DUCK DONALD"),
        ("王", "王"),
        ("^建国", "建国"),
        ("van Dam&van&Dam^Jo", "van Dam Jo"),
    ],
)
def test_a_name_is_family_and_given_name(translate: Any, name: str, expected: str) -> None:
    about = one(translate, msh("ADT^A08"), f"PID|1||P1||{name}", PV1).demographics
    assert about is not None
    assert about.name == expected


@pytest.mark.parametrize(
    ("text", "flags"), [("1960", ["bad_time.PID-7"]), ("19600230", ["bad_time.PID-7"]), ("196005041200", [])]
)
def test_a_birth_date_that_is_no_day_is_flagged(translate: Any, text: str, flags: list[str]) -> None:
    assert one(translate, msh("ADT^A08"), f"PID|1||P1||||{text}", PV1).flags == flags


def test_diagnoses_come_as_one_set_for_each_type(translate: Any) -> None:
    facts = translate(
        msh("ADT^A01"),
        PID,
        PV1,
        "DG1|1||I21.9^心肌梗死^I10||20260302|A|||||||||1",
        "DG1|2||I10^^I10|高血压||A|||||||||2",
        "DG1|3||E11^糖尿病^I10|||F||||||||||||||||D".replace("||||||||||||||||D", "|" * 15 + "D"),
    ).facts
    assert [fact.kind for fact in facts] == ["encounter.admitted", "diagnosis.recorded", "diagnosis.recorded"]
    admitting, final = facts[1].data, facts[2].data
    assert isinstance(admitting, Diagnoses)
    assert isinstance(final, Diagnoses)
    assert (admitting.status, final.status) == ("admitting", "final")
    assert [(item.code, item.rank, item.deleted) for item in admitting.items] == [
        (Code(code="I21.9", text="心肌梗死", system="I10"), 1, False),
        (Code(code="I10", text="高血压", system="I10"), 2, False),
    ]
    assert admitting.items[0].time is not None
    assert final.items[0].deleted
    assert facts[1].visit == facts[0].visit
    assert facts[1].demographics == facts[0].demographics


@pytest.mark.parametrize(
    ("pr1", "kind", "end", "operation"),
    [
        ("PR1|1||47.01^切除术^I9C||20260303103000+0800|O|90", "procedure.ended", "2026-03-03T12:00:00+08:00", True),
        ("PR1|1||47.01^切除术^I9C||20260303103000+0800|P|1.5", "procedure.ended", "2026-03-03T10:31:30+08:00", True),
        ("PR1|1||47.01^切除术^I9C||20260303103000+0800|O", "procedure.started", None, True),
        ("PR1|1||47.01^切除术^I9C||20260303103000+0800|D|0", "procedure.ended", "2026-03-03T10:30:00+08:00", False),
        ("PR1|1||47.01^切除术^I9C|||O|90", "procedure.started", None, True),
        ("PR1|1||47.01^切除术^I9C||20260303103000+0800|O|long", "procedure.started", None, True),
        ("PR1|1||47.01^切除术^I9C||99991231+0800|O|999999", "procedure.started", None, True),
    ],
)
def test_a_procedure_ends_where_its_length_is_known(
    translate: Any, pr1: str, kind: str, end: str | None, operation: bool
) -> None:
    fact = translate(msh("ADT^A08"), PID, PV1, pr1).facts[1]
    assert fact.kind == kind
    assert isinstance(fact.data, Procedure)
    assert (fact.data.end.isoformat() if fact.data.end else None, fact.data.operation) == (end, operation)
    assert fact.data.code == Code(code="47.01", text="切除术", system="I9C")


def test_a_procedure_is_known_by_its_number_else_by_what_it_was_and_when(translate: Any) -> None:
    facts = translate(
        msh("ADT^A08"),
        PID,
        PV1,
        "PR1|2||X||20260303103000|O|||||D200^张^华",
        "PR1|1||X||20260303103000|O|||||||||||||K7^ns|D",
    ).facts[1:]
    first, second = (fact.data for fact in facts)
    assert isinstance(first, Procedure)
    assert isinstance(second, Procedure)
    assert (first.key, first.deleted, first.surgeon) == ("X/20260303103000", False, Person(id="D200", name="张华"))
    assert (second.key, second.deleted, second.surgeon) == ("K7^ns", True, None)


def test_a_merge_names_who_ends_in_whom(translate: Any) -> None:
    fact = one(translate, msh("ADT^A40^ADT_A39"), "EVN||20260303", PID, "MRG|TMP9^^^HOSP^MR||||V9^^^HOSP")
    assert fact.kind == "patient.merged"
    assert fact.patient == PatientId(authority="HOSP", number="P1")
    assert fact.data == Merge(
        prior=PatientId(authority="HOSP", number="TMP9"), prior_visit=VisitId(authority="HOSP", number="V9")
    )


def test_one_message_can_merge_several_pairs(translate: Any) -> None:
    facts = translate(msh("ADT^A40"), "PID|1||P1", "MRG|T1", "PID|1||P2", "MRG|T2", "PV1|1|I|||||||||||||||||V2").facts
    assert [(fact.patient.number, fact.data.prior.number) for fact in facts] == [("P1", "T1"), ("P2", "T2")]
    assert [fact.visit.number if fact.visit else None for fact in facts] == [None, "V2"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((PID, "MRG|P1^^^HOSP^MR"), "self_merge"),
        ((PID, "MRG|"), "merge_without_patient"),
        (("PID|1", "MRG|T1"), "merge_without_patient"),
        ((PID,), "merge_without_patient"),
    ],
)
def test_a_merge_that_does_not_name_two_patients_cannot_be_understood(
    translate: Any, lines: tuple[str, ...], code: str
) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(msh("ADT^A40"), *lines)
    assert caught.value.code == code


def test_a_patient_whose_number_changes_is_as_good_as_merged(translate: Any) -> None:
    fact = one(translate, msh("ADT^A47"), PID, "MRG|OLD^^^HOSP^MR")
    assert (fact.kind, fact.data) == ("patient.merged", Merge(prior=PatientId(authority="HOSP", number="OLD")))
    other = one(translate, msh("ADT^A47"), PID, "MRG|P1^^^HOSP^MR")
    assert (other.kind, other.data) == ("patient.updated", None)


def test_a_move_names_the_visit_and_may_name_whose_it_was(translate: Any) -> None:
    fact = one(translate, msh("ADT^A45"), "EVN||20260303", PID, "MRG|P9^^^HOSP^MR||||V1^^^HOSP", PV1)
    assert (fact.kind, fact.patient) == ("encounter.moved", PatientId(authority="HOSP", number="P1"))
    assert fact.data == Move(
        prior=PatientId(authority="HOSP", number="P9"), visit=VisitId(authority="HOSP", number="V1")
    )
    assert one(translate, msh("ADT^A45"), PID, "MRG|||||V1").data == Move(visit=VisitId(authority="his", number="V1"))
    assert one(translate, msh("ADT^A45"), PID, "MRG|||||V1", PV1).data.visit == VisitId(authority="HOSP", number="V1")


@pytest.mark.parametrize(
    ("trigger", "lines", "code"),
    [
        ("A45", (PID, "MRG|P9", PV1), "move_without_visit"),
        ("A45", ("PID|1", "MRG|P9||||V1"), "move_without_visit"),
        ("A45", (PID, "MRG|P9||||V7", PV1), "visit_renumbered"),
        ("A45", (PID, PV1), "merge_without_patient"),
        *((trigger, (PID, "MRG|P9", PV1), "unhandled_move") for trigger in ("A39", "A42", "A43", "A44", "A46", "A50")),
    ],
)
def test_a_move_that_cannot_be_followed_is_parked_and_never_ignored(
    translate: Any, trigger: str, lines: tuple[str, ...], code: str
) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(msh(f"ADT^{trigger}"), *lines)
    assert caught.value.code == code


def test_a_message_about_a_person_says_nothing_of_a_class(translate: Any) -> None:
    stay = one(translate, msh("ADT^A31"), PID, pv1(f2="N")).stay
    assert stay is not None
    assert (stay.patient_class, stay.department) == (None, "CARD")


@pytest.mark.parametrize(
    ("type", "whole"), [("ADT^A01", True), ("ADT^A03", True), ("ADT^A08", True), ("ADT^A31", False), ("BAR^P12", False)]
)
def test_only_an_admission_discharge_or_update_says_the_whole_set_of_diagnoses(
    translate: Any, type: str, whole: bool
) -> None:
    fact = translate(msh(type), PID, PV1, "DG1|1||I21.9^心肌梗死^I10|||F").facts[-1]
    assert (fact.kind, fact.data.whole) == ("diagnosis.recorded", whole)


def test_an_account_message_without_diagnosis_or_procedure_says_nothing(translate: Any) -> None:
    assert not translate(msh("BAR^P01"), PID, PV1).mapped


@pytest.mark.parametrize(
    ("control", "status", "kind"),
    [
        *((control, "", "order.placed") for control in ("NW",)),
        *((control, "", "order.changed") for control in ("XO", "RP", "XX", "XR", "SC")),
        *((control, "", "order.cancelled") for control in ("CA", "OC", "CR")),
        *((control, "", "order.stopped") for control in ("DC", "OD", "DR")),
        ("SC", "HD", "order.changed"),
        ("SC", "CA", "order.cancelled"),
        ("SC", "DC", "order.stopped"),
    ],
)
@pytest.mark.parametrize("type", ["ORM^O01", "OMG^O19", "OML^O21", "RDE^O11"])
def test_what_happened_to_an_order_is_its_control_code(
    translate: Any, type: str, control: str, status: str, kind: str
) -> None:
    fact = one(translate, msh(type), PID, PV1, f"ORC|{control}|PL1^EMR|FI1^LAB||{status}||||20260302080000", OBR)
    assert fact.kind == kind
    order = fact.data
    assert isinstance(order, Order)
    assert (order.key, order.placer, order.filler, order.action) == (
        "PL1^EMR",
        "PL1",
        "FI1",
        kind.removeprefix("order."),
    )
    assert (order.stopped is not None) == (kind == "order.stopped")
    assert order.what == Code(code="24725-4", text="头颅CT", system="LN")
    assert order.time is not None
    assert order.time.isoformat() == "2026-03-02T08:00:00+08:00"


OBR = "OBR|1|PL1|FI1|24725-4^头颅CT^LN"


@pytest.mark.parametrize(
    ("lines", "key", "what"),
    [
        (("ORC|NW|PL1", "RXE||A^甲", "RXO|B^乙"), "PL1", "A"),
        (("ORC|NW|PL1", "RXO|B^乙"), "PL1", "B"),
        (("ORC|NW||FI1", OBR), "PL1", "24725-4"),
        (("ORC|NW||FI1",), "FI1", ""),
        (("ORC|NW||||||||20260302080000", "RXO|B^乙"), "B/20260302080000", "B"),
    ],
)
def test_an_order_is_known_by_its_number_and_says_what_is_ordered(
    translate: Any, lines: tuple[str, ...], key: str, what: str
) -> None:
    fact = one(translate, msh("RDE^O11"), PID, PV1, *lines)
    assert (fact.data.key, fact.data.what.code) == (key, what)
    assert fact.flags == (["no_order_number"] if "/" in key else [])


def test_an_order_control_that_says_none_of_the_three_is_left_unread_beside_those_that_do(translate: Any) -> None:
    translation = translate(msh("ORM^O01"), PID, PV1, "ORC|OK|PL1", OBR, "ORC|NW|PL2", OBR.replace("PL1", "PL2"))
    assert [(fact.kind, fact.data.key) for fact in translation.facts] == [("order.placed", "PL2")]
    assert (translation.unmapped, translation.flags) == (["ORC", "OBR"], ["unread_order_control"])
    assert translation.facts[0].segments == ["ORC|OK|PL1", OBR]
    alone = translate(msh("ORM^O01"), PID, PV1, "ORC|OK|PL1", OBR)
    assert (alone.mapped, alone.facts, alone.unmapped) == (False, [], ["ORC", "OBR"])


def test_results_of_earlier_orders_are_no_orders(translate: Any) -> None:
    translation = translate(msh("OMG^O19"), PID, PV1, "ORC|NW|PL1", OBR, "PV1|1|O", "ORC|SC|PL0", "OBR|1|PL0||X")
    assert [fact.data.key for fact in translation.facts] == ["PL1"]
    assert (translation.unmapped, translation.flags) == (["PV1", "ORC", "OBR"], ["prior_results_unread"])


def test_a_consultation_is_asked_for_by_an_order_and_completed_by_its_final_result(tmp_path: Path) -> None:
    ours = tmp_path / "our-his.toml"
    ours.write_text('[codes.consultation]\nsame = ["24725-4"]\n')
    mapping = Mapping(Hl7v2Connector({"name": "his", "profile": ours}))

    def kind(*lines: str) -> str:
        body = "\r".join(lines).encode()
        return mapping.translate(Raw("id", body, datetime(2026, 3, 31, tzinfo=UTC))).facts[0].kind

    assert kind(msh("ORM^O01"), PID, PV1, "ORC|NW|PL1", OBR) == "consult.requested"
    assert kind(msh("ORM^O01"), PID, PV1, "ORC|CA|PL1", OBR) == "order.cancelled"
    assert kind(msh("ORU^R01"), PID, PV1, OBR + "|" * 21 + "F", "OBX|1|TX|NOTE||会诊意见") == "consult.completed"
    assert kind(msh("ORU^R01"), PID, PV1, OBR + "|" * 21 + "P", "OBX|1|TX|NOTE||会诊意见") == "result.reported"
    assert kind(msh("ORM^O01"), PID, PV1, "ORC|NW|PL1", OBR.replace("24725-4", "X")) == "order.placed"


def test_charges_are_posted_one_by_one(translate: Any) -> None:
    first, second = translate(
        msh("DFT^P03"),
        PID,
        PV1,
        "FT1|1|T-9||20260302080000|20260303|CG|C01^护理费^LOCAL|||2|120.50&CNY",
        "FT1|2|||20260302|20260303|CR|C02|检验费||1|8",
    ).facts
    assert (first.kind, second.kind) == ("charge.posted", "charge.posted")
    assert isinstance(first.data, Charge)
    assert (first.data.key, first.data.code.text, first.data.type) == ("T-9", "护理费", "CG")
    assert (first.data.quantity, first.data.amount) == ("2", "120.50")
    assert first.data.time is not None
    assert first.data.time.isoformat() == "2026-03-02T08:00:00+08:00"
    assert (second.data.key, second.data.code) == ("id/2", Code(code="C02", text="检验费"))


@pytest.mark.parametrize(
    ("type", "code"), [("ORM^O01", "no_order"), ("DFT^P03", "no_charge"), ("OUL^R22", "no_report")]
)
def test_a_message_without_what_it_is_about_cannot_be_understood(translate: Any, type: str, code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(msh(type), PID, PV1)
    assert caught.value.code == code


@pytest.mark.parametrize("type", ["ORM^O01", "DFT^P03", "ORU^R01", "MDM^T02"])
def test_diagnoses_and_procedures_are_read_wherever_they_come(translate: Any, type: str) -> None:
    translation = translate(
        msh(type), PID, PV1, "ORC|NW|PL1", OBR, "FT1|1", txa(), "DG1|1||I10^高血压^I10|||W", "PR1|1||47.01|||O"
    )
    assert [fact.kind for fact in translation.facts][-2:] == ["diagnosis.recorded", "procedure.started"]
    assert not {"DG1", "PR1"} & set(translation.unmapped)


TXA = "TXA|1|C0037^首次病程^WST500|TX|20260302080000|||||D100^李^明|||D1|{parent}||||{status}||AV|||{signer}"
SIGNER = "D100^李^明" + "^" * 12 + "20260302081500+0800"


def txa(parent: str = "", status: str = "AU", signer: str = SIGNER) -> str:
    return TXA.format(parent=parent, status=status, signer=signer)


@pytest.mark.parametrize(
    ("trigger", "kind", "action"),
    [
        ("T02", "document.filed", "file"),
        ("T06", "document.filed", "addendum"),
        ("T10", "document.amended", "replace"),
        ("T11", "document.withdrawn", "withdraw"),
    ],
)
def test_a_document_is_filed_added_to_replaced_or_withdrawn(
    translate: Any, trigger: str, kind: str, action: str
) -> None:
    fact = one(translate, msh(f"MDM^{trigger}"), PID, PV1, txa(parent="D0"), "OBX|1|TX|TEXT^正文||内容||||||F")
    document = fact.data
    assert isinstance(document, Document)
    assert (fact.kind, document.action, document.number, document.parent) == (kind, action, "D1", "D0")
    assert document.type == Code(code="C0037", text="首次病程", system="WST500")
    assert document.author == Person(id="D100", name="李明")
    assert document.about is not None
    assert document.about.isoformat() == "2026-03-02T08:00:00+08:00"


@pytest.mark.parametrize(
    ("status", "signer", "signed", "inferred"),
    [
        ("AU", SIGNER, "2026-03-02T08:15:00+08:00", False),
        ("LA", f"D9^other~{SIGNER}", "2026-03-02T08:15:00+08:00", False),
        ("AU", "D100^李^明", "2026-03-02T08:30:00+08:00", True),
        ("AU", "", "2026-03-02T08:30:00+08:00", True),
        ("AU", SIGNER.replace("2026", "soon"), "2026-03-02T08:30:00+08:00", True),
        ("PA", SIGNER, None, False),
        ("", SIGNER, None, False),
    ],
)
def test_a_document_is_signed_by_its_status_and_at_its_signers_time(
    translate: Any, status: str, signer: str, signed: str | None, inferred: bool
) -> None:
    document = one(translate, msh("MDM^T02"), PID, PV1, txa(status=status, signer=signer)).data
    assert isinstance(document, Document)
    assert (document.signed.isoformat() if document.signed else None, document.signed_inferred) == (signed, inferred)
    assert document.completion == status


def test_lines_of_one_section_join_and_attachments_are_kept_unread(translate: Any) -> None:
    translation = translate(
        msh("MDM^T02"),
        PID,
        PV1,
        txa(),
        "OBX|1|TX|CC^主诉||胸痛^3&小时~第二行",
        "OBX|2|FT|HPI^现病史||一\\.br\\二\\T\\三",
        "OBX|3|ST|CC^主诉||第三行",
        "OBX|4|ED|PDF^原件||^application^pdf^Base64^QUJD",
        "OBX|5|NM|X^数||5",
        "ZDR|1|院内",
    )
    document = translation.facts[0].data
    assert isinstance(document, Document)
    assert [(part.name, part.title, part.text) for part in document.sections] == [
        ("CC", "主诉", "胸痛^3&小时\n第二行\n第三行"),
        ("HPI", "现病史", "一\n二&三"),
    ]
    assert [(item.type, item.title, item.content) for item in document.attachments] == [
        ("ED", "原件", "^application^pdf^Base64^QUJD")
    ]
    assert translation.unmapped == ["OBX", "ZDR"]
    assert translation.facts[0].segments == ["OBX|5|NM|X^数||5", "ZDR|1|院内"]


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [("T02", "frontpage.submitted"), ("T10", "frontpage.submitted"), ("T11", "document.withdrawn")],
)
def test_a_front_page_is_its_fields(translate: Any, trigger: str, kind: str) -> None:
    fact = one(
        translate,
        msh(f"MDM^{trigger}"),
        PID,
        PV1,
        txa(parent="F0").replace("C0037^首次病程^WST500", "C0032"),
        "OBX|1|ST|FP.ID_CARD||110101196005041226",
        "OBX|2|NM|FP.AGE||65",
        "OBX|3|CWE|FP.SEX||1^男",
    )
    assert fact.kind == kind
    assert isinstance(fact.data, Document)
    assert fact.data.fields == {"FP.ID_CARD": "110101196005041226", "FP.AGE": "65", "FP.SEX": "1"}
    assert fact.data.sections == []


def test_a_replacement_that_does_not_say_what_it_replaces_is_flagged(translate: Any) -> None:
    assert one(translate, msh("MDM^T10"), PID, PV1, txa()).flags == ["replaces_unnamed"]


@pytest.mark.parametrize(("line", "code"), [("TXA|1|C0037", "no_document_number"), ("ZZZ|1", "no_document")])
def test_a_document_without_identity_cannot_be_understood(translate: Any, line: str, code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(msh("MDM^T02"), PID, PV1, line)
    assert caught.value.code == code


VITAL = "OBX|1|NM|8310-5^^LN||36.8|Cel|36-37|N~H|||F|||20260302113000"


def test_a_result_carries_its_readings(translate: Any) -> None:
    fact = one(
        translate,
        msh("ORU^R01"),
        PID,
        PV1,
        "OBR|1|PL1|FI1^LAB|24317-0^血常规^LN" + "|" * 21 + "F",
        "OBX|1|NM|718-7^血红蛋白^LN|a|138~139|g/L|130-175|H~A^x|||C|||202603021130",
        "OBX|2|CWE|600-7^培养^LN||112283007^大肠埃希菌^SCT||||||F",
        "OBX|3|SN|20570-8^压积^LN||>^40||||||W",
        'OBX|4|NM|1-1^空^LN||""||||||F',
    )
    assert fact.kind == "result.reported"
    report = fact.data
    assert isinstance(report, Report)
    assert (report.number, report.service.code, report.status) == ("FI1^LAB", "24317-0", "final")
    blood, culture, volume, empty = report.readings
    assert (blood.sub, blood.values, blood.unit, blood.range) == ("a", ["138", "139"], "g/L", "130-175")
    assert (blood.flags, blood.status) == (["H", "A"], "corrected")
    assert blood.time is not None
    assert blood.time.precision == "minute"
    assert culture.values == ["大肠埃希菌"]
    assert (volume.values, volume.status) == ([">40"], "withdrawn")
    assert empty.values == []


def test_only_vital_signs_make_vital_signs(translate: Any) -> None:
    fact = one(translate, msh("ORU^R01"), PID, PV1, "OBR|1||VS1|VS", VITAL, VITAL.replace("8310-5", "8480-6"))
    assert fact.kind == "vitals.recorded"
    assert isinstance(fact.data, Report)
    assert fact.data.readings[0].flags == ["N", "H"]


@pytest.mark.parametrize("other", [VITAL.replace("8310-5", "718-7"), VITAL.replace("^^LN", "^^LOCAL")])
def test_anything_else_beside_them_makes_a_result(translate: Any, other: str) -> None:
    assert one(translate, msh("ORU^R01"), PID, PV1, "OBR|1||VS1|VS", VITAL, other).kind == "result.reported"


OBX = "OBX|{}|NM|{}^^LN||1||||||F"


@pytest.mark.parametrize(
    ("trigger", "lines", "reported", "unread"),
    [
        ("R21", ("SAC|1", "OBR|1||FI1|A", OBX.format(1, "a"), OBX.format(2, "b")), [["a", "b"]], ["SAC"]),
        (
            "R22",
            (
                "SPM|1", OBX.format(1, "s"), "SAC|1", "OBR|1||FI1|A", OBX.format(1, "a"),
                "SPM|2", OBX.format(1, "t"), "OBR|1||FI2|B", OBX.format(1, "b"),
            ),
            [["a"], ["b"]],
            ["SPM", "OBX", "SAC", "SPM", "OBX"],
        ),
        (
            "R24",
            (OBX.format(1, "p"), "OBR|1||FI1|A", "SPM|1", OBX.format(1, "s"), "SAC|1", OBX.format(1, "a")),
            [["a"]],
            ["OBX", "SPM", "OBX", "SAC"],
        ),
        ("R24", ("OBR|1||FI1|A", OBX.format(1, "a"), "SPM|1", OBX.format(2, "b")), [["a", "b"]], ["SPM"]),
    ],
)  # fmt: skip
def test_what_was_observed_of_a_specimen_is_no_result(
    translate: Any, trigger: str, lines: tuple[str, ...], reported: list[list[str]], unread: list[str]
) -> None:
    facts = translate(msh(f"OUL^{trigger}"), PID, PV1, *lines).facts
    assert [[reading.item.code for reading in fact.data.readings] for fact in facts] == reported
    assert [segment[:3] for segment in facts[0].segments] == unread


def test_an_observation_that_does_not_say_of_what_is_left_unread(translate: Any) -> None:
    fact = one(translate, msh("ORU^R01"), PID, PV1, "OBR|1||FI1|A", "OBX||ED|||^application^pdf", VITAL)
    assert ([len(fact.data.readings)], fact.segments) == ([1], ["OBX||ED|||^application^pdf"])


def test_each_report_of_a_message_is_a_fact(translate: Any) -> None:
    facts = translate(msh("ORU^R01"), PID, "OBR|1|PL1||A", VITAL, "OBR|2||FI2|B", VITAL, VITAL).facts
    reports = [fact.data for fact in facts]
    assert [(report.number, len(report.readings)) for report in reports] == [("PL1", 1), ("FI2", 2)]


def test_a_report_without_number_is_the_same_only_at_the_same_time(translate: Any) -> None:
    fact = one(translate, msh("ORU^R01"), PID, PV1, "OBR|1|||VS|||20260302113000", VITAL)
    assert isinstance(fact.data, Report)
    assert (fact.data.number, fact.flags) == ("VS/20260302113000", ["no_report_number"])


def test_a_result_message_without_report_cannot_be_understood(translate: Any) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(msh("ORU^R01"), PID, PV1, VITAL)
    assert caught.value.code == "no_report"


@pytest.mark.parametrize("type", ["ADT^A41", "RDE^O25", "ZZZ^Z01", "ADT", "", "MDM^T01"])
def test_what_has_no_mapping_says_so(translate: Any, type: str) -> None:
    translation = translate(msh(type), PID, PV1)
    assert (translation.mapped, translation.facts) == (False, [])


def test_unknown_segments_are_listed_and_kept(translate: Any) -> None:
    translation = translate(msh("ADT^A01"), PID, PV1, "ZPI|1|自定义", "NK1|1", "ZPI|2")
    assert translation.unmapped == ["ZPI", "NK1"]
    assert translation.facts[0].segments == ["ZPI|1|自定义", "NK1|1", "ZPI|2"]


def test_text_that_is_no_segment_is_kept_and_not_listed_by_its_words(translate: Any) -> None:
    translation = translate(msh("ADT^A01"), PID, PV1, "王建国的家属")
    assert (translation.unmapped, translation.flags) == (["?"], ["malformed_segment"])


def test_every_setting_that_changes_what_a_message_means_names_another_mapping() -> None:
    def name(**table: Any) -> str:
        return Mapping(Hl7v2Connector({"name": "his", "listen": "127.0.0.1:0", **table})).name

    changes = ({"name": "lab"}, {"timezone": "Asia/Shanghai"}, {"charset": "GB18030"}, {"authority": "HOSP"})
    names = [name(), *(name(**change) for change in changes)]
    assert len(set(names)) == len(names)
    assert name() == name(listen="127.0.0.1:2575", max_mb=1)


def test_every_message_of_the_cases_has_a_meaning(translate: Any, cases: Path) -> None:
    kinds: set[str] = set()
    for path in sorted(cases.glob("*.hl7")):
        for text in path.read_bytes().strip().split(b"\n\n"):
            translation = translate.read(text.replace(b"\n", b"\r"))
            assert (translation.mapped, translation.flags) == (True, [])
            kinds |= {fact.kind for fact in translation.facts}
    assert {"vitals.recorded", "frontpage.submitted", "patient.merged", "procedure.ended"} <= kinds


def test_names_whose_second_bytes_are_delimiters_are_whole(translate: Any, cases: Path) -> None:
    first = (cases / "14-gb18030.hl7").read_bytes().split(b"\n\n")[0]
    about = translate.read(first.replace(b"\n", b"\r")).facts[0].demographics
    assert about.name == "亅倈乗俓乛亊"


FIELD = st.one_of(
    st.sampled_from(
        ["", '""', "^^^", "~", "P1^^^H^MR", "20260302", "99999999", "A", "LN", "TX", "-1", "1e9", "\\F\\", "é"]
    ),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8),
)
TYPES = (
    *("ADT^A01", "ADT^A40", "ADT^A45", "ADT^A47", "MDM^T02", "MDM^T10", "ORU^R01", "OUL^R22", "OUL^R24"),
    *("ORM^O01", "RDE^O11", "DFT^P03", "BAR^P12"),
)
CODES = {
    *("self_merge", "merge_without_patient", "move_without_visit", "visit_renumbered"),
    *("no_document", "no_document_number", "no_report", "no_order", "no_charge", "several_patients"),
}
SEGMENT = st.tuples(
    st.sampled_from(["EVN", "PID", "PV1", "DG1", "PR1", "MRG", "TXA", "OBR", "OBX", "ORC", "RXE", "FT1", "SPM", "SAC"]),
    st.lists(FIELD, max_size=46),
).map(lambda parts: "|".join([parts[0], *parts[1]]))


@given(
    st.sampled_from(TYPES),
    st.lists(SEGMENT, max_size=8),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_fields_hold_a_message_is_understood_or_refused_with_a_code(
    translate: Any, type: str, segments: list[str]
) -> None:
    try:
        translation = translate(msh(type), *segments)
    except BadMessage as error:
        assert error.code in CODES
    else:
        assert bool(translation.facts) == translation.mapped
        assert all(Fact.model_validate_json(fact.model_dump_json()) == fact for fact in translation.facts)


# --- our words


@pytest.mark.parametrize(
    ("letter", "word", "unknown"),
    [
        ("I", "inpatient", []),
        ("E", "emergency", []),
        ("N", None, []),
        ("U", None, []),
        ("", None, []),
        ("i", None, ["i"]),
    ],
)
def test_a_class_is_said_in_our_words_and_an_unknown_one_is_kept_as_sent(
    translate: Any, letter: str, word: str | None, unknown: list[str]
) -> None:
    fact = one(translate, msh("ADT^A01"), PID, pv1(f2=letter))
    assert fact.stay is not None and fact.stay.patient_class == word
    assert [(item.item, item.code.code, item.entry) for item in fact.unknown] == [
        ("class", code, "") for code in unknown
    ]
    assert ("unknown_code.PV1-2" in fact.flags) == bool(unknown)
    assert fact.stay.deleted == ["patient_class"] * len(unknown), "no longer what it was"


def test_a_document_of_an_unknown_type_may_be_any_and_keeps_its_type(translate: Any) -> None:
    known = one(translate, msh("MDM^T02"), PID, PV1, "TXA|1|C0034||||||||||D1")
    assert (known.unknown, known.flags) == ([], [])
    fact = one(translate, msh("MDM^T02"), PID, PV1, "TXA|1|PN^Progress note^L||||||||||D1")
    (unknown,) = fact.unknown
    assert (unknown.item, unknown.code.text, unknown.entry) == ("document:*", "Progress note", "D1")
    assert (fact.data.type.code, fact.flags) == ("PN", ["unknown_code.TXA-2"])


def test_a_code_without_a_word_says_nothing_and_is_flagged(translate: Any) -> None:
    fact = one(translate, msh("ADT^A08"), PID.replace("|M|", "|X|"), PV1)
    assert fact.demographics is not None and fact.demographics.sex is None
    assert fact.flags == ["unknown_code.PID-8"]


# --- allergies, doses, details and notes of orders


def test_allergies_come_with_any_message_and_are_the_same_by_their_code(translate: Any) -> None:
    said = translate(
        msh("ADT^A08"), PID, PV1,
        "AL1|1|DA^药物|70618^青霉素^RXNORM|SV|皮疹~呼吸困难|20200101",
        "AL1|2|FA||MI|x",
        'IAM|1|FA^^|^花生|U|""|D|I-7||||2019||||||I',
    )  # fmt: skip
    updated, first, second = said.facts
    assert (updated.kind, first.kind, second.kind) == ("encounter.updated", "allergy.recorded", "allergy.recorded")
    drug, food = first.data, second.data
    assert (drug.key, drug.what.text, drug.kind, drug.severity) == ("RXNORM|70618", "青霉素", "drug", "severe")
    assert (drug.reactions, drug.time.precision, drug.withdrawn) == (["皮疹", "呼吸困难"], "day", False)
    assert (food.key, food.what.text, food.kind, food.severity) == ("I-7", "花生", "food", "")
    assert (food.status, food.withdrawn, food.deleted) == ("inactive", True, ["reactions"])
    assert food.time.precision == "year"
    assert said.unmapped == ["AL1"], "one that does not say what is not borne"


def test_a60_says_allergies_and_nothing_else(translate: Any) -> None:
    fact = one(translate, msh("ADT^A60"), PID, PV1, "IAM|1|DA|^青霉素||||||||||||||C")
    assert (fact.kind, fact.data.key, fact.data.status) == ("allergy.recorded", "青霉素", "confirmed")


@pytest.mark.parametrize("segment", ["RXE||J01^头孢曲松^ATC|2||g^克", "RXO|J01^头孢曲松^ATC|2||g^克"])
def test_an_order_of_a_drug_says_how_much_how_often_and_how_long(translate: Any, segment: str) -> None:
    timing = "TQ1|1||QD^每日一次||||20260302090000|20260305090000"
    order = one(
        translate, msh("RDE^O11"), PID, PV1, "ORC|NW|O1", segment, timing, "RXR|IV^静脉", "NTE|1||缓慢静滴~避光"
    ).data
    assert (order.what.text, order.order_class, order.dose, order.unit) == ("头孢曲松", "medication", "2", "g")
    assert (order.route.text, order.frequency, order.notes) == ("静脉", "QD", ["缓慢静滴", "避光"])
    assert (order.start.at.hour, order.stop.at.day, order.deleted) == (1, 5, [])


def test_an_older_order_says_its_times_in_one_field_and_can_empty_what_it_said(translate: Any) -> None:
    orc, obr = "ORC|NW|O1|||||1^Q8H^D3^20260302^20260305", "OBR|1|||CBC" + "|" * 20 + "LAB"
    first = one(translate, msh("ORM^O01"), PID, PV1, orc, obr).data
    assert (first.frequency, first.start.precision, first.order_class) == ("Q8H", "day", "laboratory")
    emptied = ("ORC|XO|O1", 'RXE||X|""||""', 'TQ1|1||""||||""|""')
    changed = one(translate, msh("RDE^O11"), PID, PV1, *emptied).data
    assert (sorted(changed.deleted), changed.dose) == (["dose", "frequency", "start", "stop", "unit"], "")


def test_a_dose_that_was_given_names_its_order(translate: Any) -> None:
    given, back = translate(
        msh("RAS^O17"), PID, PV1, "ORC|RE|O1^HIS",
        "RXA|0|1|20260302090000|20260302093000|J01^头孢曲松|2|g|||N7^王^芳^^^护士" + "|" * 10 + "CP",
        "RXR|IV|LA^左臂", "NTE|1||顺利", "RXA|0|2|20260302170000||J01^头孢曲松|2|g" + "|" * 13 + "RE|D", "RXA|0|3|||",
    ).facts  # fmt: skip
    dose = given.data
    assert (given.kind, dose.order, dose.key) == ("medication.given", "O1^HIS", "O1^HIS/1/20260302090000")
    assert (dose.amount, dose.unit, dose.status, dose.route.code, dose.site.text) == ("2", "g", "given", "IV", "左臂")
    assert (dose.by.name, dose.by.title, dose.notes) == ("王芳", "护士", ["顺利"])
    assert (dose.time.at.hour, dose.end.at.minute) == (1, 30)
    assert (back.data.status, back.data.key) == ("withdrawn", "O1^HIS/2/20260302170000")


def test_a_message_about_doses_without_one_is_parked(translate: Any) -> None:
    with pytest.raises(BadMessage) as caught:
        translate(msh("RAS^O17"), PID, PV1, "ORC|RE|O1")
    assert caught.value.code == "no_administration"


def test_a_note_is_of_what_it_stands_behind(translate: Any) -> None:
    said = translate(
        msh("ORU^R01"), PID, "NTE|1||of the patient", PV1, "OBR|1||F1|K", "NTE|1||标本溶血", "OBX|1|NM|K||6.9|||||F",
        "NTE|1||已复查", "NTE|2||", "OBX|2|NM|NA||140",
    )  # fmt: skip
    (fact,) = said.facts
    assert (fact.data.notes, [reading.notes for reading in fact.data.readings]) == (["标本溶血"], [["已复查"], []])
    assert said.unmapped == ["NTE"] and fact.segments == ["NTE|1||of the patient"]


def test_a_note_on_what_an_order_does_not_read_is_not_the_orders(translate: Any) -> None:
    lines = ("ORC|NW|O1", "OBR|1|||K", "NTE|1||急", "OBX|1|NM|K||1", "NTE|1||of the value")
    said = translate(msh("OML^O21"), PID, PV1, *lines)
    assert said.facts[0].data.notes == ["急"] and said.unmapped == ["OBX", "NTE"]
