"""The front page."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from hisbus_qc import evidence
from hisbus_qc.record import Record
from hisbus_qc.rule import Rule, Said
from hisbus_schemas import Chart, Correction, Evidence, Text

_ID_CARD = re.compile(r"[0-9]{17}[0-9Xx]")
_BIRTH_DATE = re.compile(r"[0-9]{8}")
_AGE = re.compile(r"[0-9]{1,3}")


def identity(rule: Rule, record: Record, limits: Any) -> Said:
    """R48: identity card, sex, birth date and age of a front page contradict each other.

    One finding for each front page, naming all that disagrees. What is missing or malformed is not judged here.
    """
    chart = record.chart
    for page in record.documents(tuple(rule.limits["documents"])):
        wrong = disagreements({name: value.strip() for name, value in page.fields.items()}, record.day_admitted)
        if not wrong:
            continue
        names = sorted({field for fields in wrong.values() for field in fields})
        proof = [evidence.at(f"documents/{page.id}/fields/{name}", page.fields[name]) for name in names]
        reads = [page.ref]
        if "age" in wrong:
            proof.append(_admission(chart))
            reads.append(chart.stay_ref("admitted"))
        what = [rule.texts[name] for name in wrong]
        joined = Text(zh="；".join(item.zh for item in what), en="; ".join(item.en for item in what))
        expected = None
        if [*wrong] == ["age"] and (age := _age(page.fields, record.day_admitted)) is not None:
            expected = Correction(text=Text(zh=str(age), en=str(age)), evidence=proof[1:])
        said = rule.say("found", what=joined)
        yield rule.finding(said, subject=page.id, evidence=proof, reads=reads, expected=expected)


def disagreements(fields: dict[str, str], admitted: date | None) -> dict[str, tuple[str, ...]]:
    """Return what disagrees, ``sex``, ``birth_date`` or ``age``, with the fields that contradict each other."""
    card, birth = fields.get("FP.ID_CARD", ""), fields.get("FP.BIRTH_DATE", "")
    sex, age = fields.get("FP.SEX", ""), fields.get("FP.AGE", "")
    wrong: dict[str, tuple[str, ...]] = {}
    if _ID_CARD.fullmatch(card):
        if sex in {"1", "2"} and int(card[16]) % 2 != int(sex) % 2:
            wrong["sex"] = ("FP.ID_CARD", "FP.SEX")
        if _BIRTH_DATE.fullmatch(birth) and card[6:14] != birth:
            wrong["birth_date"] = ("FP.ID_CARD", "FP.BIRTH_DATE")
    born = _date(birth)
    if born and admitted and _AGE.fullmatch(age) and int(age) != years(born, admitted):
        wrong["age"] = ("FP.AGE", "FP.BIRTH_DATE")
    return wrong


def years(born: date, day: date) -> int:
    """Return the age in whole years on a day."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _age(fields: Mapping[str, str], admitted: date | None) -> int | None:
    born = _date(fields.get("FP.BIRTH_DATE", "").strip())
    return years(born, admitted) if born and admitted else None


def _date(value: str) -> date | None:
    if not _BIRTH_DATE.fullmatch(value):
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None


def _admission(chart: Chart) -> Evidence:
    return evidence.at("admitted", chart.stay("admitted"))
