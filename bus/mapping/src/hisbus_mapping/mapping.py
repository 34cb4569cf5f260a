"""A connector with what its messages mean."""

from collections.abc import Mapping as Map
from functools import cached_property
from pathlib import Path

from hisbus import Arrival, BadMessage, ConfigError, Connector, Raw, Reads, Source, Translation
from hisbus.zones import zone
from hisbus_mapping.asks import Asks, asks_of
from hisbus_mapping.compile import Program, mistakes_in
from hisbus_mapping.compiler import Compiler
from hisbus_mapping.context import Mistake
from hisbus_mapping.envelope import Envelope, Judged
from hisbus_mapping.name import name_of
from hisbus_mapping.out import leaving
from hisbus_mapping.plain import PlainFormat
from hisbus_mapping.profile import Profile, mistaken, profile_of, text_of
from hisbus_mapping.run import Run, Words

TOO_LARGE = "too_large"
"""What is above a connector's cap is refused with: only its beginning is kept."""

Answers = Map[str, Words]
"""What people have said of codes, by sender. Who is not named goes by what was said for any: ``""``."""


class Mapping:
    """What the messages of one connector mean."""

    def __init__(self, connector: Connector, over: Path | None = None, text: str | None = None) -> None:
        """Compile the connector's profile.

        Args:
            connector: whose messages they are.
            over: a site's file to be laid over the profile; none: the one that the configuration names.
            text: what that file says; none: what stands in it now.

        Raises:
            ConfigError: the profile is wrong, or names a function that is not there; a line for each mistake.
        """
        self.connector = connector
        self.file = over or connector.over
        """The site's; None: it has none."""
        if text is None:
            text = text_of(self.file) if self.file else ""
        self.over = text
        """What the site's file says; empty: what ships is as it is."""
        texts = {connector.profile: text_of(connector.profile)} | ({self.file or Path("profile"): text} if text else {})
        self.profile = profile_of(texts)
        try:
            compiler = compiler_of(self.profile, connector)
            self._envelope = Envelope(compiler)
            self.leaving = leaving(self.profile, compiler.format)
            """Returns a write-back with what its connector's fields say, as the profile has it."""
            compiler.foreign()
            function = self.profile.function
            self._function = compiler.function(function, ()) if function else None
            self.program = None if function else Program(compiler)
        except Mistake as error:
            all_of_them = _mistakes(self.profile, connector) or [error]
            lines = (str(mistaken(texts, one.place, one.said)) for one in all_of_them)
            raise ConfigError("\n".join(lines)) from error

    @cached_property
    def name(self) -> str:
        """A hash of all that decides what a message means; another name re-translates what is replayed."""
        return name_of(self.profile, self.connector)

    @cached_property
    def asks(self) -> Map[str, Asks]:
        """Which of its tables people are asked for, and what they may answer."""
        return asks_of(self.profile)

    def judge(self, arrival: Arrival) -> Judged:
        """Say whose a message is that arrives, and whether it is taken. Pure."""
        if arrival.refusal:
            return Judged(arrival.refusal, flags=arrival.flags)
        raw = Raw(arrival.id, arrival.body, arrival.received, type=arrival.type)
        try:
            source = self.connector.read(raw, self._envelope.reads(arrival.type))
        except BadMessage as error:
            return Judged(error.code, flags=arrival.flags)
        judged = self._envelope.judge(source, _run(raw, source, {}))
        return Judged(judged.code, judged.patient, (*arrival.flags, *source.flags, *judged.flags))

    def judge_again(self, raw: Raw, refusal: str) -> tuple[Arrival, Judged]:
        """Judge a stored message that was refused with a code when it arrived, as if it arrived now. Pure.

        What was cut (``too_large``) is never read, whatever the connector says of it.
        """
        arrival = self.connector.examine(raw, refusal)
        if refusal == TOO_LARGE:
            return arrival, Judged(TOO_LARGE, flags=arrival.flags)
        return arrival, self.judge(arrival)

    def translate(self, raw: Raw, answers: Answers | None = None) -> Translation:
        """Say what a message means. Pure.

        Raises:
            BadMessage: it cannot be read, or there is a mapping for it and it cannot be understood.
        """
        source = self.connector.read(raw)
        if source.withheld:
            return Translation(mapped=False, flags=source.flags, withheld=source.withheld)
        if self.program is not None:
            return self.program.translate(source, _run(raw, source, answers or {}))
        facts = self._function(source) if self._function is not None else None
        if facts is None:
            return Translation(mapped=False, flags=source.flags)
        rest = source.unread(Reads())
        return Translation(bool(facts), list(facts), list(dict.fromkeys(one.name for one in rest)), source.flags)


def compiler_of(profile: Profile, connector: Connector) -> Compiler:
    """Return what a connector's profile is compiled with.

    Raises:
        Mistake: the profile's forms of times are none.
    """
    return Compiler(
        profile,
        connector.format or PlainFormat(),
        connector.authority or connector.name,
        bool(connector.authority),
        zone(connector.timezone),
        type(connector).__module__.partition(".")[0],
    )


def _mistakes(profile: Profile, connector: Connector) -> list[Mistake]:
    """Return all that is wrong with a profile that could be read."""
    try:
        return mistakes_in(compiler_of(profile, connector))
    except Mistake as dates:  # wrong forms of times hide nothing else
        return [dates, *mistakes_in(compiler_of(profile.model_copy(update={"dates": ("iso",)}), connector))]


def _run(raw: Raw, source: Source, answers: Answers) -> Run:
    sender = source.sender
    return Run(raw, source.type, answers.get(sender, answers.get("", {})), source.authority, sender)
