"""Two feeds as hospitals have them, read by the files that ``connectors/README.md`` shows, without Python."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.field.site import Field, Seen, sent
from tests.test_readme import blocks

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL, US = (one for one in blocks("connectors/README.md", "toml") if one.startswith("# our-his.toml"))
CHINA = ZoneInfo("Asia/Shanghai")
NEXT_DAY = rb"""MSH|^~\&|HIS|LOCAL|HISBUS|QC|20261129180000+0800||ADT^A04|L4|P|2.4||||||UNICODE UTF-8
EVN|A04|20261129180000+0800
PID|1||LP2^^^HOSP^PATNO
PV1|1|O|||||||||||||||||LV2|||||||||||||||||||||||||||||||LV2""".replace(b"\n", b"\r")


def laid_over(folder: Path, text: str) -> Path:
    """Return a site's file with this text."""
    path = folder / "our-his.toml"
    path.write_text(text, encoding="utf-8")
    return path


async def local(field: Field, folder: Path) -> Seen:
    return await field.told(*sent("local"), NEXT_DAY, profile=laid_over(folder, LOCAL), authority="HOSP")


async def test_what_ships_cannot_read_the_local_feed(field: Field) -> None:
    """Else nothing below would tell that the file does."""
    seen = await field.told(*sent("local"), NEXT_DAY, authority="HOSP")
    assert "LV1" not in seen.charts and seen.findings == set()


async def test_the_local_stay_is_admitted_as_an_inpatient_to_its_ward(field: Field, tmp_path: Path) -> None:
    stay = (await local(field, tmp_path)).charts["LV1"]
    assert (stay.status, stay.patient_class, stay.location.ward) == ("admitted", "inpatient", "W9")
    assert stay.admitted is not None and stay.admitted.at == datetime(2026, 11, 28, 8, tzinfo=CHINA).astimezone(UTC)
    assert stay.visit.authority == "HOSP" and stay.patient is not None and stay.patient.id.number == "LP1"


async def test_the_local_record_is_an_admission_record_that_was_signed_in_time(field: Field, tmp_path: Path) -> None:
    seen = await local(field, tmp_path)
    (record,) = seen.charts["LV1"].documents
    assert record.type.code == "C0034" and record.signed is not None
    assert record.signed.at == datetime(2026, 11, 28, 8, 30, tzinfo=CHINA).astimezone(UTC)
    assert [(one.name, one.title, one.text) for one in record.sections] == [
        ("CC", "主诉", "腹痛3天"),
        ("HPI", "现病史", "患者3天前出现腹痛"),
    ]
    assert "LV1 R02" in seen.findings and "LV1 R01" not in seen.findings


async def test_the_local_vital_signs_are_two_that_cannot_be(field: Field, tmp_path: Path) -> None:
    seen = await local(field, tmp_path)
    read = [(one.item.code, one.item.among({"TW", "MB"}), one.value, one.unit) for one in seen.charts["LV1"].vitals]
    assert read == [("8310-5", "TW", "42.9", "Cel"), ("8867-4", "MB", "500", "/min")]
    times = {one.time.at for one in seen.charts["LV1"].vitals if one.time is not None}
    assert times == {datetime(2026, 11, 28, 9, tzinfo=CHINA).astimezone(UTC)}
    assert seen.open.count("LV1 R27") == 2 and seen.charts["LV1"].unknown == []


async def test_the_american_emergency_becomes_an_inpatient_under_his_record_number(
    field: Field, tmp_path: Path
) -> None:
    seen = await field.told(*sent("us"), profile=laid_over(tmp_path, US))
    stay = seen.charts["USV"]
    assert (stay.status, stay.patient_class) == ("admitted", "inpatient")
    east = timezone(timedelta(hours=-5))
    assert stay.admitted is not None and stay.admitted.local() == datetime(2026, 11, 25, 12, tzinfo=east)
    assert stay.patient is not None and stay.patient.id.number == "US1"


@pytest.mark.parametrize("text", [US, ""], ids=["its file", "what ships"])
async def test_a_social_security_number_is_not_the_patient_s_where_another_stands_beside_it(
    field: Field, tmp_path: Path, text: str
) -> None:
    turned = [
        body.replace(b"US1^^^HOSP^MRN~999-11-2222^^^SSA^SS", b"999-11-2222^^^SSA^SS~US1^^^HOSP^MRN")
        for body in sent("us")
    ]
    seen = await field.told(*turned, profile=laid_over(tmp_path, text))
    assert seen.charts["USV"].patient is not None and seen.charts["USV"].patient.id.number == "US1"


async def test_with_its_file_a_social_security_number_alone_is_nobody_s(field: Field, tmp_path: Path) -> None:
    alone = [body.replace(b"US1^^^HOSP^MRN~", b"") for body in sent("us")]
    seen = await field.told(*alone, profile=laid_over(tmp_path, US))
    assert seen.charts["USV"].patient is None
    assert {flag for one in seen.messages.values() for flag in one.flags} == {"no_patient_id"}
