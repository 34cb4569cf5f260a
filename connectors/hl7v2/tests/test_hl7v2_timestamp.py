"""HL7 times as they are written."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hisbus_hl7v2.timestamp import written
from hisbus_mapping.times import reader


def test_a_written_time_is_read_back() -> None:
    at, shanghai = datetime(2026, 3, 2, 0, 30, 15, tzinfo=UTC), ZoneInfo("Asia/Shanghai")
    assert written(at, shanghai) == "20260302083015+0800"
    read = reader(["compact"], ZoneInfo("UTC"))(written(at, shanghai))
    assert read is not None
    assert read.at == at
