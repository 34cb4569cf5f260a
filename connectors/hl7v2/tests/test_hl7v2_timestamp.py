"""HL7 times: precision and offset are kept; what is no time is none."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from hisbus_hl7v2.timestamp import moment, written

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "iso", "precision", "offset"),
    [
        ("2026", "2025-12-31T16:00:00+00:00", "year", 480),
        ("202603", "2026-02-28T16:00:00+00:00", "month", 480),
        ("20260302", "2026-03-01T16:00:00+00:00", "day", 480),
        ("2026030208", "2026-03-02T00:00:00+00:00", "hour", 480),
        ("202603020830", "2026-03-02T00:30:00+00:00", "minute", 480),
        ("20260302083015", "2026-03-02T00:30:15+00:00", "second", 480),
        ("20260302083015.25", "2026-03-02T00:30:15.250000+00:00", "second", 480),
        ("20260302083015.1234567-0130", "2026-03-02T10:00:15.123456+00:00", "second", -90),
        ("202603020830+0000", "2026-03-02T00:30:00+00:00".replace("00:30", "08:30"), "minute", 0),
        ("20260302+0530", "2026-03-01T18:30:00+00:00", "day", 330),
        (" 20260302 ", "2026-03-01T16:00:00+00:00", "day", 480),
    ],
)
def test_a_time_is_read_with_its_precision_and_offset(text: str, iso: str, precision: str, offset: int) -> None:
    read = moment(text, SHANGHAI)
    assert read is not None
    assert (read.at.isoformat(), read.precision, read.offset) == (iso, precision, offset)


@pytest.mark.parametrize(
    "text",
    ["", "202", "20261301", "20260230", "2026030224", "202603020860", "0000", "2026-03-02", "20260302083015+8",
     "20260302083015+1500", "20260302083015+0860", "2026030208.5", "٢٠٢٦", "00010101+1400", "99991231235959-1400"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert moment(text, SHANGHAI) is None


def test_summer_time_follows_the_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert [read.offset for text in ("20260101", "20260701") if (read := moment(text, berlin))] == [60, 120]


def test_a_written_time_is_read_back() -> None:
    at = datetime(2026, 3, 2, 0, 30, 15, tzinfo=UTC)
    assert written(at, SHANGHAI) == "20260302083015+0800"
    read = moment(written(at, SHANGHAI), ZoneInfo("UTC"))
    assert read is not None
    assert read.at == at
