"""What no agent can know of itself: a rule whose need this site's feeds do not bring is not judged.

What would then be missing was never sent. So nothing of the rule opens, and what it had found is withdrawn.
"""

from collections.abc import Sequence

from hisbus.frames import AgentInfo
from hisbus_bus.host.needs import OTHER, WHAT
from hisbus_schemas import Assessment, Coverage, Text, Unevaluated

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
    rules = answer.evaluated | {one.rule for one in (*answer.proposals, *answer.unevaluated)}
    lacking = {rule: items for rule in sorted(rules) if (items := lacks(info, rule, coverage, department))}
    if not lacking:
        return answer
    said = [
        Unevaluated(rule=rule, reason=NOT_CONNECTED, item=items[0], text=named(items))
        for rule, items in lacking.items()
    ]
    return answer.model_copy(
        update={
            "evaluated": frozenset(answer.evaluated - lacking.keys()),
            "proposals": [proposal for proposal in answer.proposals if proposal.rule not in lacking],
            "unevaluated": [*(one for one in answer.unevaluated if one.rule not in lacking), *said],
        }
    )


def lacks(info: AgentInfo, rule: str, coverage: Coverage, department: str) -> tuple[str, ...]:
    """Return the items of the first need of a rule that are not connected; empty: it may be judged.

    What only a part needs takes the rule away where no other part is left.
    """
    needs = info.needs_of(rule)
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
