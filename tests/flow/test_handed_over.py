"""What is handed over beside a record's bytes is what they parse to, and is so still when everybody has read it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hisbus_bus.kernel.log import NewRecord, Record
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_schemas import Assessed, Charted, Translated

CASES = Path(__file__).parents[1] / "cases"
SPLIT = Hl7v2Connector({"name": "his", "type": "hl7v2"}).split


def differ(one: Any, other: Any, where: str = "") -> str:
    """Return where two values differ, also by type or time zone; empty where they do not. Says no value."""
    if type(one) is not type(other):
        return f"{where}: {type(one).__name__} and {type(other).__name__}"
    if isinstance(one, BaseModel):
        return differ(vars(one), vars(other), f"{where}.{type(one).__name__}")
    if isinstance(one, Mapping):
        if one.keys() != other.keys():
            return f"{where}: {one.keys() ^ other.keys()}"
        return next(filter(None, (differ(one[key], other[key], f"{where}.{key}") for key in one)), "")
    if isinstance(one, Sequence) and not isinstance(one, str):
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)}"
        return next(filter(None, (differ(*both, where) for both in zip(one, other, strict=True))), "")
    if isinstance(one, datetime) and one.tzname() != other.tzname():
        return f"{where}: zones"
    return "" if one == other else where


async def test_what_is_handed_over_is_what_its_bytes_parse_to(hospital: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Record] = []
    stored = NewRecord.stored

    def remembered(*args: Any) -> Record:
        handed.append(stored(*args))
        return handed[-1]

    monkeypatch.setattr(NewRecord, "stored", remembered)
    async with hospital() as bus:
        for path in sorted(CASES.glob("*.hl7")):
            await bus.send(list(SPLIT(path.read_bytes())))
        await bus.idle()
    said = [(one.said, one.value) for one in handed if isinstance(one.said, BaseModel)]
    assert {type(one) for one, _ in said} == {Translated, Charted, Assessed}
    assert not [wrong for one, value in said if (wrong := differ(one, type(one).model_validate_json(value)))]
