"""A set of codes as a proposal: for the front page, and with the insurance's table for the settlement list."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hisbus.terms import Release
from hisbus_coding.codes import Coded, offered, payload, rejections
from hisbus_coding.edits import Hit
from hisbus_coding.retrieval import Candidate, Retrieval
from hisbus_coding.tables import Tables
from hisbus_coding.verify import Found, Verified
from hisbus_schemas import Chart, CodeSet, Text

CODES = "codes"
"""Rule of the sets of codes, and key of the one for the front page."""

Purpose = Literal["front_page", "settlement"]
_KEYS: dict[Purpose, str] = {"front_page": CODES, "settlement": f"{CODES}:settlement"}
_NAMES: dict[Purpose, Text] = {
    "front_page": Text(zh="病案首页", en="Front page"),
    "settlement": Text(zh="医保结算清单", en="Settlement list"),
}


@dataclass(frozen=True, slots=True)
class CodesFor:
    """The codes for one purpose, each of that purpose's own table."""

    purpose: Purpose
    tables: Tables
    codes: Sequence[Coded]
    candidates: Sequence[Coded]
    unmatched: Sequence[Found]
    verified: Verified
    unmapped: Sequence[tuple[Coded, Sequence[Candidate]]] = ()
    """Codes of the front page that the crosswalk leads nowhere or to several from: a person chooses."""


def carried(
    codes: Sequence[Coded], candidates: Sequence[Coded], verified: Verified, tables: Tables, crosswalk: Release
) -> CodesFor:
    """Carry the codes of the front page over to the settlement list, by the crosswalk that the hospital loaded.

    The principal is the first in their order that the insurance's table allows.

    Args:
        codes: of the front page, the principal one first.
        candidates: those that are not sure enough.
        verified: what they rest on.
        tables: the insurance's.
        crosswalk: from the front page's table to it.
    """
    retrieval = Retrieval(tables.terms, tables.diagnoses)
    made: list[Coded] = []
    unmapped: list[tuple[Coded, Sequence[Candidate]]] = []
    for coded in codes:
        options = _mapped(coded, retrieval, crosswalk)
        if len(options) == 1:
            made.append(_carried(coded, options[0]))
        else:
            unmapped.append((coded, options))
    low = [_carried(one, its[0]) for one in candidates if len(its := _mapped(one, retrieval, crosswalk)) == 1]
    first = next((one for one in made if one.concept is not None and one.concept.principal), None)
    ordered = made if first is None else [first, *(one for one in made if one is not first)]
    ranked = [
        replace(one, rank=rank, role="principal" if rank == 1 else "other" if one.role == "principal" else one.role)
        for rank, one in enumerate(ordered, 1)
    ]
    return CodesFor("settlement", tables, ranked, low, (), verified, unmapped)


def _mapped(coded: Coded, retrieval: Retrieval, crosswalk: Release) -> list[Candidate]:
    options = (retrieval.recorded(code) for code in retrieval.terms.mapped(crosswalk, coded.code))
    return [replace(one, method="crosswalk") for one in options if one is not None and one.concept.usable]


def _carried(coded: Coded, to: Candidate) -> Coded:
    return replace(coded, code=to.code, display=to.display, concept=to.concept, method=to.method, alternatives=())


def proposal(chart: Chart, its: CodesFor, wrong: Sequence[Hit], model: str) -> list[CodeSet]:
    """Return a set as a proposal; none where no list names a diagnosis that could be coded.

    Args:
        chart: of the stay.
        its: the codes.
        wrong: what edits found in them.
        model: that was asked.
    """
    rejected = its.verified.rejected if its.purpose == "front_page" else ()
    listed = any(coded.listed for coded in its.candidates)
    if not (its.codes or its.unmatched or its.unmapped or rejected or listed):
        return []
    release = its.tables.diagnoses
    reads = {ref for coded in its.codes for ref in coded.reads} | {item.mention.ref for item in its.unmatched}
    reads |= {mention.ref for one in rejected for mention in one.mentions}
    reads |= {ref for coded, _ in its.unmapped for ref in coded.reads}
    doubted = bool(wrong or rejected or its.unmapped or any(coded.verdict == "disputed" for coded in its.codes))
    return [
        CodeSet(
            key=_KEYS[its.purpose],
            rule=CODES,
            model=model if its.verified.by_model else "",
            state="running" if chart.discharged is None else "discharged",
            severity="warning" if doubted else "info",
            message=_message(chart, its),
            evidence=[coded.evidence[0] for coded in its.codes if coded.evidence],
            reads=sorted(reads - {""}),
            fingerprint=_fingerprint(its, wrong),
            payload={
                "purpose": its.purpose,
                "codes": payload(its.codes, release, its.tables.procedures),
                "candidates": payload(its.candidates, release, its.tables.procedures),
                "edits": [_edit(hit) for hit in wrong],
                "unmatched": [*map(_open, its.unmatched), *(_unmapped(*one) for one in its.unmapped)],
                "rejected": rejections(rejected),
                "verified_by": "model" if its.verified.by_model else "",
            },
        )
    ]


def _fingerprint(its: CodesFor, wrong: Sequence[Hit]) -> str:
    """Return what is the same as long as the codes are: what a model says of them, and how surely, does not count."""
    rejected = its.verified.rejected if its.purpose == "front_page" else ()
    said = [
        [its.tables.diagnoses.system, its.tables.diagnoses.version],
        [[coded.code, coded.role, coded.rank, coded.poa] for coded in its.codes],
        [[hit.edit.id, *hit.codes] for hit in wrong],
        [*(item.mention.text for item in its.unmatched), *(coded.code for coded, _ in its.unmapped)],
        sorted(one.candidate.code for one in rejected),
    ]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def _message(chart: Chart, its: CodesFor) -> Text:
    count, discharged, verified = len(its.codes), chart.discharged is not None, its.verified
    table, name = f"{its.tables.diagnoses.system} {its.tables.diagnoses.version}", _NAMES[its.purpose]
    zh = f"{name.zh}：建议编码{count}项（{table}），{'出院' if discharged else '在院，暂定'}"
    en = f"{name.en}: {count} codes proposed ({table}), {'at discharge' if discharged else 'preliminary'}"
    if not verified.by_model:
        return Text(zh=f"{zh}；未经模型核对。", en=f"{en}; not verified by a model.")
    confirmed, uncertain, disputed = (
        sum(coded.verdict == verdict for coded in its.codes) for verdict in ("confirmed", "uncertain", "disputed")
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


def _unmapped(coded: Coded, options: Sequence[Candidate]) -> dict[str, object]:
    evidence = coded.evidence[0].model_dump(mode="json", exclude_none=True) if coded.evidence else {}
    return {"text": f"{coded.code} {coded.display}", "evidence": evidence, "alternatives": offered(options)}
