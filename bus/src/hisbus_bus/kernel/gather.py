"""How long a step waits for more records before it takes the next: the more came lately, the longer.

A batch costs much the same for one record as for twenty. So while little comes each record is taken at once, and under
load the batches grow. Pure.
"""

from collections import deque

CALM = 40.0
"""Up to so many records a second nothing waits."""
BUSY = 160.0
"""From so many on the wait is the longest."""
LONGEST_S = 0.1


def gather_s(rate: float) -> float:
    """Return how long to wait for more, seconds, by the records of the last second."""
    return LONGEST_S * min(1.0, max(0.0, (rate - CALM) / (BUSY - CALM)))


class Arrivals:
    """Counts the records of the last second."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._sum = 0

    def came(self, count: int, now: float) -> int:
        """Note that records have come, and return how many did within a second.

        Args:
            count: of those that have come.
            now: seconds, of a clock that never goes back.
        """
        self._counts.append((now, count))
        self._sum += count
        while self._counts[0][0] <= now - 1.0:
            self._sum -= self._counts.popleft()[1]
        return self._sum
