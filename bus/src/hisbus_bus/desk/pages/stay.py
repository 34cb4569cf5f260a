"""A stay: its record on the left, what was found in it on the right, and the decision."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hisbus import payloads
from hisbus.errors import Refused
from hisbus_bus.desk import codes, drafts, said
from hisbus_bus.desk.pages.frame import Reader, posted, render
from hisbus_bus.desk.read import stays
from hisbus_bus.desk.read import worklist as queue
from hisbus_bus.desk.read.stays import Finding
from hisbus_bus.desk.security import SiteOf, actor, site_of
from hisbus_bus.desk.views import viewed
from hisbus_bus.desk.words import Word
from hisbus_bus.flow.review import proposals
from hisbus_bus.flow.review.decide import decide
from hisbus_bus.kernel import charts, people
from hisbus_bus.kernel.site import Site
from hisbus_schemas import LISTS, Chart, Proposal

router = APIRouter(prefix="/findings")

REASONS = ("wrong", "not_relevant", "already_fixed", "duplicate", "rule_outdated")


@router.get("/{id}")
async def stay(request: Request, site: SiteOf, user: Reader, id: Word) -> Response:
    """Show the stay that a finding is about, the finding first."""
    async with site.database.read() as connection:
        row = await queue.one(connection, id)
        user = await people.of_staff(connection, user)
    shown = await stays.read(site, actor(user), row.encounter)
    await viewed(site, actor(user), "proposal.viewed", id, encounter=row.encounter)
    chosen = shown.finding(id)
    return render(
        request,
        "stay.html",
        user,
        stay=shown,
        chart=shown.chart,
        data=_data(shown.chart),
        marks=shown.marks,
        chosen=id,
        show_closed=chosen.closed,
        said=said.lines(shown.said),
        unjudged=sum(len({its.rule for its in said.own(one)}) for one in shown.said),
        **_about(request),
    )


@router.post("/{id}/decision")
async def decision(request: Request, site: SiteOf, user: Reader, id: Word) -> Response:
    """Record what a person answered; show what became of the finding."""
    fields = await posted(request, user, passages=drafts.FIELD)
    async with site.database.read() as connection:
        proposal = proposals.body(await queue.one(connection, id))
        user = await people.of_staff(connection, user)
    refusal = None
    try:
        await decide(
            site,
            proposal_id=id,
            user=user.name,
            role=user.role,
            if_match=fields.get("etag"),
            decision=fields.get("decision", ""),
            reason=fields.get("reason") or None,
            note=fields.get("note", "") if fields.get("decision") != "edit" else "",
            payload=_payload(fields, proposal),
        )
    except Refused as error:
        refusal = error
    if "hx-request" not in request.headers and refusal is None:
        return RedirectResponse(f"/findings/{id}", 303)
    finding, draft = await _finding(site, id), payloads.drafted(proposal)
    kept = refusal is not None and fields.get("decision") == "edit"
    typed = drafts.typed(draft, fields) if kept and draft else None
    await viewed(site, actor(user), "proposal.viewed", id, encounter=finding.row.encounter)
    about = _about(request) | {
        "refused": refusal.code if refusal else "",
        "typed": typed,
        "fields": fields if kept else {},
    }
    status = refusal.status if refusal else 200
    return render(request, "card.html", user, http=status, finding=finding, chosen=id, **about)


@router.get("/{id}/receipt")
async def receipt(request: Request, site: SiteOf, user: Reader, id: Word) -> Response:
    """Show how far the write-back is. It names no patient, so the look is not audited."""
    async with site.database.read() as connection:
        (finding,) = await stays.of_rows(connection, [await queue.one(connection, id)], None)
    return render(request, "receipt.html", user, finding=finding, **_about(request))


async def _finding(site: Site, id: str) -> Finding:
    async with site.database.read() as connection:
        row = await queue.one(connection, id)
        (finding,) = await stays.of_rows(connection, [row], await charts.chart(connection, row.encounter))
    return finding


def _data(chart: Chart | None) -> list[str]:
    """Return the parts of a chart that the page shows in tables: all that hold something, but the documents."""
    names = [part.name for part in LISTS if part.name != "documents"]
    return [name for name in names if chart is not None and getattr(chart, name)]


def _payload(fields: Mapping[str, str], proposal: Proposal) -> dict[str, Any] | None:
    if fields.get("decision") != "edit":
        return None
    note = fields.get("note", "").strip()
    more = {"note": note} if note else {}
    draft = payloads.drafted(proposal)
    if draft is not None:
        return {**drafts.edited(draft, fields), **more}
    coded = payloads.coded(proposal)
    if coded is not None:
        return {**codes.edited(coded, fields), **more}
    return {"message": {"zh": fields.get("zh", "").strip(), "en": fields.get("en", "").strip()}, **more}


def _about(request: Request) -> dict[str, Any]:
    """Return what a finding's card needs besides the finding."""
    return {
        "reasons": REASONS,
        "roles": codes.ROLES,
        "writers": request.app.state.writers,
        "now": datetime.now(UTC),
        "grace": timedelta(seconds=site_of(request).settings.review.grace_s),
        "refused": "",
        "typed": None,
        "fields": {},
    }
