"""What of the event contract a profile says, and what of its messages it leaves."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hisbus import Raw
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping
from hisbus_mapping.gaps import Contract, Gaps

HEADER = r"MSH|^~\&|LIS|HOSP|HISBUS|QC|20260302100000||ORU^R01|1|P|2.5"
REPORT = (
    HEADER,
    "PID|1||P1^^^HOSP^MR",
    "PV1|1|I|||||||||||||||||V1^^^HOSP",
    "OBR|1||N1^LIS|K^Potassium",
    "OBX|1|NM|K^Potassium||4.1|mmol/L|||||F||||LAB",
    "OBX|2|NM|NA^Sodium||140||||||F",
    "ZLB|1",
)


@pytest.fixture
def look(tmp_path: Path) -> Any:
    def looked(over: str, *messages: tuple[str, ...]) -> Gaps:
        site = tmp_path / "site.toml"
        site.write_text(over)
        mapping = Mapping(Hl7v2Connector({"name": "lab", "type": "hl7v2", "timezone": "UTC"}), site)
        gaps = Gaps(mapping.profile)
        for lines in messages:
            raw = Raw("m", "\r".join(lines).encode(), datetime(2026, 3, 31, tzinfo=UTC))
            gaps.add(mapping.translate(raw))
        return gaps

    return looked


def by_name(gaps: Gaps) -> dict[str, Contract]:
    return {one.name: one for one in gaps.contract()}


def test_each_field_of_the_contract_is_mapped_constant_missing_or_never_seen(look: Any) -> None:
    over = "[facts.charges]\noff = true\n[facts.documents.data]\ncompletion = { value = 'LA' }\n"
    known = by_name(look(over, REPORT))
    assert known["visit"] == ("visit", "mapped", 1, 1)
    assert known["stay.patient_class"] == ("stay.patient_class", "mapped", 1, 1)
    assert known["report.readings.unit"] == ("report.readings.unit", "mapped", 1, 2)
    assert known["report.readings.notes"] == ("report.readings.notes", "never seen", 0, 2)
    assert known["document.completion"] == ("document.completion", "constant", 0, 0)
    assert known["document.action"].state == "constant"
    assert known["document.sections.text"] == ("document.sections.text", "never seen", 0, 0)
    assert known["diagnoses.items.suspected"].state == "missing"
    assert known["charge"].state == "missing" and "charge.code" not in known
    assert [name for name in known if name.endswith(".deleted")] == ["diagnoses.items.deleted", "procedure.deleted"]
    assert not [name for name in known if name.startswith("due") or name.endswith(".body")]


def test_each_place_of_the_source_is_read_or_not_with_how_often_it_carries_a_value(look: Any) -> None:
    places = {one.place: tuple(one)[1:] for one in look("", REPORT, REPORT).source()}
    assert places["OBX-5"] == (2, 4, 0)
    assert places["OBX-15"] == (2, 2, 2)
    assert places["ZLB-1"] == (2, 2, 2)
    assert list(places)[:2] == ["OBX-15", "ZLB-1"], "what is left stands first"


def test_numbers_of_visits_are_counted_by_who_gave_them(look: Any) -> None:
    bare = tuple(line.replace("V1^^^HOSP", "V1") for line in REPORT)
    assert look("", REPORT, bare, bare).authorities == {"HOSP": 1, "lab": 2}
