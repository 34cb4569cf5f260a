"""The beginning of a site's profile: what a capture holds that the shipped one does not know, as comments."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hisbus.connector import Arrival, Playable, Raw, Verdict
from hisbus.errors import BadMessage
from hisbus_mapping import Asks, Survey

SHOWN = 40
"""Codes of a table, and places of a part, that are written; the others are counted."""


async def arrivals(feed: Playable, messages: Sequence[bytes]) -> list[Arrival]:
    """Return messages as their connector hands them over."""
    found: list[Arrival] = []

    async def sink(arrival: Arrival) -> Verdict:
        found.append(arrival)
        return Verdict()

    for message in messages:
        await feed.take(message, sink)
    return found


def begun(survey: Survey, arrived: Sequence[Arrival], name: str, sources: str) -> str:
    """Return the text of a profile that changes nothing and says what there is to change.

    Args:
        survey: reads the messages; nobody has used it before.
        arrived: the messages.
        name: of the file.
        sources: where they come from, in words.
    """
    senders, types, statuses, flags = (Counter[str]() for _ in range(4))
    for arrival in arrived:
        types[arrival.type or "none"] += 1
        raw = Raw(arrival.id, arrival.body, arrival.received, arrival.control_id, arrival.type, arrival.flags)
        try:
            senders[survey.meaning.connector.read(raw).sender or "nobody"] += 1
            translation = survey.read(raw)
        except BadMessage as error:
            statuses[f"{arrival.type or 'none'}: parked ({error.code})"] += 1
            continue
        flags.update(translation.flags)
        if not translation.mapped:
            statuses[f"{arrival.type or 'none'}: {translation.status}"] += 1
    lines = [
        f"# {name}: what our messages mean, where that differs from what ships ({survey.meaning.profile.name}).",
        f"# Begun from {sources}: {len(arrived)} messages. Nothing below counts before its # is taken away.",
        "#",
        *_listed("senders", senders),
        *_listed("types", types),
        *_listed("not understood", statuses),
        *_listed("flagged", flags),
        *_codes(survey.codes, survey.meaning.asks, len(arrived)),
        *_places(survey.unread, len(arrived)),
    ]
    return "\n".join(lines) + "\n"


def _listed(what: str, counts: Counter[str]) -> Iterator[str]:
    for one, number in counts.most_common():
        yield f"# {what + ':':16}{_plain(one)} ({number})"


def _codes(codes: Mapping[str, Counter[str]], asks: Mapping[str, Asks], messages: int) -> Iterator[str]:
    """Yield the tables with the codes that they lack, the most frequent first."""
    if any(codes.values()):
        yield "\n# --- codes that no table has, and in how many of the messages: write our word for each"
    for table, missed in codes.items():
        if not missed:
            continue
        words = asks[table].words if table in asks else ()
        yield f"\n[codes.{table}.words]" + (f"    # asked of a person: {', '.join(words)}" if words else "")
        for code, number in missed.most_common(SHOWN):
            yield f'# {_quoted(code)} = ""    # in {number}/{messages}'
        if len(missed) > SHOWN:
            yield f"# and {len(missed) - SHOWN} more"


def _places(unread: Counter[str], messages: int) -> Iterator[str]:
    """Yield the places that carry values which nothing reads, part by part."""
    if unread:
        yield "\n# --- places with values that nothing reads, and in how many of the messages"
    parts: dict[str, list[str]] = {}
    for place in sorted(unread):
        parts.setdefault(re.split("[-./]", place)[0], []).append(place)
    for places in parts.values():
        ordered = sorted(places, key=lambda place: -unread[place])
        more = f", and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        yield "# " + ", ".join(f"{_plain(place)} {unread[place]}/{messages}" for place in ordered[:SHOWN]) + more


def _quoted(text: str) -> str:
    """Return a text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    return _quoted(text)[1:-1]
