"""The contract passes a good agent and fails each kind of bad one."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from hisbus import Case, ConfigError, RetryLater
from hisbus.testing import (
    NOW,
    AgentContract,
    FakeLLM,
    make_case,
    make_chart,
    make_document,
    make_operation,
    make_order,
    make_patient,
    make_vital,
    run,
)
from hisbus_schemas import EVERY_OTHER, Assessment, Evidence, Finding, Need, Text, Unevaluated

TEXT = "欧阳锋，男，五十岁。"
CASE = make_case(make_chart(patient=make_patient("欧阳锋"), documents=[make_document("C0037", TEXT)]))


def finding(case: Case, **more: Any) -> Finding:
    (note,) = case.chart.documents
    quote = Evidence(document=note.id, version=note.version, section=0, begin=0, end=3, quote="欧阳锋")
    fields: dict[str, Any] = {"key": "k", "rule": "r", "reads": [note.ref], "evidence": [quote]}
    return Finding(message=Text(zh="中", en="en"), **(fields | more))


class Good:
    name, version = "good", "1"
    kinds, grants = frozenset({"document.filed"}), frozenset({"documents"})

    async def assess(self, case: Case) -> Assessment:
        if not case.chart.documents:
            return Assessment(evaluated=frozenset({"r"}))
        return Assessment(evaluated=frozenset({"r"}), proposals=self.propose(case))

    def propose(self, case: Case) -> Sequence[Finding]:
        return [finding(case)]


class TestAGoodAgent(AgentContract):
    agent = Good()

    def cases(self) -> Sequence[Case]:
        return [CASE]


def bad(propose: Callable[[Any, Case], Sequence[Finding]] = Good.propose, **more: Any) -> Any:
    class Contract(AgentContract):
        __test__ = False
        agent = type("Bad", (Good,), {"propose": propose, **more})()

        def cases(self) -> Sequence[Case]:
            return [CASE]

    return Contract()


class Counting:
    calls: ClassVar[list[int]] = []

    def __call__(self, _self: Any, case: Case) -> Sequence[Finding]:
        self.calls.append(1)
        return [finding(case, key=str(len(self.calls)))]


def wrong_quote(_self: Any, case: Case) -> Sequence[Finding]:
    return [finding(case, evidence=[Evidence(document="C0037", section=0, begin=0, end=3, quote="西门庆")])]


NOWHERE = (
    "", "admited", "documents", "documents/other", "documents/C0037/nothing", "documents/C0037/fields/FP.SEX",
    "vitals/1", "patient", "patient/name",
)  # fmt: skip
"""The last: the agent was not granted the patient."""


def proved_by(path: str, value: str = "x") -> Callable[[Any, Case], Sequence[Finding]]:
    return lambda _self, case: [finding(case, evidence=[Evidence(path=path, value=value)])]


def said(**more: Any) -> Callable[[Any, Case], Sequence[Finding]]:
    return lambda _self, case: [finding(case).model_copy(update=more)]


def raises(_self: Any, _case: Case) -> Sequence[Finding]:
    raise ZeroDivisionError


def prints(_self: Any, _case: Case) -> Sequence[Finding]:
    sys.stdout.write(TEXT)
    return []


EMPTY_QUOTE = Evidence(document="C0037", section=0, begin=3, end=3, quote="")
NEEDS = "test_it_needs_what_a_record_can_bring_for_rules_that_it_has"


async def unjudged(_self: Any, _case: Case) -> Assessment:
    return Assessment(unevaluated=[Unevaluated(rule="r", text=Text(zh="", en=""))])


@pytest.mark.parametrize(
    ("contract", "test"),
    [
        (bad(version=""), "test_it_declares_name_version_kinds_and_grants"),
        (bad(kinds={"document.filed"}), "test_it_declares_name_version_kinds_and_grants"),
        (bad(grants=frozenset({"all"})), "test_it_asks_only_for_known_parts_of_the_chart"),
        (bad(lambda s, case: Counting()(s, case)), "test_the_same_case_twice_gives_the_same_proposals"),
        (
            bad(lambda _s, case: [finding(case, fingerprint=case.now.isoformat())]),
            "test_the_passing_of_time_alone_does_not_change_a_fingerprint",
        ),
        (bad(lambda _s, case: [finding(case), finding(case)]), "test_keys_are_unique"),
        (
            bad(lambda _s, case: [finding(case, rule="other")]),
            "test_it_says_that_it_evaluated_the_rules_it_proposes_by",
        ),
        (bad(lambda _s, case: [finding(case, reads=["C0037@old"])]), "test_what_it_read_is_in_the_chart"),
        (bad(wrong_quote), "test_quotes_are_verbatim"),
        (bad(kinds=frozenset({"document.field"})), "test_it_waits_only_for_kinds_of_events_that_exist"),
        (bad(kinds=frozenset({"ward.cleaned"})), "test_it_waits_only_for_kinds_of_events_that_exist"),
        *((bad(proved_by(path)), "test_evidence_paths_lead_somewhere") for path in NOWHERE),
        (bad(proved_by("admitted", "3")), "test_evidence_paths_lead_somewhere"),
        (bad(proved_by("documents/C0037", "another type")), "test_evidence_paths_lead_somewhere"),
        (bad(said(evidence=[Evidence(path="admitted")])), "test_evidence_paths_lead_somewhere"),
        (bad(said(evidence=[Evidence(path="documents/C0037")])), "test_evidence_paths_lead_somewhere"),
        (bad(said(evidence=[Evidence()])), "test_quotes_are_verbatim"),
        (bad(said(evidence=[Evidence(document="C0037", quote="欧阳锋")])), "test_quotes_are_verbatim"),
        (bad(said(evidence=[EMPTY_QUOTE])), "test_quotes_are_verbatim"),
        (bad(said(message=Text(zh="", en="en"))), "test_texts_are_in_both_languages"),
        (bad(said(message=Text(zh="中", en=" "))), "test_texts_are_in_both_languages"),
        (bad(assess=unjudged), "test_texts_are_in_both_languages"),
        (bad(said(reads=[])), "test_what_its_evidence_rests_on_is_read"),
        (
            bad(said(reads=[], evidence=[Evidence(path="documents/C0037/type", value="C0037")])),
            "test_what_its_evidence_rests_on_is_read",
        ),
        (bad(said(points=-1)), "test_points_are_none_or_above"),
        (bad(grants=frozenset()), "test_it_says_something_of_an_example"),
        (bad(lambda _s, _case: []), "test_it_says_something_of_an_example"),
        *((bad(needs={"r": [Need(item=item)]}), NEEDS) for item in ("dokument:C0037", "document", "class:I", "age")),
        (bad(needs={"r": [Need(any=("document:C0037", "files:x"))]}), NEEDS),
        (bad(needs={"other": [Need(item="document:C0037")]}), NEEDS),
    ],
)
def test_a_bad_agent_is_told_so(contract: Any, test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(contract, test)()


def test_a_kind_of_a_connector_s_own_is_declared_by_the_test() -> None:
    contract = bad(kinds=frozenset({"ward.cleaned", "document.filed"}))
    contract.own_kinds = ["ward.cleaned"]
    contract.test_it_waits_only_for_kinds_of_events_that_exist()
    contract.own_kinds = ["cleaned", "ward.cleaned"]
    with pytest.raises(AssertionError, match="dotted"):
        contract.test_it_waits_only_for_kinds_of_events_that_exist()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("admitted", "2026-03-02T08:00:00+00:00"),
        ("patient_class", "inpatient"),
        ("documents/C0037/signed", "2026-03-02T08:00:00+00:00"),
        ("documents/C0037/fields/FP.AGE", "50"),
    ],
)
def test_evidence_whose_path_leads_to_its_value_is_taken(path: str, value: str) -> None:
    note = make_document("C0037", TEXT, fields={"FP.AGE": "50"}, signed=NOW)
    contract = bad(proved_by(path, value))
    contract.cases = lambda: [make_case(make_chart(documents=[note]))]
    contract.test_evidence_paths_lead_somewhere()


def test_needs_of_rules_that_it_judges_and_of_every_other_are_taken() -> None:
    item = Need(any=("document:*", "section:48765-2", "field:FP.ALLERGY", "vital:8310-5"), after="admission")
    of_the_stay = [Need(item=item) for item in ("class", "sex", "disposition")]
    getattr(bad(needs={"r": [item, *of_the_stay], EVERY_OTHER: [item]}), NEEDS)()


def test_an_agent_that_raises_another_error_than_ours_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        bad(raises).test_keys_are_unique()


def test_an_agent_that_prints_what_it_reads_fails(caplog: Any, capfd: Any) -> None:
    with pytest.raises(AssertionError):
        bad(prints).test_it_writes_no_patient_text(caplog, capfd)


async def test_run_shows_an_agent_only_what_it_was_granted() -> None:
    class Curious(Good):
        def propose(self, case: Case) -> Sequence[Finding]:
            assert case.chart.patient is None
            return []

    assert (await run(Curious(), CASE)).proposals == []


class Said(BaseModel):
    text: Annotated[str, Field(max_length=10)]


class Endless(BaseModel):
    text: str


async def test_a_fake_model_answers_in_turn_and_without_answers_is_down() -> None:
    model = FakeLLM(Said(text="yes"), lambda question: Said(text=question.upper()), ZeroDivisionError())
    assert await model.ask(system="s", question="q", answer=Said) == Said(text="yes")
    assert await model.ask(system="s", question="q", answer=Said) == Said(text="Q")
    with pytest.raises(ZeroDivisionError):
        await model.ask(system="s", question="q", answer=Said)
    with pytest.raises(RetryLater):
        await FakeLLM().ask(system="s", question="q", answer=Said)
    assert len(model.asked) == 3


async def test_a_fake_model_refuses_the_form_that_the_bus_would_refuse() -> None:
    with pytest.raises(ConfigError, match="text: a text needs max_length") as caught:
        await FakeLLM(Endless(text="")).ask(system="s", question="q", answer=Endless)
    assert caught.value.code == "unbounded_answer.text"


def test_a_chart_is_made_from_what_matters() -> None:
    chart = make_chart(
        now="2026-03-02T08:00+08:00",
        admitted="2026-03-01T08:00+08:00",
        discharged="2026-03-02T07:00+08:00",
        documents=[make_document("C0034", "text", signed="2026-03-01T09:00+08:00", author="Li")],
        vitals=[make_vital("8310-5", "36.5", unit="Cel")],
        procedures=[make_operation("op", start="2026-03-01T10:00+08:00")],
        orders=[make_order("o", "aspirin")],
    )
    assert chart.status == "discharged"
    assert chart.stay("admitted") == "2026-03-01T08:00:00+08:00"
    assert len(list(chart.entries())) == 4
    assert chart.documents[0].status == "signed"


def test_what_a_vendor_imports_pulls_in_no_broker_no_driver_and_no_web_framework() -> None:
    script = "import sys, hisbus, hisbus.testing; sys.stdout.write(' '.join(sys.modules))"
    loaded = {
        name.split(".")[0]
        for name in subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, text=True
        ).stdout.split()
    }
    assert not loaded & {"aiokafka", "sqlalchemy", "aiosqlite", "psycopg", "fastapi", "starlette", "uvicorn", "pytest"}
