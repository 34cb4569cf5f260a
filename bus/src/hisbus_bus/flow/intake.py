"""Intake: what a connector hands over is stored in ``raw`` before it is acknowledged.

It touches no database: verdict and acknowledgement are a pure function of frame and configuration, so a message
is taken as long as the log can be written.
"""

from datetime import UTC, datetime

from hisbus.connector import Arrival, Connector
from hisbus.errors import RetryLater
from hisbus_bus.kernel import topics
from hisbus_bus.kernel.controls import Part
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site


class Intake:
    """The way in for one connector."""

    def __init__(self, site: Site, connector: Connector, part: Part | None = None) -> None:
        """Take a connector, and what an operator asks of it."""
        self._site = site
        self._part = part or Part(f"connector:{connector.name}")
        self._connector = connector
        self._origin = {
            **topics.origin(type="message.received", site=site.name, keyid=site.keys.id, source=connector.name),
            "connector": connector.name,
        }

    async def run(self) -> None:
        """Take messages until cancelled."""
        await self._connector.listen(self.store)

    async def store(self, arrival: Arrival) -> None:
        """Return once the message is stored durably.

        Raises:
            RetryLater: the log did not confirm within its deadline. It may hold the message all the same;
                the sender's next copy is then a duplicate, which is acknowledged the same. Or an operator holds the
                connector: nothing was stored, and the sender repeats it.
        """
        if not self._part.takes:
            raise RetryLater("An operator holds this connector.", code="held")
        with self._part.at_work():
            await self._site.log.append([self._record(arrival)])

    def _record(self, arrival: Arrival) -> NewRecord:
        keys = self._site.keys
        # What names no patient still needs an order of its own, and a copy of it must meet the first in one place.
        key = keys.patient(arrival.patient) if arrival.patient else keys.of("message", arrival.id)
        headers = topics.stamped(
            self._origin,
            id=arrival.id,
            time=arrival.received,
            recorded=datetime.now(UTC),
            message=arrival.id,
            control_id=arrival.control_id,
            msgtype=arrival.type,
            verdict=arrival.verdict,
            flags=",".join(arrival.flags),
            ack=arrival.ack,
        )
        headers["received"] = headers["ce_time"]
        return NewRecord("raw", key, arrival.body, headers)
