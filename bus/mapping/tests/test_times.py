"""Times as sources write them: precision and offset are kept; what is no time is none."""

from zoneinfo import ZoneInfo

import pytest

from hisbus_mapping.times import reader
from hisbus_schemas import Moment

SHANGHAI = ZoneInfo("Asia/Shanghai")


def moment(text: str, zone: ZoneInfo = SHANGHAI, *forms: str) -> Moment | None:
    return reader(forms or ("compact",), zone)(text)


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


@pytest.mark.parametrize(
    ("form", "text", "iso", "precision"),
    [
        ("iso", "2026-03-02T08:30:15+09:00", "2026-03-01T23:30:15+00:00", "second"),
        ("iso", "2026-03-02 08:30", "2026-03-02T00:30:00+00:00", "minute"),
        ("iso", "2026-03-02T08:30:15.25Z", "2026-03-02T08:30:15+00:00", "second"),
        ("iso", "2026-03", "2026-02-28T16:00:00+00:00", "month"),
        ("YYYY/MM/DD hh:mm", "2026/3/2 8:30", "2026-03-02T00:30:00+00:00", "minute"),
        ("DD.MM.YYYY", "02.03.2026", "2026-03-01T16:00:00+00:00", "day"),
        ("YYYY-MM-DD hh:mm:ss", "2026-03-02 08:30:15", "2026-03-02T00:30:15+00:00", "second"),
    ],
)
def test_a_source_may_write_times_in_a_form_of_its_own(form: str, text: str, iso: str, precision: str) -> None:
    read = moment(text, SHANGHAI, form)
    assert read is not None
    assert (read.at.isoformat(), read.precision) == (iso, precision)
    assert moment("2026032", SHANGHAI, form) is None
    assert moment(text, SHANGHAI, "compact", form) == read, "the first form that fits"


@pytest.mark.parametrize("form", ["", "hh:mm", "YYYY/DD", "date"])
def test_a_form_that_names_no_time_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="is no form of a time"):
        reader([form], SHANGHAI)
