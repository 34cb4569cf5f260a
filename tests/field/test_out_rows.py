"""The table of ``connectors/README.md`` about write-backs: what a HIS wants, what is written, and what leaves."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.field.test_rows import ROW
from tests.test_readme import text_of

from hisbus import ConfigError
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.message import Message
from hisbus_hl7v2.writeback import document
from hisbus_mapping import Mapping as Meaning
from hisbus_mapping.testing import make_writeback
from hisbus_schemas import Code, NameParts

WANTED: Mapping[str, Mapping[str, str]] = {
    "another sender, in MSH-3 and MSH-4": {"MSH-3": "AI", "MSH-4": "HOSP"},
    "its own names in MSH-5 and MSH-6": {"MSH-5": "EMR", "MSH-6": "HOSP^2.16.156.1^ISO"},
    "`MDM^T02` in MSH-9, without the structure": {"MSH-9": "MDM^T02"},
    "version 2.4": {"MSH-12": "2.4"},
    "its own code `ZKTZ` for notices": {"TXA-2": "ZKTZ"},
    "its own code `RYJL` for the admission record": {"TXA-2": "RYJL"},
    "`1` and `2` for the sexes": {"PID-8": "1"},
    "its own class `IP` for inpatients": {"PV1-2": "IP"},
    "`PI` in PID-3.5, whatever it sent": {"PID-3": "P1^^^HOSP^PI"},
}
"""What must stand in the document, as it is written."""


def rows() -> Iterator[tuple[str, str]]:
    """Return what a HIS wants, and what is written."""
    table = text_of("connectors/README.md").partition("\n| my HIS wants of a write-back ...")[2].partition("\n\n")[0]
    for row in ROW.finditer(table):
        yield row["does"], "\n".join(re.findall("`([^`]+)`", row["written"]))


def leaves(document_type: Code, **table: Any) -> Message:
    """Return a write-back as it leaves through a connector."""
    meaning = Meaning(Hl7v2Connector({"name": "his", "type": "hl7v2", **table}))
    writeback = make_writeback(
        "his", number_type="MR", name_parts=NameParts(family="DUCK", given="DONALD"), patient_name="DUCK DONALD",
        birth_date=date(1934, 6, 9), sex="male", patient_class="inpatient", document=document_type,
    )  # fmt: skip
    return Message.read(document(meaning.leaving(writeback), "his", "utf-8", ZoneInfo("UTC")), "utf-8")


def field(message: Message, path: str) -> str:
    """Return a field as it is written."""
    name, number = path.split("-")
    return message.all(name)[0].raw(int(number))


@pytest.mark.parametrize("wants, written", [*rows()], ids=lambda text: text[:50])
def test_what_is_written_makes_the_document_leave_so(wants: str, written: str, tmp_path: Path) -> None:
    type = Code(code="C0034") if "admission record" in wants else Code()
    wanted = WANTED[wants]
    shipped = leaves(type)
    assert {path: field(shipped, path) for path in wanted} != wanted, "it ships so"
    (tmp_path / "our-his.toml").write_text(written, encoding="utf-8")
    sent = leaves(type, profile=tmp_path / "our-his.toml")
    assert {path: field(sent, path) for path in wanted} == wanted
    assert (field(sent, "PID-5"), field(sent, "TXA-17"), field(sent, "TXA-19")) == ("DUCK^DONALD", "PA", "UN")


def test_the_table_has_each_row_that_is_tried_and_no_other() -> None:
    assert sorted(wants for wants, _ in rows()) == sorted(WANTED)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('out.MSH-99 = "X"', "our-his.toml:1: out.MSH-99: no field of a write-back"),
        ('out.MSH-9 = "ORU^R01"', "our-his.toml:1: out.MSH-9: it is one of MDM^T02^MDM_T02, MDM^T02."),
        ('\nout.MSH-12 = "3"', "our-his.toml:2: out.MSH-12: it is one of 2.4, 2.5, 2.5.1."),
        ('out.MSH-3 = "A\\r"', "our-his.toml:1: out.MSH-3: it holds a character that cannot be seen."),
        ('out.TXA-2.from = "diagnosis"', "our-his.toml:1: out.TXA-2.from: Input should be"),
        ('out.TXA-2.word.QC = "X"', "our-his.toml:1: out.TXA-2.word: Extra inputs are not permitted."),
    ],
)
def test_what_no_write_back_can_say_is_refused_with_file_and_line(written: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "our-his.toml").write_text(written, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        leaves(Code(), profile=tmp_path / "our-his.toml")
    assert said in str(caught.value)


def test_how_write_backs_leave_is_no_part_of_what_messages_mean(tmp_path: Path) -> None:
    (tmp_path / "our-his.toml").write_text('out.MSH-4 = "HOSP"', encoding="utf-8")
    table = {"name": "his", "type": "hl7v2"}
    ours = Meaning(Hl7v2Connector({**table, "profile": tmp_path / "our-his.toml"}))
    assert ours.name == Meaning(Hl7v2Connector(table)).name, "nothing would be read again for it"
