"""The table of ``connectors/README.md``: what a HIS does differently, what is written for it, and what that does."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.test_readme import text_of

from hisbus import Raw, Translation
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_mapping import Mapping as Meaning
from hisbus_schemas import Fact

RECEIVED = datetime(2026, 11, 29, tzinfo=UTC)
ROW = re.compile(r"^\| (?P<does>[^|]+) \| (?P<written>`.*`) \|$", re.MULTILINE)
OURS, CONNECTOR = "our-his.toml", "the connector's table"


def rows() -> Iterator[tuple[str, str, str]]:
    """Return what a HIS does, what is written, and where."""
    section = text_of("connectors/README.md").partition("\n## My HIS does it differently\n")[2].partition("\n## ")[0]
    for table in section.split("| my HIS ...")[1:]:
        where = OURS if OURS in table.splitlines()[0] else CONNECTOR
        for row in ROW.finditer(table):
            yield row["does"], "\n".join(re.findall("`([^`]+)`", row["written"])), where


class Example(NamedTuple):
    """A message of such a HIS, and what must be read in it."""

    message: bytes
    read: Callable[[Fact], Any]
    right: Any
    fact: str = ""
    """The kind of the fact that is looked at; empty: the first."""


def segment(name: str, **fields: str) -> str:
    """Return a segment by its fields, ``_3="..."``."""
    given = {int(key[1:]): value for key, value in fields.items()}
    last = max(given, default=0)
    return "|".join([name, *(given.get(number, "") for number in range(1, last + 1))])


def message(type: str, *own: str, pid: Mapping[str, str] = {}, **pv1: str) -> bytes:
    """Return a message of a type with its PID, its PV1 and its own segments."""
    head = rf"MSH|^~\&|HIS|HOSP|HISBUS|QC|20261128080000+0800||{type}|1|P|2.5||||||UNICODE UTF-8"
    person = {"_3": "P1^^^HOSP^MR", "_5": "Zhang^San", **pid}
    stay = {"_2": "I", "_3": "W1^101^1", "_19": "V1^^^HOSP", **pv1}
    parts = [head, "EVN||20261128080000+0800", segment("PID", **person), segment("PV1", **stay), *own]
    return "\r".join(parts).encode()


def document(type: str, *own: str, **txa: str) -> bytes:
    """Return a document that was signed."""
    said = {"_2": type, "_9": "D1^Li^Wei", "_12": "7", "_17": "LA", "_22": "D1" + "^" * 14 + "20261128080000+0800"}
    return message("MDM^T02", segment("TXA", **{**said, **txa}), *own)


def result(item: str, *, unit: str = "", status: str = "F") -> bytes:
    """Return a result with one reading."""
    obr = segment("OBR", _3="L1", _4="S^Service^L", _25=status)
    return message("ORU^R01", obr, segment("OBX", _1="1", _2="NM", _3=item, _5="39", _6=unit, _11=status))


def order(orc: str, service: str = "CBC", **obr: str) -> bytes:
    """Return an order."""
    return message("ORM^O01", segment("ORC", _1=orc, _2="N1"), segment("OBR", _4=service, **obr))


def hour(fact: Fact) -> str:
    """Return when it happened, in UTC."""
    return f"{fact.time.at:%H:%M}"


EXAMPLES = {
    "writes the stay's number in PV1-50": Example(
        message("ADT^A01", _19="", _50="V7^^^HOSP"), lambda fact: fact.visit and fact.visit.number, "V7"
    ),
    "writes it in PV1-19, and in ZVN-2 where that is empty": Example(
        message("ADT^A01", "ZVN|1|V8", _19=""), lambda fact: fact.visit and fact.visit.number, "V8"
    ),
    "uses a stay's number again and counts its stays in ZPV-3": Example(
        message("ADT^A01", "ZPV|1||2"), lambda fact: (fact.visit.number, fact.visit.counter), ("V1", "2")
    ),
    "leaves out who gave a number": Example(
        message("ADT^A01", pid={"_3": "P1"}, _19="V1"),
        lambda fact: (fact.patient.authority, fact.visit.authority),
        ("HOSP", "HOSP"),
    ),
    "calls the patient's own number `PATNO`, and others stand before it": Example(
        message("ADT^A01", pid={"_3": "77^^^CLUB^CLUBNO~P9^^^HOSP^PATNO"}), lambda fact: fact.patient.number, "P9"
    ),
    "writes the identity card in PID-19": Example(
        message("ADT^A01", pid={"_19": "110101197001011237"}), lambda fact: fact.demographics.id_card,
        "110101197001011237",
    ),
    "writes the whole name in PID-5.1, and the given name again": Example(
        message("ADT^A01", pid={"_5": "张三^三"}), lambda fact: fact.demographics.name, "张三"
    ),
    "writes the sex as 男 and 女": Example(
        message("ADT^A01", pid={"_8": "女"}), lambda fact: fact.demographics.sex, "female"
    ),
    "calls inpatients `IP`": Example(message("ADT^A01", _2="IP"), lambda fact: fact.stay.patient_class, "inpatient"),
    "writes the class in PV1-18": Example(
        message("ADT^A01", _2="1", _18="I"), lambda fact: fact.stay.patient_class, "inpatient"
    ),
    "writes the ward in ZBX-3": Example(
        message("ADT^A01", "ZBX|1|x|W9", _3=""), lambda fact: fact.stay.location and fact.stay.location.ward, "W9"
    ),
    "writes the department behind the bed, in PV1-3.4": Example(
        message("ADT^A01", _3="W1^101^1^SURG"), lambda fact: fact.stay.department, "SURG"
    ),
    "names the doctor in charge in PV1-17": Example(
        message("ADT^A01", _17="D9^Wang^Fang"), lambda fact: fact.stay.attending and fact.stay.attending.id, "D9"
    ),
    "writes the time of admission in ZIN-1 where PV1-44 is empty": Example(
        message("ADT^A01", "ZIN|20261128073000+0800"),
        lambda fact: fact.stay.admitted and f"{fact.stay.admitted.local():%H:%M}",
        "07:30",
    ),
    "says `5` in PV1-36 of who died": Example(
        message("ADT^A03", _36="5"), lambda fact: fact.stay.disposition, "died"
    ),
    "writes times like 2026-11-28 08:00:00": Example(
        message("ADT^A01", _44="2026-11-28 07:40:00"),
        lambda fact: fact.stay.admitted and f"{fact.stay.admitted.local():%H:%M}",
        "07:40",
    ),
    "writes times like 2026/11/28 9:05": Example(
        message("ADT^A01", _44="2026/11/28 9:05"),
        lambda fact: fact.stay.admitted and f"{fact.stay.admitted.local():%H:%M}",
        "09:05",
    ),
    "writes times without offset, as its clocks show them": Example(
        message("ADT^A01").replace(b"+0800", b""), hour, "00:00"
    ),
    "says when it happened in ZEV-1": Example(message("ADT^A01", "ZEV|20261128060000+0800"), hour, "22:00"),
    "admits by A05": Example(message("ADT^A05"), lambda fact: fact.kind, "encounter.admitted"),
    "changes stays by A31, not only persons": Example(message("ADT^A31"), lambda fact: fact.kind, "encounter.updated"),
    "sends updates as a trigger of its own, `Z08`": Example(
        message("ADT^Z08"), lambda fact: fact.kind, "encounter.updated"
    ),
    "calls the admission record `RYJL`": Example(document("RYJL"), lambda fact: fact.data.type.code, "C0034"),
    "calls types of documents by LOINC": Example(
        document("34117-2^First note^LN"), lambda fact: fact.data.type.code, "C0037"
    ),
    "calls the front page `BASY`": Example(
        document("BASY", "OBX|1|ST|FP.AGE||56"), lambda fact: (fact.kind, fact.data.fields, fact.data.sections),
        ("frontpage.submitted", {"FP.AGE": "56"}, []),
    ),
    "says `S` in TXA-17 of what is signed": Example(
        document("C0037", _17="S"), lambda fact: fact.data.signed and f"{fact.data.signed.local():%H:%M}", "08:00"
    ),
    "says when a document was signed in ZDS-2": Example(
        document("C0037", "ZDS||20261128075900+0800"), lambda fact: f"{fact.data.signed.local():%H:%M}", "07:59"
    ),
    "numbers documents anew in each stay": Example(document("C0037"), lambda fact: fact.data.number, "V1/7"),
    "calls a section `ZS`": Example(
        document("C0034", "OBX|1|TX|ZS^主诉||腹痛3天"), lambda fact: [one.name for one in fact.data.sections], ["CC"]
    ),
    "calls the temperature `TW`": Example(
        result("TW^体温^L"), lambda fact: (fact.kind, fact.data.readings[0].item.code), ("vitals.recorded", "8310-5")
    ),
    "names the temperature by its text alone, 体温": Example(
        result("^体温"), lambda fact: (fact.kind, fact.data.readings[0].item.code), ("vitals.recorded", "8310-5")
    ),
    "writes units like ℃": Example(
        result("8310-5^Temp^LN", unit="℃"), lambda fact: fact.data.readings[0].unit, "Cel"
    ),
    "says `已审核` in OBR-25 and OBX-11 of what is final": Example(
        result("K^Potassium^L", status="已审核"),
        lambda fact: (fact.data.status, fact.data.readings[0].status),
        ("final", "final"),
    ),
    "says `ADD` in ORC-1 of a new order": Example(order("ADD"), lambda fact: fact.kind, "order.placed"),
    "says `JY` in OBR-24 of what the laboratory does": Example(
        order("NW", _24="JY"), lambda fact: fact.data.order_class, "laboratory"
    ),
    "orders consultations as service `HZ`": Example(
        order("NW", "HZ^会诊"), lambda fact: fact.kind, "consult.requested"
    ),
    "says `CY` in DG1-6 of a final diagnosis": Example(
        message("ADT^A08", "DG1|1||K35.9^Appendicitis^I10|||CY"), lambda fact: fact.data.status, "final",
        "diagnosis.recorded",
    ),
    "says `Z` in DG1-15 of the principal diagnosis": Example(
        message("ADT^A08", segment("DG1", _1="1", _3="K35.9", _6="F", _15="Z")), lambda fact: fact.data.items[0].rank,
        1, "diagnosis.recorded",
    ),
    "says `SS` in PR1-6 of an operation": Example(
        message("ADT^A08", "PR1|1||47.09^Appendectomy^I9||20261128|SS|60"), lambda fact: fact.data.operation, True,
        "procedure.ended",
    ),
    "sends charges that nobody shall keep here": Example(
        message("DFT^P03", segment("FT1", _2="1", _4="20261128", _7="X")), lambda fact: fact and fact.kind, None,
        "charge.posted",
    ),
}  # fmt: skip


def read(body: bytes, **table: Any) -> Translation:
    """Return what a message means to a connector."""
    return Meaning(Hl7v2Connector({"name": "his", "type": "hl7v2", **table})).translate(Raw("m", body, RECEIVED))


def looked_at(example: Example, translation: Translation) -> Any:
    """Return what an example looks at; None where there is no such fact."""
    found = [one for one in translation.facts if example.fact in ("", one.kind)]
    try:
        return example.read(found[0])
    except (IndexError, AttributeError):  # without the row there may be no such fact, or it may lack the part
        return None


@pytest.mark.parametrize("does, written, where", [*rows()], ids=lambda text: text[:50])
def test_what_is_written_does_what_the_row_says(does: str, written: str, where: str, tmp_path: Path) -> None:
    example = EXAMPLES[does]
    assert looked_at(example, read(example.message)) != example.right, "it ships so"
    if where == OURS:
        (tmp_path / "our-his.toml").write_text(written, encoding="utf-8")
        table: dict[str, Any] = {"profile": tmp_path / "our-his.toml"}
    else:
        table = tomllib.loads(written)
    translation = read(example.message, **table)
    assert looked_at(example, translation) == example.right
    assert not [flag for flag in translation.flags if flag.startswith(("unknown_code", "bad_time"))]


def test_the_table_has_each_row_that_is_tried_and_no_other() -> None:
    assert sorted(does for does, _, _ in rows()) == sorted(EXAMPLES)
    assert len(EXAMPLES) >= 25
