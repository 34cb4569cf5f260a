"""What no agent can know of itself: a rule whose need this site's feeds do not bring is not judged.

What would then be missing was never sent. So nothing of the rule opens, and what it had found is withdrawn.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from hisbus.frames import AgentInfo
from hisbus_bus.host.needs import OTHER, WHAT
from hisbus_schemas import EVERY_OTHER, Assessment, Coverage, Need, Text, Unevaluated

NOT_CONNECTED = "not_connected"


def judged_by_what_comes(answer: Assessment, info: AgentInfo, coverage: Coverage, department: str) -> Assessment:
    """Take the rules out of an answer whose needs are not connected, with their proposals, and say of each why.

    Also of those that the agent could not judge for another reason: what they had found has lost its ground.

    Args:
        answer: what the agent said.
        info: whose ``needs`` count.
        coverage: that the case was judged by.
        department: of the stay.
    """
    if coverage.whole:
        return answer
    out = _left_out(_Same(info), _Same(coverage), department)
    other = out.get(EVERY_OTHER)
    rules = answer.evaluated | {one.rule for one in (*answer.proposals, *answer.unevaluated)}
    lacking = {rule: why for rule in sorted(rules) if (why := out.get(rule, other)) is not None}
    if not lacking:
        return answer
    said = [why if why.rule == rule else why.model_copy(update={"rule": rule}) for rule, why in lacking.items()]
    return answer.model_copy(
        update={
            "evaluated": frozenset(answer.evaluated - lacking.keys()),
            "proposals": [proposal for proposal in answer.proposals if proposal.rule not in lacking],
            "unevaluated": [*(one for one in answer.unevaluated if one.rule not in lacking), *said],
        }
    )


class _Same:
    """Stands for one object, and for no other that says the same: telling whether two do would take as long."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


@lru_cache(maxsize=256)  # every call of an agent asks it, and the answer changes with the coverage alone
def _left_out(info: _Same, coverage: _Same, department: str) -> Mapping[str, Unevaluated | None]:
    """Return of each rule that is named why it is left out; None: it is not."""
    found: dict[str, Unevaluated | None] = {}
    for rule in info.it.needs:
        items = lacks(info.it, rule, coverage.it, department)
        why = Unevaluated(rule=rule, reason=NOT_CONNECTED, item=items[0], text=named(items)) if items else None
        found[rule] = why
    return found


def lacks(info: AgentInfo, rule: str, coverage: Coverage, department: str) -> tuple[str, ...]:
    """Return the items of the first need of a rule that are not connected; empty: it may be judged."""
    return lacked(info.needs_of(rule), coverage, department)


def lacked(needs: Sequence[Need], coverage: Coverage, department: str) -> tuple[str, ...]:
    """Return the items of the first of a rule's needs that are not connected; empty: it may be judged.

    What only a part needs takes the rule away where no other part is left.
    """
    lacking = {need: items for need in needs if (items := need.lacking(coverage, department))}
    parts, gone = {need.part for need in needs} - {""}, {need.part for need in lacking}
    whole = next((items for need, items in lacking.items() if not need.part), ())
    return whole or (next(iter(lacking.values())) if parts and parts <= gone else ())


def named(items: Sequence[str]) -> Text:
    """Return in words what items are, of which each by itself would do."""
    each = [_named(item) for item in items]
    return Text(zh="或".join(one.zh for one in each), en=" or ".join(one.en for one in each))


def _named(item: str) -> Text:
    kind, _, code = item.removesuffix(":*").partition(":")
    what = WHAT.get(kind, OTHER)
    return Text(zh=f"{what.zh}{code}", en=f"{what.en} {code}".strip())
