"""What is recorded is judged by ``qc`` and by ``coding-rules``: a defect is named by one of them."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hisbus.testing import NOW, make_case, make_chart, make_document, make_patient, run
from hisbus_coding.edits import EDITS
from hisbus_coding.edits.claim import inside
from hisbus_coding.rules import Rules
from hisbus_qc import Agent as QC
from hisbus_qc.record import named
from hisbus_qc.rulebook import RULES as RULES_OF_QC
from hisbus_schemas import Chart, ChartDiagnosis, Code, Finding

RULES = ["R51", "R52", "R53", "R54", "R55", "R56", "R57"]


@pytest.fixture
def terms(icd_file: Path) -> Path:
    return icd_file


def stay(*codes: str, sex: str = "male", born: date = date(1960, 1, 1), page: dict[str, str] | None = None) -> Chart:
    diagnoses = [
        ChartDiagnosis(id=f"dx{rank}", version="1", status="final", code=Code(code=code), rank=rank)
        for rank, code in enumerate(codes, 1)
    ]
    documents = [] if page is None else [make_document("C0032", id="page", signed=NOW, fields=page)]
    patient = make_patient(sex=sex, birth_date=born)
    return make_chart(diagnoses=diagnoses, patient=patient, documents=documents, discharged=NOW)


def said(agent: Any, chart: Chart, terms: Path, **settings: Any) -> list[Finding]:
    answer = asyncio.run(run(agent, make_case(chart, terms=terms, settings=settings)))
    return [one for one in answer.proposals if isinstance(one, Finding)]


def family(finding: Finding) -> str:
    return family_of(finding.rule)


def about(finding: Finding, chart: Chart) -> frozenset[str]:
    """Return the recorded entries that a finding rests on."""
    return frozenset(ref.partition("@")[0] for ref in finding.reads)


STAYS = {
    "an external cause first": stay("W19.XXXA", "I10"),
    "a manifestation first, which both know": stay("I39", "I33.0"),
    "a manifestation first, which the table knows": stay("G63", "E85.1"),
    "an outcome first": stay("Z37.0", "O80", sex="female", born=date(1995, 1, 1)),
    "a history first": stay("Z85.3", "I10"),
    "an organism first": stay("B95.61", "I10"),
    "no code at all": stay("none", "I10"),
    "no code of the table": stay("I99.X9", "I10"),
    "a category": stay("I10", "I21"),
    "a man's code of a woman": stay("N40.0", sex="female"),
    "a woman's code of a man": stay("D06.9"),
    "a newborn's code of a child": stay("P12.0", born=date(2026, 1, 1)),
    "a dementia of a child": stay("F03.90", born=date(2016, 1, 1)),
    "a delivery of a girl": stay("O80", sex="female", born=date(2020, 1, 1)),
    "a menopause of a man": stay("N95.1"),
    "a tumour of another behaviour": stay(
        "C50.911", sex="female", page={"FP.DIAGNOSIS": "C50.911", "FP.MORPHOLOGY": "/2"}
    ),
    "a delivery without outcome": stay("O80", sex="female", born=date(1995, 1, 1)),
    "a head injury": stay("S06.0X0A", page={"FP.DIAGNOSIS": "S06.0X0A"}),
    "a code twice": stay("I10", "I10", page={"FP.DIAGNOSIS": "I10", "FP.OTHER_DIAGNOSIS": "I10"}),
}


@pytest.mark.parametrize("name", STAYS)
def test_a_defect_of_recorded_codes_is_named_by_one_agent(name: str, terms: Path) -> None:
    chart = STAYS[name]
    by_rules = said(QC(), chart, terms, only=RULES)
    by_table = said(Rules(), chart, terms)
    twice = [
        (one.rule, other.rule)
        for one in by_rules
        for other in by_table
        if family(one) == family(other) and about(one, chart) & about(other, chart)
    ]
    assert by_rules or by_table, "it is a defect"
    assert twice == []


def test_what_the_one_leaves_out_the_other_has() -> None:
    """The codes that ``coding-rules`` passes over are codes of the rule that it leaves them to."""
    limits = {rule: RULES_OF_QC[rule].limits for rule in ("R51", "R52")}
    lists = {rule: tables["edits" if rule == "R51" else "fits"] for rule, tables in limits.items()}
    for id, edit in EDITS.items():
        if edit.elsewhere:
            patterns = tuple(code for table in lists[family_of(id)].values() for code in table["codes"])
            missing = [code for code in categories(edit.elsewhere) if not named(code, patterns)]
            assert missing == [], id
    assert EDITS["R51.invalid"].elsewhere_form == limits["R51"]["form"]


def categories(ranges: list[str]) -> list[str]:
    """Return each category of ranges, ``A00-B99``, that either system has: a letter and two digits, but for ``O9A``."""
    return [
        code
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        for number in range(100)
        if inside(code := f"{letter}{number:02}", ranges)
    ]


def family_of(id: str) -> str:
    return id.partition(".")[0]
