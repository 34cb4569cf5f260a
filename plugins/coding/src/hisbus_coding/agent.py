"""The agent ``coding``: proposes the codes of a stay, says what is wrong with them, and asks what is missing."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from hisbus import Case
from hisbus.terms import Release, Terms
from hisbus_coding import settings as configuration
from hisbus_coding.codes import Coded, choose, offered, payload, unmatched
from hisbus_coding.edits import Claim, Hit, judge
from hisbus_coding.mentions import Mention, mentions
from hisbus_coding.operations import operations
from hisbus_coding.query import RULE, queries
from hisbus_coding.retrieval import Retrieval
from hisbus_coding.verify import AsRetrieved, Found, Verifier, found
from hisbus_schemas import Assessment, Chart, CodeSet, Finding, Text

CODES = "codes"
"""Rule and key of the set of codes."""
_FINAL = "F"

_NO_TERMS = Text(
    zh="未评估：未加载术语表（hisbus terms load）。",
    en="Not evaluated: no terminology is loaded (hisbus terms load).",
)


class Agent:
    """Codes an inpatient stay by retrieval and rules. A verifier may stand between them."""

    name = "coding"
    version = "1"
    kinds = frozenset(
        {
            "encounter.admitted",
            "encounter.updated",
            "encounter.discharged",
            "encounter.discharge_cancelled",
            "encounter.cancelled",
            "encounter.moved",
            "patient.merged",
            "patient.updated",
            "document.filed",
            "document.amended",
            "document.withdrawn",
            "diagnosis.recorded",
            "procedure.started",
            "procedure.ended",
            "result.reported",
            "charge.posted",
            "frontpage.submitted",
        }
    )
    grants = frozenset({"patient", "documents", "diagnoses", "procedures", "results", "charges"})

    def __init__(self, verifier: Verifier | None = None) -> None:
        self._verifier = verifier or AsRetrieved()

    async def assess(self, case: Case) -> Assessment:
        """Code a stay as it is documented now.

        A stay that is not of class I, or was cancelled, is not coded: all rules count as evaluated, so that what was
        proposed earlier closes.

        Raises:
            ConfigError: the settings are wrong; the message names the key. Or the file of terminologies is unreadable.
        """
        its = configuration.read(case.settings)
        rules = {CODES, RULE, *its.edits}
        if case.chart.patient_class != "I" or case.chart.status == "cancelled":
            return Assessment(evaluated=frozenset(rules))
        terms = _opened(case.terms)
        release = _NO_TERMS if terms is None else its.release(terms, "diagnosis")
        if terms is None or isinstance(release, Text):
            reason = _NO_TERMS if terms is None else release
            return Assessment(unevaluated=dict.fromkeys(sorted(rules), reason))
        return await self._coded(case, its, terms, release)

    async def _coded(self, case: Case, its: configuration.Settings, terms: Terms, release: Release) -> Assessment:
        chart, retrieval = case.chart, Retrieval(terms, release)
        named = list(mentions(chart, terms, release))
        verified = await self._verifier.verify(case, [one for mention in named for one in found(mention, retrieval)])
        codes = choose(verified)
        procedures = its.release(terms, "procedure")
        done = [] if isinstance(procedures, Text) else operations(chart, Retrieval(terms, procedures))
        items = its.release(terms, "item")
        claimed = None if isinstance(items, Text) else items
        wrong, _ = judge(its.edits, Claim([*codes, *done], chart, terms, release, claimed))
        recorded = Claim(recorded_codes(chart, retrieval), chart, terms, release, claimed)
        hits, unjudged = judge(its.edits, recorded)
        rules = {CODES, RULE, *its.edits}
        return Assessment(
            evaluated=frozenset(rules - unjudged.keys()),
            unevaluated=unjudged,
            proposals=[
                *_code_set(chart, [*codes, *done], wrong, unmatched(verified), release),
                *map(_finding, _first_of_each(hits)),
                *queries(chart, [*codes, *recorded.codes], [one.mention for one in verified]),
            ],
        )


def recorded_codes(chart: Chart, retrieval: Retrieval) -> list[Coded]:
    """Return the final diagnoses that somebody coded, in their order; what the table lacks is among them."""
    final = [entry for entry in chart.diagnoses if entry.type == _FINAL and entry.code.code]
    final.sort(key=lambda entry: (entry.rank is None, entry.rank or 0, entry.id))
    return [
        Coded(
            code=entry.code.code,
            display=entry.code.text,
            concept=retrieval.find(entry.code.code),
            role="principal" if rank == 1 else "other",
            rank=rank,
            evidence=(Mention(entry.code.code, "asserted", "", "final", entry=entry).evidence(),),
            reads=frozenset({entry.ref}),
        )
        for rank, entry in enumerate(final, 1)
    ]


@lru_cache(maxsize=2)
def _open(path: Path, stamp: tuple[int, int, int]) -> Terms:
    return Terms(path)


def _opened(path: Path | None) -> Terms | None:
    """Return the site's terminologies, opened anew where they were loaded again; None where there are none."""
    if path is None or not path.is_file():
        return None
    stat = path.stat()
    return _open(path, (stat.st_ino, stat.st_mtime_ns, stat.st_size))


def _code_set(
    chart: Chart, codes: Sequence[Coded], wrong: Sequence[Hit], open_: Sequence[Found], release: Release
) -> list[CodeSet]:
    if not codes and not open_:
        return []
    made = {
        "codes": payload(codes, release.system, release.version),
        "edits": [
            {"id": hit.edit.id, "severity": hit.edit.severity, "codes": hit.codes, "message": hit.message.model_dump()}
            for hit in wrong
        ],
        "unmatched": [
            {
                "text": item.mention.text,
                "evidence": item.mention.evidence().model_dump(mode="json", exclude_none=True),
                "alternatives": offered(item.candidates),
            }
            for item in open_
        ],
    }
    reads = {ref for coded in codes for ref in coded.reads} | {item.mention.ref for item in open_}
    discharged = chart.discharged is not None
    count, table = len(codes), f"{release.system} {release.version}"
    return [
        CodeSet(
            key=CODES,
            rule=CODES,
            state="discharged" if discharged else "running",
            severity="warning" if wrong else "info",
            message=Text(
                zh=f"建议编码{count}项（{table}），{'出院' if discharged else '在院，暂定'}。",
                en=f"{count} codes proposed ({table}), {'at discharge' if discharged else 'preliminary'}.",
            ),
            evidence=[coded.evidence[0] for coded in codes if coded.evidence],
            reads=sorted(reads - {""}),
            fingerprint=hashlib.sha256(json.dumps(made, ensure_ascii=False, sort_keys=True).encode()).hexdigest(),
            payload=made,
        )
    ]


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
