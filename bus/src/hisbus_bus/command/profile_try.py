"""``hisbus profile try``: a capture read with a profile that is not in use yet, and what would change."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

import typer

from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.topics import Keys
from hisbus_bus.lab import captures
from hisbus_bus.lab.tryout import Message, Moved, Placed, StayMoved, Tried, entries, filled, values
from hisbus_bus.play import feed, outcome, stage, with_profile
from hisbus_mapping import Mapping
from hisbus_schemas import Fact


async def tried(settings: Settings, profile: Path, files: Sequence[Path], connector: str) -> Tried:
    """Tell a capture to two new sites: one with the profile in use, one with another.

    Raises:
        ConfigError: the configuration or the profile is wrong, a file cannot be read, or holds no message.
        RetryLater: an agent or a step did not get on.
    """
    reads = feed(settings, connector)
    messages = captures.read(files, reads.split)
    Mapping(reads, over=profile)  # what is wrong with it is said before anything is started
    async with stage(settings, connector) as on:
        new = with_profile(on, profile)
        keys = Keys(secrets.token_bytes(32))
        return Tried(await outcome(new, messages, keys), await outcome(on, messages, keys))


def show(found: Tried, *, as_json: bool, values: bool) -> None:
    """Print it; without ``values`` nothing that a message says but codes of wards and departments."""
    said = [_message(found, message, values=values) for message in found.new.messages]
    moved, stays = list(found.messages_moved()), list(found.stays_moved())
    if as_json:
        whole = {
            "messages": said,
            "messages_moved": [_moved(one) for one in moved],
            "stays": len(found.new.charts),
            "stays_moved": [_stay(one) for one in stays],
            "failed": {"before": found.old.failed, "after": found.new.failed},
        }
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=1))
        return
    for one in said:
        typer.echo("\n".join(_lines(one)))
    counts = Counter(one["status"] for one in said)
    typer.echo(
        f"\n{len(said)} messages: {', '.join(f'{number} {status}' for status, number in sorted(counts.items()))}."
    )
    typer.echo(f"Against the profile in use, {len(moved)} messages would be read otherwise.")
    for change in moved:
        typer.echo("\n".join(_moved_lines(change)))
    typer.echo(f"{len(found.new.charts)} stays, {len(stays)} would differ.")
    for stay in stays:
        typer.echo("\n".join(_stay_lines(stay)))
    for agent, number in sorted(found.new.failed.items()):
        typer.echo(f"{number} calls of {agent} failed: what it would have found is not known.")
    typer.echo("Nothing was written.")


# --- what came out ----------------------------------------------------------------------------------------------------


def _message(found: Tried, message: Message, *, values: bool) -> dict[str, Any]:
    events = []
    for number, fact in enumerate(message.facts):
        placed = message.placed[number] if number < len(message.placed) else None
        events.append(_event(found, fact, placed, values=values))
    return {
        "number": message.number,
        "type": message.type,
        "status": message.status,
        "reason": message.reason,
        "flags": list(message.flags),
        "events": events,
        "left": dict(message.left),
    }


def _event(found: Tried, fact: Fact, placed: Placed | None, *, values: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "kind": fact.kind,
        "stay": found.stays[placed.encounter] if placed is not None and placed.encounter else "",
        "why_not": placed.flag if placed is not None else "",
        "entries": entries(fact),
        "fields": filled(fact),
        "asked": sorted({one.item for one in fact.unknown}),
    }
    return said | ({"values": _values(fact)} if values else {})


def _values(fact: Fact) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, value in values(fact):
        found.setdefault(place, []).append(value)
    return found


def _lines(message: Map[str, Any]) -> Iterator[str]:
    flags = f" [{', '.join(message['flags'])}]" if message["flags"] else ""
    reason = f" ({message['reason']})" if message["reason"] else ""
    yield f"{message['number']}  {message['type']}  {message['status']}{reason}{flags}"
    for event in message["events"]:
        where = event["stay"] or event["why_not"] or "no stay"
        counts = "".join(f", {number} {name}" for name, number in event["entries"].items())
        yield f"     {event['kind']} -> {where}{counts}"
        if "values" in event:
            yield from (f"         {place} = {' | '.join(said)}" for place, said in event["values"].items())
        else:
            yield f"         {' '.join(event['fields'])}"
        if event["asked"]:
            yield f"         a person is asked: {', '.join(event['asked'])}"
    if message["left"]:
        yield f"     left: {', '.join(f'{place} x{number}' for place, number in sorted(message['left'].items()))}"


# --- what would change ------------------------------------------------------------------------------------------------


def _moved(one: Moved) -> dict[str, Any]:
    return {
        "number": one.number,
        "type": one.type,
        "before": one.status[0],
        "after": one.status[1],
        "events": {kind: dict(counts) for kind, counts in one.kinds.items()},
        "fields": list(one.fields),
        "flags_gone": list(one.flags[0]),
        "flags_new": list(one.flags[1]),
    }


def _moved_lines(one: Moved) -> Iterator[str]:
    before, after = one.status
    turn = before if before == after else f"{before} -> {after}"
    yield f"  {one.number}  {one.type}  {turn}"
    for kind, counts in one.kinds.items():
        yield f"     {kind}: {', '.join(f'{number} {how}' for how, number in counts.items())}"
    if one.fields:
        yield f"         {' '.join(one.fields)}"
    for word, flags in zip(("no longer", "now"), one.flags, strict=True):
        if flags:
            yield f"     {word} flagged: {', '.join(flags)}"


def _stay(one: StayMoved) -> dict[str, Any]:
    return {
        "stay": one.stay,
        "how": one.how,
        "fields": {place: {"before": before, "after": after} for place, (before, after) in one.fields.items()},
        "findings": [
            {"agent": agent, "rule": rule, "state": state, "more": number}
            for (agent, rule, state), number in one.findings.items()
        ],
    }


def _stay_lines(one: StayMoved) -> Iterator[str]:
    yield f"  {one.stay} {one.how.replace('_', ' ')}"
    for place, (before, after) in one.fields.items():
        if isinstance(before, int):
            yield f"     {place}: {f'{before} values, others' if before == after else f'{before} -> {after} values'}"
        else:
            yield f"     {place}: {before or 'nothing'} -> {after or 'nothing'}"
    for (agent, rule, state), number in one.findings.items():
        named = " ".join(filter(None, (rule, state)))
        word = "opens" if number > 0 else "is not found any more"
        yield f"     {agent}: {named} {word}{f', {abs(number)} times' if abs(number) > 1 else ''}"
