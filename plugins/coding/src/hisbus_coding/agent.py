"""The agent ``coding``: proposes the codes of a stay. Where there is a model, it verifies them first."""

from typing import NamedTuple

from hisbus import Case
from hisbus_coding import settings as configuration
from hisbus_coding.choice import choose, unmatched
from hisbus_coding.codes import Coded
from hisbus_coding.edits import Claim, judge
from hisbus_coding.mentions import mentions
from hisbus_coding.model import ModelVerifier
from hisbus_coding.operations import operations
from hisbus_coding.retrieval import Retrieval
from hisbus_coding.sets import CODES, CodesFor, carried, proposal
from hisbus_coding.tables import NEEDS, Tables, is_coded, tables, unevaluated
from hisbus_coding.verify import AsRetrieved, Verified, Verifier, as_recorded, found
from hisbus_schemas import Assessment, Chart, CodeSet, Text, Unevaluated

VERIFICATION = "verification"
"""What is not evaluated while no model has looked at the codes."""

CHANGES = frozenset(
    {
        "encounter.admitted",
        "encounter.updated",
        "encounter.discharged",
        "encounter.discharge_cancelled",
        "encounter.cancelled",
        "encounter.class_changed",
        "encounter.moved",
        "patient.merged",
        "patient.updated",
        "document.filed",
        "document.amended",
        "document.withdrawn",
        "diagnosis.recorded",
    }
)
"""What changes which diagnoses a stay has."""


class Agent:
    """Codes an inpatient stay: candidates by retrieval, verified by a model where there is one, judged by edits."""

    name = "coding"
    version = "3"
    kinds = CHANGES | {"procedure.started", "procedure.ended", "frontpage.submitted"}
    grants = frozenset({"patient", "documents", "diagnoses", "procedures"})
    latest_only = True
    needs = NEEDS
    asks = True

    def __init__(self, verifier: Verifier | None = None) -> None:
        """Take a verifier in place of the model's."""
        self._verifier = verifier

    async def assess(self, case: Case) -> Assessment:
        """Code a stay as it is documented now.

        A stay that is not of class I, or was cancelled, is not coded: all counts as evaluated, so that what was
        proposed earlier closes.

        Raises:
            RetryLater: the model is down. A set that nobody verified would take the place of one that was, and go again
                with the next answer; so the set waits, and what needs no model is another agent's.
            ConfigError: the settings are wrong; the message names the key. Or the file of terminologies is unreadable.
        """
        settings = configuration.read(case.settings)
        rules = {CODES, VERIFICATION, *settings.edits}
        if not is_coded(case.chart):
            return Assessment(evaluated=frozenset(rules))
        its_tables = tables(case, settings)
        if isinstance(its_tables, Text):
            return Assessment(unevaluated=unevaluated(dict.fromkeys(sorted(rules), its_tables)))
        front = await self._chosen(case, its_tables)
        codes = [*front.codes, *_performed(case.chart, its_tables)]
        open_ = unmatched(front.verified.found)
        sets = [CodesFor("front_page", its_tables, codes, front.candidates, open_, front.verified)]
        other = its_tables.settlement
        if other is not None and its_tables.crosswalk is not None:
            sets.append(carried(front.codes, front.candidates, front.verified, other, its_tables.crosswalk))
        elif other is not None:
            its = await self._chosen(case, other)
            open_ = unmatched(its.verified.found)
            sets.append(CodesFor("settlement", other, its.codes, its.candidates, open_, its.verified))
        proposals: list[CodeSet] = []
        unjudged: dict[str, Text] = {}
        for one in sets:
            release = one.tables.diagnoses
            wrong, left = judge(settings.edits, Claim(one.codes, case.chart, one.tables.terms, release))
            unjudged |= left
            proposals += proposal(case.chart, one, wrong, case.llm.model if case.llm is not None else "")
        not_judged = unevaluated(unjudged)
        not_verified = next((one.verified.open for one in sets if one.verified.open is not None), None)
        if not_verified is not None:
            not_judged.append(Unevaluated(rule=VERIFICATION, reason="model", text=not_verified))
        return Assessment(
            evaluated=frozenset(rules - {one.rule for one in not_judged}),
            unevaluated=not_judged,
            proposals=proposals,
            unverified=sum({id(one.verified): one.verified.unverified for one in sets}.values()),
        )

    async def _chosen(self, case: Case, tables: Tables) -> "_Chosen":
        """Return what the chart names, coded with one table of diagnoses."""
        named = [one for mention in mentions(case.chart, tables.terms, tables.diagnoses)
                 for one in found(mention, tables.retrieval, tables.owns)]  # fmt: skip
        verified = await self._verifier_of(case).verify(case, as_recorded(named))
        codes = choose(verified.found, tables.retrieval)
        return _Chosen(
            [one for one in codes if one.band != "low"], [one for one in codes if one.band == "low"], verified
        )

    def _verifier_of(self, case: Case) -> Verifier:
        return self._verifier or (AsRetrieved() if case.llm is None else ModelVerifier(case.llm))


def _performed(chart: Chart, tables: Tables) -> list[Coded]:
    return [] if tables.procedures is None else operations(chart, Retrieval(tables.terms, tables.procedures))


class _Chosen(NamedTuple):
    """What a record is coded with: the codes to propose, those that are not sure enough, and all that was found."""

    codes: list[Coded]
    candidates: list[Coded]
    verified: Verified
