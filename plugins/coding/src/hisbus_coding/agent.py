"""The agent ``coding``: proposes the codes of a stay. Where there is a model, it verifies them first."""

import hashlib
import json
from collections.abc import Sequence

from hisbus import Case
from hisbus_coding import settings as configuration
from hisbus_coding.choice import choose, unmatched
from hisbus_coding.codes import Coded, offered, payload, rejections
from hisbus_coding.edits import Claim, Hit, judge
from hisbus_coding.mentions import mentions
from hisbus_coding.model import ModelVerifier
from hisbus_coding.operations import operations
from hisbus_coding.retrieval import Retrieval
from hisbus_coding.tables import NEEDS, Tables, is_coded, tables, unevaluated
from hisbus_coding.verify import AsRetrieved, Found, Verified, Verifier, found
from hisbus_schemas import Assessment, Chart, CodeSet, Text, Unevaluated

CODES = "codes"
"""Rule and key of the set of codes."""
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
    version = "2"
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
        its = configuration.read(case.settings)
        rules = {CODES, VERIFICATION, *its.edits}
        if not is_coded(case.chart):
            return Assessment(evaluated=frozenset(rules))
        its_tables = tables(case, its)
        if isinstance(its_tables, Text):
            return Assessment(unevaluated=unevaluated(dict.fromkeys(sorted(rules), its_tables)))
        named = [one for mention in mentions(case.chart, its_tables.terms, its_tables.diagnoses)
                 for one in found(mention, its_tables.retrieval)]  # fmt: skip
        verified = await self._verifier_of(case).verify(case, named)
        chosen = choose(verified.found, its_tables.retrieval)
        codes = [*(one for one in chosen if one.band != "low"), *_performed(case.chart, its_tables)]
        candidates = [one for one in chosen if one.band == "low"]
        wrong, unjudged = judge(its.edits, Claim(codes, case.chart, its_tables.terms, its_tables.diagnoses))
        not_judged = unevaluated(unjudged)
        if verified.open is not None:
            not_judged.append(Unevaluated(rule=VERIFICATION, reason="model", text=verified.open))
        model = case.llm.model if case.llm and verified.by_model else ""
        return Assessment(
            evaluated=frozenset(rules - {one.rule for one in not_judged}),
            unevaluated=not_judged,
            proposals=_code_set(case.chart, codes, candidates, wrong, verified, its_tables, model),
            unverified=verified.unverified,
        )

    def _verifier_of(self, case: Case) -> Verifier:
        return self._verifier or (AsRetrieved() if case.llm is None else ModelVerifier(case.llm))


def _performed(chart: Chart, tables: Tables) -> list[Coded]:
    return [] if tables.procedures is None else operations(chart, Retrieval(tables.terms, tables.procedures))


def _code_set(
    chart: Chart,
    codes: Sequence[Coded],
    candidates: Sequence[Coded],
    wrong: Sequence[Hit],
    verified: Verified,
    tables: Tables,
    model: str,
) -> list[CodeSet]:
    open_ = unmatched(verified.found)
    if not codes and not open_ and not verified.rejected:
        return []
    release = tables.diagnoses
    reads = {ref for coded in codes for ref in coded.reads} | {item.mention.ref for item in open_}
    reads |= {mention.ref for one in verified.rejected for mention in one.mentions}
    doubted = bool(wrong or verified.rejected or any(coded.verdict == "disputed" for coded in codes))
    return [
        CodeSet(
            key=CODES,
            rule=CODES,
            model=model,
            state="running" if chart.discharged is None else "discharged",
            severity="warning" if doubted else "info",
            message=_message(chart, codes, verified, f"{release.system} {release.version}"),
            evidence=[coded.evidence[0] for coded in codes if coded.evidence],
            reads=sorted(reads - {""}),
            fingerprint=_fingerprint(codes, wrong, open_, verified, tables),
            payload={
                "codes": payload(codes, release, tables.procedures),
                "candidates": payload(candidates, release, tables.procedures),
                "edits": [_edit(hit) for hit in wrong],
                "unmatched": [_open(item) for item in open_],
                "rejected": rejections(verified.rejected),
                "verified_by": "model" if verified.by_model else "",
            },
        )
    ]


def _fingerprint(
    codes: Sequence[Coded], wrong: Sequence[Hit], open_: Sequence[Found], verified: Verified, tables: Tables
) -> str:
    """Return what is the same as long as the codes are: what a model says of them, and how surely, does not count."""
    said = [
        [tables.diagnoses.system, tables.diagnoses.version],
        [[coded.code, coded.role, coded.rank, coded.poa] for coded in codes],
        [[hit.edit.id, *hit.codes] for hit in wrong],
        [item.mention.text for item in open_],
        sorted(one.candidate.code for one in verified.rejected),
    ]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def _message(chart: Chart, codes: Sequence[Coded], verified: Verified, table: str) -> Text:
    count, discharged = len(codes), chart.discharged is not None
    zh = f"建议编码{count}项（{table}），{'出院' if discharged else '在院，暂定'}"
    en = f"{count} codes proposed ({table}), {'at discharge' if discharged else 'preliminary'}"
    if not verified.by_model:
        return Text(zh=f"{zh}；未经模型核对。", en=f"{en}; not verified by a model.")
    confirmed, uncertain, disputed = (
        sum(coded.verdict == verdict for coded in codes) for verdict in ("confirmed", "uncertain", "disputed")
    )
    away = len(verified.rejected)
    return Text(
        zh=f"{zh}；模型核对：支持{confirmed}项，不确定{uncertain}项，有异议{disputed}项，另有{away}项未采纳。",
        en=f"{en}; the model confirms {confirmed}, is unsure of {uncertain}, disputes {disputed}; {away} left out.",
    )


def _edit(hit: Hit) -> dict[str, object]:
    message = hit.message.model_dump()
    return {"id": hit.edit.id, "severity": hit.edit.severity, "codes": hit.codes, "message": message}


def _open(item: Found) -> dict[str, object]:
    evidence = item.mention.evidence().model_dump(mode="json", exclude_none=True)
    return {"text": item.mention.text, "evidence": evidence, "alternatives": offered(item.candidates)}
