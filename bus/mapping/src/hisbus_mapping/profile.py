"""The profile: a file that says what the messages of one source mean. It is closed: an unknown key is refused."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hisbus import ConfigError


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Preferred(_Table):
    """Which of several repetitions is meant; where none has such a value, it is the first."""

    path: str = Field(min_length=1)
    among: tuple[str, ...] = Field(min_length=1)


class Numbers(_Table):
    """Where the patient's number stands, one group for each that the message gives."""

    each: str = Field(min_length=1)
    number: str = Field(min_length=1)
    """Path within such a group; one without it does not count."""
    authority: tuple[str, ...] = ()
    """Paths of who gave the number: the first with a value. None has one: it is the connector's own."""
    prefer: Preferred | None = None


class Refusal(_Table):
    """Messages that are refused when they arrive, because no sending again can mend them."""

    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    types: tuple[str, ...] = Field(min_length=1)
    each: str = Field(min_length=1)
    same: tuple[str, str]
    """Paths of numbers, within each such group: refused where both name the same patient."""


class Envelope(_Table):
    """What is read of a message before it is stored: whose it is, and whether it is taken."""

    patient: Numbers
    refuse: tuple[Refusal, ...] = ()


class Profile(_Table):
    """What the messages of one source mean."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    function: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
    """``package.module:name`` of the function that returns the facts of a source."""
    envelope: Envelope


def read_profile(path: Path) -> Profile:
    """Read a profile's file.

    Raises:
        ConfigError: names the file, and each key that is wrong with what is wrong about it.
    """
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The profile {path} cannot be read. Check its path and owner; it is in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The profile {path} is not TOML ({error}).") from error
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        lines = (f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}." for one in mistakes)
        raise ConfigError("\n".join(lines)) from error
