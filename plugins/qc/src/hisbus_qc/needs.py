"""What each rule needs of the record: taken from what its limits name, and from ``needs`` of its file beside.

While a stay has a document, a vital sign or a class whose code nobody knows, what a rule misses may be that; so the bus
does not judge by a rule whose need it could be.
"""

from collections.abc import Iterator, Mapping

from hisbus_qc.rule import Limits, Rule
from hisbus_qc.rulefiles import judge
from hisbus_schemas import Need

CLASS = Need(item="class", after="admission")
"""Every rule's: only inpatients are judged, and of another class all would count as clean."""

_KINDS = ("document", "section", "field", "vital", "order", "result", "charge", "diagnosis", "procedure", "allergy")
ANYTHING = (CLASS, *(Need(item=f"{kind}:*", part=kind) for kind in _KINDS))
"""What a rule may need that only the hospital's own files know; no part of it keeps the rule from being judged."""

_MOMENTS = {
    "admitted": "admission",
    "operation_start": "operation",
    "operation_end": "operation",
    "died": "death",
    "discharged": "discharge",
    "facts": "",
}
"""The moments from which rules count (``moments.After``), as ``Need.after`` has them."""

_CALLED_FOR = {
    **dict.fromkeys(("C0034", "C0037", "C0038", "C0039", "34117-2"), "admission"),
    **dict.fromkeys(("C0009", "C0011", "C0019", "C0026", "C0027", "C0046", "C0047", "C0048"), "operation"),
    **dict.fromkeys(("C0036", "C0050", "C0051"), "death"),
    **dict.fromkeys(("C0032", "C0033", "C0035", "C0049", "ARCHIVE"), "discharge"),
}
"""The fact that calls for a type of document, where the rule that reads it names none."""
_OF_KIND = {
    "field": "discharge",
    **dict.fromkeys(("vital", "order", "result", "charge", "diagnosis"), "admission"),
}
"""What calls for other items. An operation, an allergy, a procedure comes where there is one: nothing calls for it."""


def needs(rules: Mapping[str, Rule]) -> dict[str, tuple[Need, ...]]:
    """Return what each rule needs, by its id; of one in parts, what those need that are enabled."""
    return {id: tuple(dict.fromkeys(_needs(rule))) for id, rule in rules.items()}


def _needs(rule: Rule) -> Iterator[Need]:
    yield CLASS
    yield from rule.needs
    parts = {part.part: list(_of_part(part)) for part in rule.parts or (rule,) if part is rule or part.enabled}
    shared = [need for need in next(iter(parts.values()), []) if all(need in needs for needs in parts.values())]
    yield from shared
    for name, needs in parts.items():
        yield from (need.model_copy(update={"part": need.part or name}) for need in needs if need not in shared)


def _of_part(rule: Rule) -> Iterator[Need]:
    limits = judge(rule, rule.id).limits
    if not isinstance(limits, Limits):
        return
    moment = _MOMENTS.get(getattr(limits, "after", None) or "")
    for part, items in [*(("", items) for items in limits.needed()), *limits.partly()]:
        if items:
            after = _after(items[0]) if moment is None or not items[0].startswith("document:") else moment
            named = {"item": items[0]} if len(items) == 1 else {"any": items}
            yield Need.model_validate(named | {"after": after, "part": part})


def _after(item: str) -> str:
    """Return the fact that calls for an item, whatever the rule; of several that will do it is asked of the first."""
    kind, _, code = item.partition(":")
    return _OF_KIND.get(kind) or _CALLED_FOR.get(code, "")
