"""Codes that no table has: what people answer is gone by, by sender, and the message says what it looked up."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hisbus import LookedUp, Raw, Translation
from hisbus_mapping import NONE
from hisbus_schemas import Code

RECEIVED = datetime(2026, 3, 31, tzinfo=UTC)
CLASS = ("class", "IP")
NOTE = ("document", "PN")


def message(kind: str, *lines: str, sender: str = "EMR|HOSP", patient_class: str = "IP") -> bytes:
    head = [f"MSH|^~\\&|{sender}|HISBUS|QC|20260302083000||{kind}|1|P|2.5", "EVN||20260302083000"]
    return "\r".join([*head, "PID|1||P1^^^HOSP^MR", f"PV1|1|{patient_class}|W3", *lines]).encode()


ADMISSION = message("ADT^A01")
FILED = message("MDM^T02", "TXA|1|PN^Progress note^L|TX|||||||||N1", "OBX|1|TX|1^History||text", patient_class="I")


def read(translate: Any, body: bytes, answers: Any = None) -> Translation:
    said: Translation = translate.mapping.translate(Raw("id", body, RECEIVED), answers)
    return said


def test_what_is_looked_up_is_told_once_with_its_text_and_its_sender(translate: Any) -> None:
    said = read(translate, ADMISSION)
    assert said.looked_up == [LookedUp("class", "class", Code(code="IP"))]
    assert (said.sender, [one.item for one in said.facts[0].unknown]) == ("EMR^HOSP", ["class"])
    filed = read(translate, FILED)
    sent = Code(code="PN", text="Progress note", system="L")
    assert filed.looked_up == [LookedUp("document", "document:*", sent)]
    assert filed.facts[0].unknown[0].code == sent
    assert read(translate, message("ADT^A01", patient_class="I")).looked_up == []


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ({"": {CLASS: "inpatient"}}, "inpatient"),
        ({"EMR^HOSP": {CLASS: "emergency"}, "": {CLASS: "inpatient"}}, "emergency"),
        ({"LIS^HOSP": {CLASS: "inpatient"}}, None),
        ({"EMR^HOSP": {("sex", "IP"): "inpatient"}}, None),
    ],
)
def test_an_answer_is_of_its_sender_and_table_else_of_any(translate: Any, answers: Any, word: str | None) -> None:
    said = read(translate, ADMISSION, answers)
    assert said.facts[0].stay is not None and said.facts[0].stay.patient_class == word
    assert (said.looked_up[0].answer, bool(said.facts[0].unknown)) == (word or "", word is None)
    assert ("unknown_code.PV1-2" in said.flags) == (word is None)


def test_a_document_gets_our_word_and_keeps_what_was_sent(translate: Any) -> None:
    (fact,) = read(translate, FILED, {"": {NOTE: "C0037"}}).facts
    assert (fact.data.type.code, fact.data.type.alternate_code, fact.data.type.alternate_text) == (
        "C0037", "PN", "Progress note",
    )  # fmt: skip
    assert (fact.unknown, fact.flags) == ([], [])


def test_what_is_none_of_ours_is_left_as_it_is_and_hides_nothing(translate: Any) -> None:
    (filed,) = read(translate, FILED, {"": {NOTE: NONE}}).facts
    assert (filed.data.type.code, filed.unknown, filed.flags) == ("PN", [], [])
    (admitted,) = read(translate, ADMISSION, {"": {CLASS: NONE}}).facts
    assert admitted.stay is not None and admitted.stay.patient_class is None and admitted.unknown == []


def test_what_is_asked_and_may_be_answered_stands_in_the_profile(translate: Any) -> None:
    asks = translate.mapping.asks
    assert {table: ask.item for table, ask in asks.items()} == {"class": "class", "document": "document:*"}
    assert {"inpatient", NONE} <= set(asks["class"].words) and "" not in asks["class"].words
    assert {"C0001", "C0053", NONE} <= set(asks["document"].words)


@pytest.mark.parametrize(("sent", "sender"), [("|", ""), ("EMR|", "EMR^"), ("EMR^1.2^ISO|HOSP^9", "EMR^HOSP")])
def test_a_sender_is_application_and_facility(translate: Any, sent: str, sender: str) -> None:
    assert read(translate, message("ADT^A01", sender=sent)).sender == sender
