"""What the agent proposes has the agreed form: the page shows it so, and a person's changes are checked against it."""

import asyncio
from pathlib import Path

from hisbus.testing import NOW, make_case, make_chart, make_document, run
from hisbus_coding import Agent, Rules
from hisbus_schemas import ChartReading, Code, Coded, CodeSet, Finding, Query

NOTE = "出院诊断：1.急性前壁心肌梗死 2.2型糖尿病 3.某种罕见怪病"


def test_a_code_set_and_a_question_have_the_form_of_the_contract(made_up_file: Path) -> None:
    potassium = ChartReading(
        id="r1", version="1", report="1", service=Code(), item=Code(code="2823-3"), values=["2.9"], unit="mmol/L"
    )
    chart = make_chart(
        documents=[make_document("C0049", NOTE, id="d1", signed=NOW)], results=[potassium], discharged=NOW
    )
    proposals = [
        one for agent in (Agent(), Rules())
        for one in asyncio.run(run(agent, make_case(chart, terms=made_up_file))).proposals
    ]  # fmt: skip
    (codes,) = [Coded.model_validate(one.payload) for one in proposals if isinstance(one, CodeSet)]
    assert [entry.code for entry in codes.codes] == ["I21.0x1", "E11.9x1"]
    assert [item.text for item in codes.unmatched] == ["某种罕见怪病"]
    questions = [
        Query.model_validate(one.payload["query"])
        for one in proposals
        if isinstance(one, Finding) and "query" in one.payload
    ]
    assert [len(question.options) for question in questions] == [4]
