"""Intake: what a connector hands over is judged by the profile's envelope, and stored in ``raw`` before it is answered.

It touches no database: verdict and acknowledgement are a pure function of message and configuration, but for the time
that an acknowledgement says, so a message is taken as long as the log can be written. Only a connector that polls
keeps a place there.
"""

from collections.abc import Mapping as Map
from datetime import UTC, datetime
from functools import partial

from hisbus.connector import Arrival, Verdict
from hisbus.errors import RetryLater
from hisbus_bus.kernel import places, topics
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site
from hisbus_mapping import Judged, Mapping


class Intake:
    """The way in for one connector."""

    def __init__(self, site: Site, name: str, mappings: Map[str, Mapping], part: Part | None = None) -> None:
        """Take the name of a connector, what messages mean by its profile at any time, and what is asked of it."""
        self._site = site
        self._part = part or Part(f"connector:{name}")
        self._name = name
        self._mappings = mappings
        self._connector = mappings[name].connector
        self._origin = {
            **topics.origin(type="message.received", site=site.name, keyid=site.keys.id, source=name),
            "connector": name,
        }
        if self._connector.backfill:
            self._origin[topics.BACKFILL] = topics.ALL

    async def run(self) -> None:
        """Take messages until cancelled; from a source that is polled, while this process is the one that polls."""
        connector = self._connector
        if connector.polls:
            await places.held(self._site.database, connector.name, partial(connector.listen, self.store))
        else:
            await connector.listen(self.store, places.NOWHERE)

    async def store(self, arrival: Arrival) -> Verdict:
        """Judge a message, and return the verdict once it is stored durably.

        Raises:
            RetryLater: the log did not confirm within its deadline. It may hold the message all the same;
                the sender's next copy is then a duplicate, which is acknowledged the same. Or an operator holds the
                connector: nothing was stored, and the sender repeats it.
        """
        if not self._part.takes:
            raise RetryLater("An operator holds this connector.", code="held")
        with self._part:
            judged = self._mappings[self._name].judge(arrival)
            verdict = Verdict(judged.code, arrival.acknowledge(judged.code))
            await self._site.log.append([self._record(arrival, judged, verdict)])
            return verdict

    def _record(self, arrival: Arrival, judged: Judged, verdict: Verdict) -> NewRecord:
        headers = topics.stamped(
            self._origin,
            id=arrival.id,
            time=arrival.received,
            recorded=datetime.now(UTC),
            message=arrival.id,
            verdict=verdict.code,
            ack=_kept(verdict.acknowledgement),
            **told(arrival, judged),
        )
        headers["received"] = headers["ce_time"]
        return NewRecord("raw", self._site.keys.arrived(judged.patient, arrival.id), arrival.body, headers)


def told(arrival: Arrival, judged: Judged) -> dict[str, str]:
    """Return the headers that say what could be read of a message; some may be empty."""
    return {
        "control_id": _kept(arrival.control_id),
        "msgtype": _kept(arrival.type),
        "flags": ",".join(dict.fromkeys(judged.flags)),
    }


def _kept(text: str) -> str:
    """Return a text as it can be kept beside the bytes: databases take no NUL."""
    return text.replace("\0", "")
