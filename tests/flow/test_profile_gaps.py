"""What profiles leave, as an operator asks for it: over a capture, over what is stored, and on the page."""

from pathlib import Path
from typing import Any

import pytest
from tests.flow.test_commands import hisbus as hisbus

MESSAGE = (
    b"MSH|^~\\&|LIS|HOSP|HISBUS|QC|20260302100000||ORU^R01|%d|P|2.5\rPID|1||P1^^^HOSP^MR\r"
    b"OBR|1||N1^LIS|K^Potassium\rOBX|1|NM|K^Potassium||4.1|mmol/L|||||F||||SECRET\rZLB|1\r"
)


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """The command is given the embedded files."""
    return embedded


async def test_what_profiles_leave_is_told_by_field_and_never_by_value(
    hospital: Any, hisbus: Any, tmp_path: Path
) -> None:
    capture = tmp_path / "capture.hl7"
    capture.write_bytes(b"\n\n".join(MESSAGE % number for number in (1, 2, 3)))
    both = tmp_path / "both.hl7"
    visits = (b"V1", b"V1^^^HOSP")
    both.write_bytes(b"\n\n".join(MESSAGE % 1 + b"PV1|1|I|" + b"|" * 16 + visit + b"\r" for visit in visits))
    site = tmp_path / "our-his.toml"
    site.write_text('[facts.results.data.readings]\nnotes = { every = "OBX-15" }\n')
    async with hospital() as bus:
        await bus.send([MESSAGE % 1, MESSAGE % 2])
        await bus.idle()
        message = (await bus.everything("messages"))[0]["id"]
        losses = (await bus.get(f"messages/{message}"))["losses"]
        assert losses["unread"] == {"OBX-15": 1, "ZLB-1": 1}
        assert losses["entries"] == {"report": 1, "readings": 1}
        (his,) = (await bus.get("losses"))["connectors"]
        assert [(one["place"], one["messages"]) for one in his["unread"]] == [("OBX-15", 2), ("ZLB-1", 2)]

        for arguments, words in (
            (("losses",), "OBX-15 2 2"),
            (("losses", "his"), "OBX-15 2 2"),
            (("gaps", "his"), "OBX-15 not read 2 2 2"),
            (("gaps", "his", str(capture)), "OBX-15 not read 3 3 3"),
            (("gaps", str(site), str(capture)), "OBX-15 read 3 3 0"),
            (("gaps", "his", str(both)), "name who gave their number and some do not (HOSP, his)"),
            (("gaps", "his", "--from", "2999-01-01"), "0 messages were read."),
        ):
            code, said, complaint = await hisbus("profile", *arguments)
            assert (code, complaint) == (0, ""), arguments
            assert words in " ".join(said.replace("│", " ").split()), arguments
            assert "SECRET" not in said and "4.1" not in said
        code, _, complaint = await hisbus("profile", "gaps", "nobody")
        assert (code, "neither a connector nor a profile's file" in complaint) == (2, True)
