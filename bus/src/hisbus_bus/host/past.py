"""Nobody is held to deadlines of before the site was connected: an answer about a stay that was read in later."""

from typing import Protocol

from hisbus_schemas import Assessment, Finding, Instant, Text, Unevaluated

_TEXT = Text(
    zh="本次住院的消息是事后补录的，不判断时限。",
    en="The messages of this stay were read in later: its deadlines are not judged.",
)


class Stay(Protocol):
    """What is asked of a chart."""

    @property
    def backfill(self) -> bool:
        """Whether nothing of it came as it happened."""
        ...

    @property
    def live_from(self) -> Instant | None:
        """Since when it did, where it was read in before."""
        ...


def held_to_the_present(answer: Assessment, stay: Stay) -> Assessment:
    """Leave findings out whose deadline nobody could be held to. Pure.

    Of a stay of backfill these are all that have one; their rules were not judged, so nothing of them closes, and
    nobody is woken for it. Once the stay goes on, these are the ones of before, and the rules count as judged: what
    they find of later closes when it is mended.
    """
    if not stay.backfill and stay.live_from is None:
        return answer
    past = [one for one in answer.proposals if isinstance(one, Finding) and _is_past(one, stay)]
    kept = [one for one in answer.proposals if one not in past]
    if not stay.backfill:
        return answer.model_copy(update={"proposals": kept})
    rules = {one.rule for one in past}
    said = [Unevaluated(rule=rule, reason="backfill", text=_TEXT) for rule in sorted(rules)]
    return answer.model_copy(
        update={
            "proposals": [one for one in kept if one.rule not in rules],
            "evaluated": frozenset(answer.evaluated - rules),
            "unevaluated": [*answer.unevaluated, *said],
            "wakes": [],
        }
    )


def _is_past(finding: Finding, stay: Stay) -> bool:
    if finding.due is None:
        return False
    return stay.backfill or (stay.live_from is not None and finding.due < stay.live_from)
