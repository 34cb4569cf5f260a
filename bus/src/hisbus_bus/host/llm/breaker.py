"""Leaves a server alone that does not answer: after some failures in a row for a while, then one question tries it."""

from typing import Literal

from hisbus.errors import RetryLater

State = Literal["closed", "open", "trying"]


class Breaker:
    """Counts failures. Times are given to it, seconds of any clock that only goes forward.

    Everybody who was let in by ``enter`` comes back with ``succeeded``, ``failed`` or ``left``.
    """

    def __init__(self, failures: int, pause_s: float) -> None:
        self.state: State = "closed"
        self.code = ""
        """Why it opened."""
        self.succeeded_at = float("-inf")
        """When the server last gave an answer."""
        self._most = failures
        self._pause_s = pause_s
        self._in_a_row = 0
        self._until = 0.0
        self._trying: object | None = None

    def check(self, now: float) -> None:
        """Raise RetryLater while the server is to be left alone. Whoever comes when the pause is over may try."""
        if self.state == "trying" or (self.state == "open" and now < self._until):
            raise RetryLater(code="llm")

    def enter(self, now: float) -> object:
        """Let somebody ask the server, and return the pass to come back with.

        Raises:
            RetryLater: the server is left alone; ``code`` is ``llm``.
        """
        self.check(now)
        entered = object()
        if self.state == "open":
            self.state, self._trying = "trying", entered
        return entered

    def succeeded(self, now: float) -> None:
        """Note an answer, whatever it says: the server is there."""
        self.succeeded_at = now
        self.state, self._in_a_row, self._trying, self.code = "closed", 0, None, ""

    def failed(self, entered: object, now: float, code: str) -> None:
        """Note that there was none. Those who were let in before it opened do not prolong the pause."""
        self._in_a_row += 1
        if self._trying is entered or (self.state == "closed" and self._in_a_row >= self._most):
            self.state, self._until, self._trying, self.code = "open", now + self._pause_s, None, code

    def left(self, entered: object) -> None:
        """Note that somebody gave up before there was an answer. Another may try in his place."""
        if self._trying is entered:
            self.state, self._trying = "open", None
