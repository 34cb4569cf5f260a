"""Nobody is held to deadlines of before the site was connected: an answer about a stay that goes on."""

from typing import Protocol

from hisbus_schemas import Assessment, Finding, Instant


class Stay(Protocol):
    """What is asked of a chart."""

    @property
    def live_from(self) -> Instant | None:
        """Since when it came as it happened, where it was read in before."""
        ...


def held_to_the_present(answer: Assessment, stay: Stay) -> Assessment:
    """Leave findings out whose deadline passed before the stay came as it happened. Pure.

    Their rules count as judged: what they find of later closes when it is mended.
    """
    begun = stay.live_from
    if begun is None:
        return answer
    kept = [one for one in answer.proposals if not (isinstance(one, Finding) and one.due and one.due < begun)]
    return answer.model_copy(update={"proposals": kept})
