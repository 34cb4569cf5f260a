"""Small messages of kinds that hospitals send, each with what is right."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from tests.field.site import HIS, LATER, Field, admission, adt, sent

from hisbus_schemas import ChartReading

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHINA = ZoneInfo("Asia/Shanghai")
LIS = {"name": "lis"}


def on(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time of March 2026 in the HIS's zone."""
    return datetime(2026, 3, day, hour, minute, tzinfo=CHINA).astimezone(UTC)


def told(readings: list[ChartReading]) -> dict[str, str]:
    """Return the readings as a person reads them."""
    return {one.title: f"{one.value} {one.unit}".strip() for one in readings}


async def test_01_each_of_two_patients_in_one_message_has_his_own_result(field: Field) -> None:
    seen = await field.told(admission("01A"), admission("01B"), *sent("01-two-patients-in-one-oru"), LATER)
    assert {visit: told(seen.charts[visit].results) for visit in ("V01A", "V01B")} == {
        "V01A": {"Potassium": "4.1 mmol/L"},
        "V01B": {"Potassium": "7.2 mmol/L"},
    }


async def test_02_the_lines_of_a_report_are_one_report_in_their_order(field: Field) -> None:
    seen = await field.sees("02-report-lines-one-obx3")
    (report,) = seen.charts["V02"].results
    assert report.values == ["FINDINGS: no pneumothorax.", "IMPRESSION: right lower lobe pneumonia."]


async def test_04_readings_that_differ_in_a_component_of_obx_4_are_three(field: Field) -> None:
    seen = await field.sees("04-obx4-grouper")
    assert [one.values for one in seen.charts["V04"].results] == [["Condition 1"], ["Condition 2"], ["Condition 3"]]


async def test_05_what_has_only_a_text_or_only_an_alternate_keeps_its_name(field: Field) -> None:
    seen = await field.sees("05-obx3-text-or-alternate-only")
    assert told(seen.charts["V05"].results) == {
        "Sodium": "140 mmol/L",
        "Potassium": "4.0 mmol/L",
        "Chloride": "101 mmol/L",
    }


async def test_07_two_panels_below_one_accession_number_are_two_readings(field: Field) -> None:
    seen = await field.sees("07-one-accession-two-panels")
    readings = [(one.service.text, one.title, one.value) for one in seen.charts["V07"].results]
    assert readings == [("Serum", "Glucose", "5.2"), ("CSF", "Glucose", "3.1")]


async def test_08_one_number_of_two_systems_names_two_documents(field: Field) -> None:
    seen = await field.sees("08-document-numbers-of-two-systems")
    first, second = seen.charts["V08"].documents
    assert (first.type.code, first.status, first.text) == ("C0037", "signed", "text of the note")
    assert (second.type.code, second.status, second.text) == ("NURS", "signed", "nursing note")
    assert "V08 R02" not in seen.findings


async def test_09_a_change_of_status_signs_the_document(field: Field) -> None:
    seen = await field.sees("09-signed-by-T04")
    (note,) = seen.charts["V09"].documents
    assert note.signed is not None and note.signed.at == on(2, 9, 59)
    assert seen.findings >= {"V09 R01"} and "V09 R02" not in seen.findings, "the clock ran, and the note was signed"


async def test_11_who_is_not_transferred_after_all_lies_where_he_lay(field: Field) -> None:
    before = await field.told(admission("11"), *sent("11-cancelled-transfer-A12")[:1], LATER)
    assert before.charts["V11"].location.ward == "W9"
    seen = await field.sees("11-cancelled-transfer-A12")
    assert seen.charts["V11"].location.ward == "W1"


async def test_12_an_emergency_that_becomes_an_inpatient_is_admitted_then(field: Field) -> None:
    seen = await field.told(*sent("12-outpatient-becomes-inpatient-A06"), LATER)
    stay = seen.charts["V12"]
    assert (stay.status, stay.patient_class, stay.location.ward) == ("admitted", "inpatient", "W3")
    assert stay.admitted is not None and stay.admitted.at == on(2, 8, 40)
    assert "V12 R02" in seen.findings


async def test_13_what_is_for_training_makes_no_chart_and_says_why(field: Field) -> None:
    seen = await field.told(*sent("13-training-message"), LATER)
    assert "V13" not in seen.charts and seen.findings == set()
    assert seen.messages["M13"].status == "not_production"


async def test_13_what_is_for_training_counts_where_the_connector_takes_it(field: Field) -> None:
    seen = await field.told(*sent("13-training-message"), LATER, processing_ids=["P", "T"])
    assert seen.charts["V13"].status == "admitted" and "V13 R02" in seen.findings


