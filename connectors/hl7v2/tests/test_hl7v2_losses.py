"""What a message carries is counted by field and repetition, and so is what nobody reads of it."""

from typing import Any

import pytest

from hisbus import Translation
from hisbus_mapping import losses_of
from hisbus_mapping.losses import OTHERS, PLACES

ADMITTED = (
    r"MSH|^~\&|HIS|HOSP|HISBUS|QC|20260302100000||ADT^A01|1|P|2.5",
    "EVN||20260302100000",
    "PID|1||P1^^^HOSP^MR~C1^^^GOV^NI||Zhang^San~Zhang^Shan||19600101|M",
    "PV1|1|I|W1||||||||||||||||V1^^^HOSP",
)
REPORT = (
    r"MSH|^~\&|LIS|HOSP|HISBUS|QC|20260302100000||ORU^R01|1|P|2.5",
    "PID|1||P1^^^HOSP^MR",
    "OBR|1||N1^LIS|K^Potassium",
    "OBX|1|NM|K^Potassium||4.1|mmol/L|||||F|||20260302083000|||M17~M18",
    "OBX|2|NM|K^Potassium||4.2|mmol/L|||||F||||LAB",
)


def unread(translation: Translation) -> dict[str, int]:
    return dict(losses_of(translation).unread)


def test_a_repetition_of_which_only_the_first_is_read_is_left(translate: Any) -> None:
    assert unread(translate(*ADMITTED)) == {"PID-5": 1}


def test_what_came_is_what_was_read_and_what_was_left(translate: Any) -> None:
    found = losses_of(translate(*ADMITTED, "ZPV|a||b~c"))
    assert found.parts == 5
    assert found.unread == {"PID-5": 1, "ZPV-1": 1, "ZPV-3": 2}
    # EVN-2; two of PID-3, two of PID-5, PID-7 and 8; PV1-2, 3 and 19; ZPV as above
    assert (found.values, found.read) == (1 + 6 + 3 + 3, 1 + 5 + 3)


def test_what_is_read_of_one_observation_is_left_of_another_only_where_it_is(translate: Any) -> None:
    found = losses_of(translate(*REPORT))
    assert found.unread == {"OBX-17": 2, "OBX-15": 1}
    assert found.entries == {"report": 1, "readings": 2}
    assert found.collided == 1, "both are of one identity"


def test_a_second_segment_is_left_where_only_the_first_is_read(translate: Any) -> None:
    again = unread(translate(*ADMITTED, "PV1|2|O|W2"))
    assert again == {"PID-5": 1, "PV1-2": 1, "PV1-3": 1}


def test_a_message_that_nothing_reads_is_left_whole_but_for_its_header(translate: Any) -> None:
    said = translate(ADMITTED[0].replace("ADT^A01", "SIU^S12"), "SCH|1|2")
    assert not said.mapped
    assert unread(said) == {"SCH-1": 1, "SCH-2": 1}


def test_a_line_that_is_no_segment_has_no_name_that_may_be_a_patient_s(translate: Any) -> None:
    assert unread(translate(*ADMITTED, "Li Si, 13912345678|x"))["?"] == 1


def test_what_is_withheld_was_not_looked_into(translate: Any) -> None:
    found = losses_of(translate(ADMITTED[0].replace("|P|", "|T|"), *ADMITTED[1:]))
    assert found.values == 0


def test_a_message_of_endless_fields_names_so_many_and_counts_the_others(translate: Any) -> None:
    found = losses_of(translate(*ADMITTED, "ZZZ|" + "|".join("x" * 1000)))
    assert len(found.unread) == PLACES + 1
    assert sum(found.unread.values()) == 1001
    assert found.unread[OTHERS] == 1001 - PLACES


@pytest.mark.parametrize("name", ["N1", "N2"])
def test_entries_of_different_identity_do_not_collide(translate: Any, name: str) -> None:
    other = [*REPORT, f"OBR|2||{name}^LIS|NA^Sodium", REPORT[3].replace("K^Potassium", "NA^Sodium")]
    assert losses_of(translate(*other)).collided == 1
