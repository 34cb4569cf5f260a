"""Orders (ORM, OMG, OML, RDE): ORC with what it orders, OBR or RXE or RXO."""

from typing import Literal

from hisbus import BadMessage
from hisbus_hl7v2.mapping import drugs
from hisbus_hl7v2.mapping.patient import Draft, Subject
from hisbus_hl7v2.mapping.source import Source
from hisbus_hl7v2.message import Segment
from hisbus_schemas import Code, Order, OrderClass

TYPES = frozenset({"ORM^O01", "OMG^O19", "OML^O21", "OML^O33", "OML^O35", "RDE^O01", "RDE^O11"})
"""Types of message that ``order_drafts`` reads."""

READS = frozenset({"ORC", "OBR", "RXE", "RXO", "RXR", "TQ1", "NTE"})
"""Segments that ``order_drafts`` reads."""

Action = Literal["placed", "changed", "cancelled"]

_ACTIONS: dict[str, Action] = {
    **dict.fromkeys(("NW",), "placed"),
    **dict.fromkeys(("XO", "RP", "XX", "XR"), "changed"),
    **dict.fromkeys(("CA", "DC", "OC", "OD", "CR", "DR"), "cancelled"),
}
"""By ORC-1 (table 0119): as asked for, as done without being asked, and as done on request."""

_ENDED = frozenset({"CA", "DC"})
"""ORC-5 (table 0038) of an order that is no more."""

_LABORATORIES = frozenset("BG BLB CG CH CP HM IMM LAB MB MCB MYC SP SR TX VR".split())
_IMAGES = frozenset("CT CUS NMR NMS OUS RAD RUS RX VUS XRC".split())
"""OBR-24 (table 0074) of what the laboratory does, and of what makes images."""

_WHAT = (("OBR", 4), ("RXE", 2), ("RXO", 1))


def order_drafts(source: Source, about: Subject, _trigger: str) -> list[Draft]:
    """Return one draft for each order of the message; an ORC that says none of our three actions is left unread.

    Raises:
        BadMessage: no ORC: what happened to which order cannot be told.
    """
    groups = _groups(source)
    if not groups:
        raise BadMessage("An order message without ORC.", code="no_order")
    drafts = []
    for group in groups:
        action = _action(group["ORC"])
        if action is None:
            source.flag("unread_order_control")
            source.unread += group.values()
            continue
        order = _order(source, group, action)
        consult = action == "placed" and order.what.code in source.tables.consults
        drafts.append(Draft(about, "consult.requested" if consult else f"order.{action}", order))
    return drafts


def _groups(source: Source) -> list[dict[str, Segment]]:
    """Return the segments of each order by name. Behind another PID or PV1 stand results of earlier orders."""
    groups: list[dict[str, Segment]] = []
    prior = noted = False
    for segment in source.message.segments:
        name = segment.text[:3]
        noted = name in READS and (noted or name != "NTE")  # else the note is on what is not read, as an OBX
        if name in ("PID", "PV1") and groups:
            prior = True
            source.flag("prior_results_unread")
        elif name not in READS:
            continue
        elif name == "ORC" and not prior:
            groups.append({"ORC": segment})
        elif groups and name == "NTE" and noted and not prior:
            groups[-1][f"NTE{len(groups[-1])}"] = segment
        elif groups and name not in ("NTE", *groups[-1]) and not prior:
            groups[-1][name] = segment
        else:
            source.unread.append(segment)
    return groups


def _action(orc: Segment) -> Action | None:
    if orc.get(1) == "SC":  # the order has another status
        return "cancelled" if orc.get(5) in _ENDED else "changed"
    return _ACTIONS.get(orc.get(1))


def _order(source: Source, group: dict[str, Segment], action: Action) -> Order:
    orc = group["ORC"]
    what = next((source.code(group[name], number) for name, number in _WHAT if name in group), Code())
    placer, filler = (orc.get(number) or (group["OBR"].get(number) if "OBR" in group else "") for number in (2, 3))
    key = placer or filler
    if not key:
        # Without a number of its own, an order is the same only for the same service at the same time.
        source.flag("no_order_number")
        key = f"{what.code}/{orc.get(9) or source.message.segments[0].get(7)}"
    return Order(
        key=key,
        placer=placer,
        filler=filler,
        action=action,
        what=what,
        time=source.time(orc, 9),
        order_class=_class(group),
        notes=[text for name, nte in group.items() if name.startswith("NTE") for text in source.notes(nte)],
        **drugs.details(source, group),
    )


def _class(group: dict[str, Segment]) -> OrderClass | Literal[""]:
    if "RXE" in group or "RXO" in group:
        return "medication"
    service = group["OBR"].get(24) if "OBR" in group else ""
    return "laboratory" if service in _LABORATORIES else "imaging" if service in _IMAGES else ""
