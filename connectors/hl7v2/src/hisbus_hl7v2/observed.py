"""What the profile cannot say, since how a field is read depends on another: values of OBX, and lists of text."""

import re
from typing import Any

from hisbus_hl7v2.message import Message

_TEXT = frozenset({"TX", "FT", "ST"})
_POWER = re.compile(r"[xX*]?10\^[0-9]{1,2}(/|\^|$)")
_CODED = frozenset({"CE", "CWE", "CNE", "CF"})


def values(group: Any, _run: Any) -> list[str]:
    """Return each repetition of OBX-5 as a person would read it, by its type in OBX-2."""
    found = []
    for obx in group.all("OBX"):
        type, message = obx.get(2), group.message
        found += [value for item in obx.repetitions(5) if (value := _value(message, type, item))]
    return found


def unit(group: Any, _run: Any) -> str:
    """Return OBX-6: the code of the unit, else its text; a power of ten whose caret nobody escaped is read whole."""
    obx, message = group.first("OBX"), group.message
    raw = obx.raw(6)
    whole: str = message.decoded(raw.split(message.delimiters.repetition, 1)[0])
    if message.delimiters.component == "^" and _POWER.match(whole):
        return whole.split("^^")[0]
    code: str = obx.get(6)
    return code or str(obx.get(6, 2))


def as_written(group: Any, _run: Any) -> str:
    """Return OBX-5 as it stands in the message: what is attached is kept and not read."""
    content: str = group.first("OBX").raw(5)
    return content


def reactions(group: Any, _run: Any) -> list[str]:
    """Return each reaction of AL1-5 or IAM-5: the text of a code, else the code."""
    segment, part = group.segments[0], group.message.part
    return [text for item in segment.repetitions(5) if (text := part(item, 2) or part(item))]


def _value(message: Message, type: str, repetition: str) -> str:
    part, decoded = message.part, message.decoded
    component = message.delimiters.component
    if type in _TEXT:
        return decoded(repetition)
    if type in _CODED:
        return part(repetition, 2) or part(repetition)
    if type == "SN":
        return decoded(repetition.replace(component, ""))
    if type == "ED":  # what it is; the data itself stays in the message
        return " ".join(text for number in range(1, 5) if (text := part(repetition, number)))
    return " ".join(text for item in repetition.split(component) if (text := decoded(item)))
