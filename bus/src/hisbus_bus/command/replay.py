"""What ``hisbus replay`` says of messages and charts. Ids, kinds and rules; nothing of a patient."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping as Map
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from hisbus.errors import ConfigError
from hisbus_bus.command import parked
from hisbus_bus.command.printed import show, table_of
from hisbus_bus.command.written import caller
from hisbus_bus.kernel.live import live
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.lab import rehearsal
from hisbus_bus.lab import replay as replaying
from hisbus_bus.lab.replay import Progress, Wanted, agent_of, instant, mapping_of, opened
from hisbus_mapping import Mapping

SHOWN = 20
"""Most ids of one line."""

out = Console(highlight=False, markup=False, soft_wrap=True)


async def replay_messages(
    settings: Settings, name: str, begin: str, end: str, *, dry_run: bool, force: bool = False, as_of: str = ""
) -> None:
    """Read a connector's messages again, or say what that would change.

    Raises:
        ConfigError: there is no such connector, a time is none, or nothing was stored yet.
    """
    mapping = mapping_of(settings, name)
    until = instant(end, mapping.connector.timezone) if end else None
    mark = instant(as_of, mapping.connector.timezone).isoformat() if as_of else ""
    wanted = Wanted(mapping, instant(begin, mapping.connector.timezone), until, force, mark)
    async with opened(settings) as site:
        if dry_run:
            with _progress() as progress:
                found = await rehearsal.messages(site, wanted, progress)
            _say_messages(found)
            return
        await _refuse_what_is_not_live(site, mapping)
        with _progress() as progress:
            sent = await replaying.messages(site, wanted, progress, by=caller())
    out.print(f"{sent.sent} messages are read again.")
    if sent.taken:
        out.print(f"{sent.taken} of them were refused when they arrived, and are accepted now.")
    _say_left_out(sent)


async def _refuse_what_is_not_live(site: Site, mapping: Mapping) -> None:
    """Refuse to have messages read again by what the site does not read by: they would be as they were."""
    name = mapping.connector.name
    now = (await live(site.database, [mapping]))[name]
    if now.name != mapping.name:
        file = mapping.file or f"the profile that ships with connector {name!r}"
        raise ConfigError(
            f"The site reads by {now.name}, and {file} is {mapping.name}. To put it in: hisbus profile use"
            f" {mapping.file or 'FILE'} --connector {name}. To go by what is live, write that to the file:"
            f" hisbus profile use {now.name} --connector {name}."
        )


async def replay_stays(settings: Settings, name: str, *, closed: bool, dry_run: bool) -> None:
    """Let an agent judge charts again, or say what that would change.

    Raises:
        ConfigError: there is no such agent, or nothing was stored yet.
    """
    if name in settings.remote and not dry_run:
        async with opened(settings) as site:
            with _progress() as progress:
                stays = await replaying.stays(site, name, closed=closed, progress=progress, by=caller())
        out.print(f"{stays} stays are judged again.")
        return
    async with agent_of(settings, name) as (host, agent), opened(settings) as site:
        with _progress() as progress:
            if not dry_run:
                stays = await replaying.stays(site, name, closed=closed, progress=progress, by=caller())
                out.print(f"{stays} stays are judged again.")
                return
            found = await rehearsal.stays(site, host, agent, closed=closed, progress=progress)
    _say_judgements(found)


def _say_messages(found: rehearsal.Messages) -> None:
    changed = found.turns.total()
    out.print(f"{found.total} messages were not read with this mapping yet: {changed} would change.")
    for (was, becomes), number in sorted(found.turns.items()):
        out.print(f"  {number} {was}" + (f" would be {becomes}" if was != becomes else ", with other events"))
    if found.changed:
        table = table_of("type", "messages", "ids")
        for type, ids in sorted(found.changed.items()):
            table.add_row(type, str(len(ids)), _some(ids))
        show(table)
    _say_counts("kind of event", found.kinds, {"appear": "appear", "disappear": "disappear", "change": "change"})
    _say_left_out(found)
    out.print("Nothing was written.")


def _say_judgements(found: rehearsal.Judgements) -> None:
    out.print(f"{found.stays} stays were judged.")
    words = {
        "open": "would open",
        "superseded": "be superseded",
        "resolved": "be resolved",
        "withdrawn": "be withdrawn",
        "again": "be open again",
    }
    if found.rules:
        _say_counts("rule", found.rules, words)
    else:
        out.print("No proposal would change.")
    for code, number in sorted(found.failed.items()):
        out.print(f"{number} calls failed ({code}): nothing would change for these.")
    out.print("Nothing was written.")


def _say_counts(what: str, rows: Map[str, Counter[str]], words: Map[str, str]) -> None:
    if rows:
        table = table_of(what, *words.values())
        for name, counts in sorted(rows.items()):
            table.add_row(name, *(str(counts[how]) for how in words))
        show(table)


def _say_left_out(found: replaying.Sent | rehearsal.Messages) -> None:
    for code, number in sorted(found.refused.items()):
        out.print(f"{number} are refused still: {code}.{parked.hint(code)}")
    if found.overtaken:
        pairs = _some([f"{id} ({since})" for id, since in found.overtaken])
        out.print(
            f"{len(found.overtaken)} wait, because their senders have since stored another message under the same"
            f" control id, named beside each: {pairs}. Add --force to read them, too."
        )
    if found.gone:
        gone = found.gone
        out.print(f"{len(gone)} stay as they are, because the log no longer keeps their originals: {_some(gone)}.")


def _some(ids: list[str]) -> str:
    more = len(ids) - SHOWN
    return ", ".join(ids[:SHOWN]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show how far it is, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
