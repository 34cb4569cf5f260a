"""The functions that a profile names: those of its connector's own package and of ours, and no others.

A site's file is data: it must not make the bus import, or call, whatever else is installed.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from hisbus_mapping.profile import Profile


def named(profile: Profile) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the functions that a profile names, each with where, also in what is not compiled."""
    return _named(profile.model_dump(mode="json", by_alias=True, exclude={"codes", "out"}), ())


def _named(said: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(said, list):
        for number, one in enumerate(said):
            yield from _named(one, (*place, str(number)))
    elif isinstance(said, dict):
        for key, value in said.items():
            if key == "function" and isinstance(value, str) and value:
                yield (*place, key), value
            else:
                yield from _named(value, (*place, key))


def allowed(module: str, package: str) -> bool:
    """Tell whether a profile may name functions of a module; ``package`` is that of the connector."""
    top = module.partition(".")[0]
    return top == "hisbus" or top.startswith("hisbus_") or (top == package and bool(top))


def load(name: str, package: str) -> Callable[..., Any]:
    """Load a function.

    Args:
        name: ``package.module:name``.
        package: of the connector, without what lies in it.

    Raises:
        ValueError: there is none, or a profile may not name it; then nothing was imported.
    """
    module, _, function = name.partition(":")
    if not allowed(module, package):
        raise ValueError(f"{name} is of another package: functions are of {package} or of hisbus")
    try:
        found = vars(import_module(module))[function]
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"there is no {name}") from error
    if not callable(found) or not allowed(getattr(found, "__module__", None) or "", package):
        raise ValueError(f"{name} is no function that is written there")  # what a module has imported is not its own
    return found  # type: ignore[no-any-return]