async def test_14_a_unit_whose_caret_nobody_escaped_is_whole(field: Field) -> None:
    seen = await field.sees("14-unit-with-caret")
    assert told(seen.charts["V14"].results) == {"WBC": "9.8 10^9/L"}


async def test_16_two_tests_below_one_order_are_two_orders(field: Field) -> None:
    seen = await field.sees("16-one-orc-two-obr")
    assert [one.title for one in seen.charts["V16"].orders] == ["Urinalysis", "Blood count"]


async def test_17_delimiters_that_nobody_needs_may_be_left_out(field: Field) -> None:
    seen = await field.told(*sent("17-msh2-short"), LATER)
    assert seen.answers[0] == "AA" and seen.charts["V17"].status == "admitted"


async def test_20_a_laboratory_s_bare_numbers_are_the_hospital_s_where_the_connector_says_so(field: Field) -> None:
    seen = await field.sees("20-authority-left-out-by-the-lab", authority="HOSP")
    assert told(seen.charts["V20"].results) == {"K": "7.0 mmol/L"} and seen.waiting == []


async def test_20_a_laboratory_s_bare_numbers_are_work_for_a_person_where_nobody_says_whose_they_are(
    field: Field,
) -> None:
    seen = await field.sees("20-authority-left-out-by-the-lab")
    assert seen.charts["V20"].visit.authority == "HOSP" and seen.charts["V20"].results == []
    assert seen.charts.keys() == {"V20", "VCLOCK"} and seen.stays == 2, "no ghost stay"
    assert seen.waiting == ["visit_not_registered"]


async def test_21_what_his_and_laboratory_send_to_two_ports_is_one_chart(field: Field) -> None:
    later = adt("A04", "20260303180000", "PCLOCK", "VCLOCK", "1|O|W1^101^1")
    told_ = (admission("21", ""), *sent("21-his-and-lis-on-two-ports"), later)
    seen = await field.told(*told_, connectors=[HIS, LIS], authority="HOSP")
    assert seen.stays == 2 and told(seen.charts["V21"].results) == {"K": "7.0 mmol/L"}
    assert {"V21 R01", "V21 R02"} <= seen.findings


async def test_21_without_a_word_whose_they_are_two_ports_bring_no_ghost_stay(field: Field) -> None:
    seen = await field.told(admission("21", ""), *sent("21-his-and-lis-on-two-ports"), LATER, connectors=[HIS, LIS])
    assert seen.stays == 2 and seen.charts["V21"].results == [] and seen.waiting == ["visit_not_registered"]


async def test_25_a_local_code_with_loinc_beside_it_is_a_vital_sign(field: Field) -> None:
    seen = await field.sees("25-loinc-in-the-alternate")
    (temperature,) = seen.charts["V25"].vitals
    assert temperature.item.among({"8310-5"}) and temperature.item.among({"T01"}) and temperature.value == "82.5"
    assert "V25 R27" in seen.findings


async def test_26_a_reading_without_a_time_has_that_of_its_report(field: Field) -> None:
    seen = await field.sees("26-time-from-obr7")
    (temperature,) = seen.charts["V26"].vitals
    assert temperature.time is not None and temperature.time.at == on(2, 8, 45)


async def test_27_a_backslash_that_begins_no_escape_stays(field: Field) -> None:
    seen = await field.sees("27-lone-backslash")
    (note,) = seen.charts["V27"].documents
    assert note.text == "BP 120\\80.\nSecond line.\nA & B"


async def test_28_line_ends_before_the_header_are_skipped_and_flagged(field: Field) -> None:
    seen = await field.told(*sent("28-leading-line-end"), LATER)
    assert seen.answers[0] == "AA" and seen.charts["V28"].status == "admitted"
    assert seen.messages["C00062"].flags != []


async def test_30_blanks_behind_the_type_are_left_out_and_flagged(field: Field) -> None:
    seen = await field.told(*sent("30-type-with-blank"), LATER)
    assert seen.charts["V30"].status == "admitted" and seen.messages["C00065"].status == "mapped"
    assert seen.messages["C00065"].flags != []


async def test_32_two_operations_of_one_day_are_two(field: Field) -> None:
    seen = await field.sees("32-two-operations-one-day")
    procedures = seen.charts["V32"].procedures
    assert [one.title for one in procedures] == ["Appendectomy", "Laparotomy"]
    assert all(one.operation for one in procedures)


async def test_34_a_stay_whose_admission_is_sent_again_at_night_stays_discharged(field: Field) -> None:
    seen = await field.sees("34-nightly-resend-after-discharge")
    stay = seen.charts["V34"]
    assert stay.status == "discharged" and stay.discharged is not None and stay.discharged.at == on(3, 10)
    assert seen.answers == ["AA"] * 4
