"""The agent ``coding-rules``: what is wrong with the codes that somebody recorded, and what to ask the clinician.

It asks no model, and so goes on while the model is down. What the front page itself shows is judged by ``qc``; here is
what only a loaded table of codes can show, so that no defect is reported twice.
"""

from collections.abc import Iterable

from hisbus import Case
from hisbus.terms import Release
from hisbus_coding import settings as configuration
from hisbus_coding.agent import CHANGES
from hisbus_coding.choice import choose
from hisbus_coding.codes import Coded
from hisbus_coding.edits import Claim, Hit, judge
from hisbus_coding.mentions import Mention, mentions
from hisbus_coding.query import RULE, queries
from hisbus_coding.retrieval import Retrieval
from hisbus_coding.tables import NEEDS, Tables, is_coded, tables, unevaluated
from hisbus_coding.verify import found
from hisbus_schemas import Assessment, Chart, Finding, Text

_FINAL = "final"


class Rules:
    """Judges recorded codes, and documentation that is short of a diagnosis."""

    name = "coding-rules"
    version = "2"
    kinds = CHANGES | {"result.reported"}
    grants = frozenset({"patient", "documents", "diagnoses", "results"})
    latest_only = True
    needs = NEEDS

    async def assess(self, case: Case) -> Assessment:
        """Judge a stay as it is recorded now; one that is not coded has nothing to be found.

        Raises:
            ConfigError: the settings are wrong; the message names the key. Or the file of terminologies is unreadable.
        """
        its = configuration.read(case.settings)
        edits = {id: edit for id, edit in its.edits.items() if edit.recorded}
        rules = {RULE, *edits}
        if not is_coded(case.chart):
            return Assessment(evaluated=frozenset(rules))
        its_tables = tables(case, its)
        if isinstance(its_tables, Text):
            return Assessment(unevaluated=unevaluated(dict.fromkeys(sorted(rules), its_tables)))
        chart, retrieval = case.chart, its_tables.retrieval
        named = [one for mention in mentions(chart, its_tables.terms, its_tables.diagnoses)
                 for one in found(mention, retrieval, its_tables.owns)]  # fmt: skip
        recorded = recorded_codes(chart, its_tables)
        hits: list[Hit] = []
        unjudged: dict[str, Text] = {}
        for release, codes in recorded.items():
            found_, open_ = judge(edits, Claim(codes, chart, its_tables.terms, release, recorded=True))
            hits += found_
            unjudged |= open_
        asked = queries(
            chart,
            [*choose(named, retrieval), *(code for codes in recorded.values() for code in codes)],
            [one.mention for one in named],
        )
        return Assessment(
            evaluated=frozenset(rules - unjudged.keys()),
            unevaluated=unevaluated(unjudged),
            proposals=[*map(_finding, _first_of_each(hits)), *asked],
        )


def recorded_codes(chart: Chart, tables: Tables) -> dict[Release, list[Coded]]:
    """Return the final diagnoses that somebody coded, in their order, by the table of their system.

    What that table lacks is among them. A code of a system that is not loaded is not: nothing can be said of it. The
    site's own table is there in any case.
    """
    final = [entry for entry in chart.diagnoses if entry.status == _FINAL and entry.code.code]
    final.sort(key=lambda entry: (entry.rank is None, entry.rank or 0, entry.id))
    its: dict[Release, list[Coded]] = {tables.diagnoses: []}
    for rank, entry in enumerate(final, 1):
        release = tables.settings.of(tables.terms, entry.code, tables.usual)
        if release is None or release.kind != tables.usual.kind:
            continue
        its.setdefault(release, []).append(
            Coded(
                code=entry.code.code,
                display=entry.code.text,
                concept=Retrieval(tables.terms, release).find(entry.code.code),
                role="principal" if rank == 1 else "other",
                rank=rank,
                evidence=(Mention(entry.code.code, "asserted", "", "final", entry=entry).evidence(),),
                reads=frozenset({entry.ref}),
            )
        )
    return its


def _first_of_each(hits: Iterable[Hit]) -> list[Hit]:
    """Return one hit for each edit and subject: a code may be recorded under two entries."""
    first: dict[tuple[str, str], Hit] = {}
    for hit in hits:
        first.setdefault((hit.edit.id, hit.subject), hit)
    return list(first.values())


def _finding(hit: Hit) -> Finding:
    """Return what an edit found in the codes that somebody recorded."""
    return Finding(
        key=f"{hit.edit.id}:{hit.subject}",
        rule=hit.edit.id,
        subject=hit.subject,
        severity=hit.edit.severity,
        message=hit.message,
        evidence=list(hit.evidence),
        reads=sorted(hit.reads),
        payload={"title": hit.edit.title.model_dump(), "codes": list(hit.codes)},
    )
