"""What two tables of a configuration cannot both have: one address, or one file."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from hisbus.addresses import address
from hisbus_bus.kernel.settings import Settings

_EMBEDDED = "sqlite:///"
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, never bound
_HERE = {"localhost": "127.0.0.1"}


def listening(settings: Settings, *, web: bool) -> Iterator[str]:
    """Yield a sentence for each address at which two would listen.

    Args:
        settings: of the site.
        web: the page listens in the same process as the connectors.
    """
    found = [("web.listen", "web.listen", settings.web.listen)] if web else []
    for table in settings.connectors:
        name, where = table.get("name"), table.get("listen")
        if isinstance(where, str):
            found.append((f"connectors.{name}.listen", f"connector {name!r}: listen", where))
    for (other, _, taken), (_, own, wanted) in combinations(found, 2):
        if _meet(taken, wanted):
            yield f"{own}: {other} listens at {taken}, too. Choose another port for one of them."


def stored(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each file in which two things would be stored."""
    named: dict[str, str | Path | None] = {
        "log.url": settings.log.url,
        "database.url": settings.database.url,
        "terms_file": settings.terms_file,
        "secret_file": settings.secret_file,
        "anchor_file": settings.anchor_file,
    }
    files = [(key, file) for key, value in named.items() if (file := _file(value)) is not None]
    for (first, one), (second, other) in combinations(files, 2):
        if one.resolve() == other.resolve():
            yield f"{second}: {other} is the file of {first}. Give each a file of its own."


def _meet(one: str, other: str) -> bool:
    try:
        (host, port), (host_too, port_too) = address(one), address(other)
    except ValueError:
        return False  # whoever listens there says what is wrong with it
    hosts = {_HERE.get(host, host), _HERE.get(host_too, host_too)}
    return port == port_too and port != 0 and (len(hosts) == 1 or bool(hosts & _EVERYWHERE))


def _file(value: str | Path | None) -> Path | None:
    if isinstance(value, str):
        return Path(value.removeprefix(_EMBEDDED)) if value.startswith(_EMBEDDED) else None
    return value
