"""The agents' contract: what every agent must do, as tests to inherit."""

# ruff: noqa: S101 - what follows are tests

import asyncio
import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hisbus.agent import Agent, Case
from hisbus.answer import declared
from hisbus.errors import BusError, NotEvaluated
from hisbus.frames import AgentInfo
from hisbus.resolve import cited, resolves, stands, value_at
from hisbus.testing.charts import NOW, make_case, make_chart, make_event
from hisbus.testing.running import FakeLLM, reasons, run
from hisbus_schemas import EVERY_OTHER, GRANTS, KINDS, PROPOSALS, Assessment, Chart, Entry, Evidence

_CODED = (
    "document", "section", "field", "vital", "order", "result", "charge", "diagnosis", "procedure", "allergy",
    "administration",
)  # fmt: skip
_OF_THE_STAY = ("class", "sex", "disposition")


class AgentContract:
    """What every agent must do, as tests to inherit. Name the object in ``agent`` and give cases of your own."""

    agent: Agent
    patient_text: Sequence[str] = ()
    """Texts from the cases that must not appear in any output: names, sentences of documents."""
    own_kinds: Collection[str] = ()
    """Kinds of events beside ``KINDS`` that a connector emits and the agent waits for: dotted, as ``ward.cleaned``."""

    def cases(self) -> Sequence[Case]:
        """Return the cases to run; override it with what the agent is for."""
        return [make_case()]

    def test_it_declares_name_version_kinds_and_grants(self) -> None:
        """The host reads all four before the first call."""
        assert isinstance(self.agent, Agent), "name, version, kinds, grants and assess are all needed"
        assert self.agent.name and self.agent.version, "name and version must not be empty"
        assert isinstance(self.agent.kinds, frozenset) and isinstance(self.agent.grants, frozenset)
        assert all(kind and isinstance(kind, str) for kind in self.agent.kinds)

    def test_it_waits_only_for_kinds_of_events_that_exist(self) -> None:
        """An agent is never woken by a kind that nobody emits."""
        assert all("." in kind and kind not in KINDS for kind in self.own_kinds), "own_kinds are dotted, and not ours"
        for kind in sorted(self.agent.kinds - {*KINDS, *self.own_kinds}):
            near = difflib.get_close_matches(kind, [*KINDS, *self.own_kinds], 1)
            instead = f"; did you mean {near[0]}?" if near else "; a connector's own kind belongs in own_kinds"
            raise AssertionError(f"there is no kind of event {kind!r}{instead}")

    def test_it_asks_only_for_known_parts_of_the_chart(self) -> None:
        """An unknown grant is refused when the plugin is loaded."""
        known = (*GRANTS, *PROPOSALS)
        assert self.agent.grants <= set(known), f"grants are {', '.join(known)}"

    def test_the_same_case_twice_gives_the_same_proposals(self) -> None:
        """Identity is the key, and the fingerprint says whether anything is new."""
        for case in self._all_cases():
            first, second = self._run(case), self._run(case)
            if first is not None and second is not None:
                assert _identities(first) == _identities(second)

    def test_the_passing_of_time_alone_does_not_change_a_fingerprint(self) -> None:
        """Else a decided finding would come back with every look."""
        for case, answer in self._answers():
            now = case.now + timedelta(minutes=1)
            later = self._run(replace(case, now=now, chart=case.chart.model_copy(update={"now": now})))
            said = {(proposal.key, proposal.state): proposal.stamp() for proposal in answer.proposals}
            for proposal in () if later is None else later.proposals:
                stamp = said.get((proposal.key, proposal.state), proposal.stamp())
                assert stamp == proposal.stamp(), "a fingerprint changed with the clock alone"

    def test_it_takes_an_empty_chart(self) -> None:
        """A stay begins with nothing known of it but itself."""
        for admitted in (NOW, None):
            self._run(make_case(make_chart(admitted=admitted).project(frozenset())))

    def test_keys_are_unique(self) -> None:
        """Two proposals under one key would be one."""
        for _, answer in self._answers():
            keys = [proposal.key for proposal in answer.proposals]
            assert len(keys) == len(set(keys)), "two proposals have one key"

    def test_it_declares_what_the_host_can_read(self) -> None:
        """What it may declare besides, ``needs`` among it, is checked when the plugin is loaded."""
        info = declared(self.agent)
        assert AgentInfo.model_validate_json(info.model_dump_json()) == info, "it does not survive JSON"

    def test_a_rule_is_evaluated_or_not(self) -> None:
        """What could not be judged never closes anything."""
        for _, answer in self._answers():
            assert not answer.evaluated & reasons(answer).keys(), "a rule is said to be both"

    def test_it_says_that_it_evaluated_the_rules_it_proposes_by(self) -> None:
        """What is not in ``evaluated`` never closes by itself."""
        for _, answer in self._answers():
            assert {proposal.rule for proposal in answer.proposals} <= answer.evaluated

    def test_what_it_read_is_in_the_chart(self) -> None:
        """A read that does not hold makes the proposal stale from the start."""
        for case, answer in self._answers():
            seen = case.chart.project(self.agent.grants)
            for proposal in answer.proposals:
                for ref in proposal.reads:
                    assert seen.holds(ref), "a read names no entry of the chart in its present version"

    def test_what_its_evidence_rests_on_is_read(self) -> None:
        """Else the proposal stays as it is when the document that proves it is corrected."""
        for case, answer in self._answers():
            seen = case.chart.project(self.agent.grants)
            for proposal in answer.proposals:
                for evidence in proposal.cites():
                    entry = _proof(seen, evidence)
                    assert entry is None or entry.ref in proposal.reads, (
                        "evidence cites a document that `reads` does not name: add its ref"
                    )

    def test_quotes_are_verbatim(self) -> None:
        """Evidence is shown to a person beside its source."""
        for case, answer in self._answers():
            documents = {document.id: document for document in case.chart.project(self.agent.grants).documents}
            for evidence in _evidence(answer):
                if evidence.path is None:
                    assert evidence.quote, "evidence is empty: give a quote with its place, or a path with its value"
                    document = documents.get(evidence.document or "")
                    assert document is not None and stands(document, evidence), "a quote is not verbatim"

    def test_evidence_paths_lead_somewhere(self) -> None:
        """A path that leads nowhere, or to another value, proves nothing: the page shows it as not found."""
        for case, answer in self._answers():
            seen = case.chart.project(self.agent.grants)
            for evidence in _evidence(answer):
                if evidence.path is not None:
                    assert resolves(seen, evidence.path), f"{evidence.path!r} leads to nothing in the chart"
                    assert evidence.value is not None, f"give {evidence.path!r} its value"
                    assert value_at(seen, evidence.path) == evidence.value, (
                        f"the chart has another value at {evidence.path!r} than its evidence says"
                    )

    def test_texts_are_in_both_languages(self) -> None:
        """What a clinician reads exists in Chinese and English."""
        for _, answer in self._answers():
            for said in (*answer.proposals, *answer.opinions):
                assert said.message.zh.strip() and said.message.en.strip(), "a message is empty in zh or en"
            for one in answer.unevaluated:
                assert one.text.zh.strip() and one.text.en.strip(), "the text of an unevaluated rule is empty"

    def test_points_are_none_or_above(self) -> None:
        """They are taken off a score: less than none would give some back."""
        for _, answer in self._answers():
            for proposal in answer.proposals:
                assert proposal.points >= 0, "points are 0 or more"

    def test_it_says_something_of_an_example(self) -> None:
        """Else every other test passes whatever it does: with grants that it forgot to ask for it sees nothing."""
        assert any(answer.proposals or answer.opinions for _, answer in self._answers()), (
            "no case makes it propose anything: give one in `cases` that does, and look at `grants`"
        )

    def test_it_needs_what_a_record_can_bring_for_rules_that_it_has(self) -> None:
        """A need of an unknown form hides nothing, and one of a rule that is misspelled protects nobody."""
        needs = declared(self.agent).needs
        for need in (need for several in needs.values() for need in several):
            for item in need.items:
                kind, colon, _ = item.partition(":")
                known = kind in _CODED if colon else kind in _OF_THE_STAY
                assert known, (
                    f"there is no need {item!r}: {', '.join(_OF_THE_STAY)}, or {', '.join(_CODED)} with : and a code"
                )
        if not needs.keys() - {EVERY_OTHER}:
            return
        rules: set[str] = set()
        for _, answer in self._answers():
            rules |= answer.evaluated | reasons(answer).keys()
        strangers = sorted(needs.keys() - rules - {EVERY_OTHER})
        assert not strangers, f"needs are declared for rules that no case has it judge: {', '.join(strangers)}"

    def test_it_survives_a_model_that_is_down(self) -> None:
        """It answers without what needs the model, or asks to be called later."""
        for case in self.cases():
            self._run(replace(case, llm=FakeLLM()))

    def test_it_goes_on_when_the_answers_of_the_model_cannot_be_used(self) -> None:
        """What it asked then counts as not evaluated; the call does not fail with it."""
        for case in self.cases():
            if self._run(replace(case, llm=None)) is not None:
                assert self._run(replace(case, llm=FakeLLM(NotEvaluated()))) is not None

    def test_it_writes_no_patient_text(self, caplog: Any, capfd: Any) -> None:
        """Not to the log, not to standard output, not to standard error."""
        caplog.set_level("DEBUG")
        for case in self._all_cases():
            self._run(case)
        printed = "".join(capfd.readouterr())
        for text in {*self.patient_text, *self._texts()}:
            assert text not in caplog.text and text not in printed, "patient text was written to the log or printed"

    def _all_cases(self) -> Iterator[Case]:
        for case in self.cases():
            yield case
            for kind in sorted(self.agent.kinds):
                yield replace(case, event=case.event or make_event(kind, at=case.now))

    def _answers(self) -> Iterator[tuple[Case, Assessment]]:
        for case in self._all_cases():
            answer = self._run(case)
            if answer is not None:
                yield case, answer

    def _run(self, case: Case) -> Assessment | None:
        try:
            return asyncio.run(run(self.agent, case))
        except BusError:
            return None  # only these may leave an agent; any other error fails the test

    def _texts(self) -> set[str]:
        texts: set[str] = set()
        for case in self.cases():
            texts.update(section.text for document in case.chart.documents for section in document.sections)
            if case.chart.patient is not None:
                texts.add(case.chart.patient.name)
        return {text for text in texts if text}


def _identities(answer: Assessment | None) -> list[tuple[str, str]]:
    return [] if answer is None else sorted((proposal.key, proposal.stamp()) for proposal in answer.proposals)


def _evidence(answer: Assessment) -> Iterator[Evidence]:
    for proposal in answer.proposals:
        yield from proposal.cites()
    for opinion in answer.opinions:
        yield from opinion.evidence


def _proof(chart: Chart, evidence: Evidence) -> Entry | None:
    """Return the entry that a piece of evidence rests on."""
    if evidence.path is not None:
        return cited(chart, evidence.path)
    return next((document for document in chart.documents if document.id == evidence.document), None)
