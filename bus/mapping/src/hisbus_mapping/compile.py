"""Compiling: from a profile to what is called for each message."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from hisbus import ConfigError, Source, Translation
from hisbus_mapping.profile import Profile
from hisbus_schemas import Fact

Facts = Callable[[Any], Sequence[Fact] | None]
"""Returns the facts of a source, none where it says nothing that can be used; None where there is no mapping for it.

Pure. Raises BadMessage where there is a mapping and the message cannot be understood.
"""


def function_of(profile: Profile) -> Facts:
    """Load the function that a profile names.

    Raises:
        ConfigError: there is none.
    """
    module, _, name = profile.function.partition(":")
    try:
        found: Facts = vars(import_module(module))[name]
    except (ImportError, KeyError) as error:
        raise ConfigError(f"profile {profile.name}: function: there is no {profile.function}.") from error
    return found


def translation(facts: Facts, source: Source) -> Translation:
    """Say what a message means.

    Raises:
        BadMessage: it cannot be understood.
    """
    found = facts(source)
    if found is None:
        return Translation(mapped=False, flags=source.flags)
    return Translation(bool(found), list(found), list(source.unread()), source.flags)
