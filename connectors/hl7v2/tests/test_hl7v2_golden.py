"""Real messages and the events they must make, each read by hand against what the fields mean.

``golden/NAME.json`` holds the facts of the corpus message NAME without the segments that are merely kept; where the
corpus has no such message, ``golden/NAME.hl7`` is one, written by hand.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from hisbus import Translation
from hisbus_hl7v2.identity import message_id
from hisbus_hl7v2.message import read_header

GOLDEN = Path(__file__).parent / "golden"

pytestmark = pytest.mark.corpora


def summary(translation: Translation) -> dict[str, Any]:
    return {
        "mapped": translation.mapped,
        "unmapped": translation.unmapped,
        "flags": translation.flags,
        "facts": [
            fact.model_dump(mode="json", exclude={"segments"}, exclude_defaults=True) for fact in translation.facts
        ],
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_a_real_message_makes_exactly_these_events(name: str, corpus: Path, translate: Any) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    own = GOLDEN / f"{name}.hl7"
    body = own.read_bytes().replace(b"\n", b"\r") if own.exists() else (corpus / f"{name}.hl7").read_bytes()
    assert summary(translate.read(body)) == expected


def test_every_kind_of_message_that_is_mapped_has_its_golden_file() -> None:
    kinds = {fact["kind"] for path in GOLDEN.glob("*.json") for fact in json.loads(path.read_text("utf-8"))["facts"]}
    assert kinds == {
        "encounter.admitted",
        "encounter.transferred",
        "encounter.discharged",
        "encounter.registered",
        "encounter.updated",
        "encounter.cancelled",
        "encounter.discharge_cancelled",
        "patient.merged",
        "diagnosis.recorded",
        "procedure.ended",
        "result.reported",
        "document.filed",
        "document.amended",
        "document.withdrawn",
        "frontpage.submitted",
        "vitals.recorded",
        "patient.updated",
        "encounter.moved",
        "order.placed",
        "order.changed",
        "order.cancelled",
        "procedure.started",
        "charge.posted",
        "allergy.recorded",
        "medication.given",
    }


def test_every_real_message_is_understood_or_listed_as_unmapped(corpus: Path, translate: Any) -> None:
    messages = sorted(corpus.glob("*.hl7"))
    translations = [translate.read(path.read_bytes()) for path in messages]
    assert len(messages) == 62
    assert sum(translation.mapped for translation in translations) == 35
    assert all(bool(translation.facts) == translation.mapped for translation in translations)


def test_line_ends_change_no_event(corpus: Path, translate: Any) -> None:
    body = (corpus / "ADT-A01-01.hl7").read_bytes()
    assert b"\n" in body
    assert translate.read(body.replace(b"\n", b"\r")).facts == translate.read(body).facts


def test_real_messages_that_share_their_number_have_ids_of_their_own(corpus: Path) -> None:
    bodies = [path.read_bytes() for path in corpus.glob("*.hl7")]
    headers = [read_header(body, "utf-8") for body in bodies]
    assert len({(header.get(7), header.get(10)) for header in headers}) < 30
    assert len({message_id("his", body, header) for body, header in zip(bodies, headers, strict=True)}) == 62
