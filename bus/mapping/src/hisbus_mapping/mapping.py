"""A connector with what its messages mean."""

from functools import cached_property

from hisbus import Arrival, BadMessage, Connector, Raw, Translation
from hisbus_mapping.compile import function_of, translation
from hisbus_mapping.envelope import Judged, judge
from hisbus_mapping.name import name_of
from hisbus_mapping.profile import read_profile


class Mapping:
    """What the messages of one connector mean."""

    def __init__(self, connector: Connector) -> None:
        """Compile the connector's profile.

        Raises:
            ConfigError: the profile is wrong, or names a function that is not there.
        """
        self.connector = connector
        self.profile = read_profile(connector.profile)
        self._facts = function_of(self.profile)

    @cached_property
    def name(self) -> str:
        """A hash of all that decides what a message means; another name re-translates what is replayed."""
        return name_of(self.profile, self.connector)

    def judge(self, arrival: Arrival) -> Judged:
        """Say whose a message is that arrives, and whether it is taken. Pure."""
        if arrival.refusal:
            return Judged(arrival.refusal, flags=arrival.flags)
        try:
            source = self.connector.read(Raw(arrival.id, arrival.body, arrival.received))
        except BadMessage as error:
            return Judged(error.code, flags=arrival.flags)
        judged = judge(self.profile.envelope, source, arrival.type, self.connector.name)
        return Judged(judged.code, judged.patient, (*arrival.flags, *judged.flags))

    def translate(self, raw: Raw) -> Translation:
        """Say what a message means. Pure.

        Raises:
            BadMessage: it cannot be read, or there is a mapping for it and it cannot be understood.
        """
        return translation(self._facts, self.connector.read(raw))
