"""The profile: a file that says what the messages of one source mean. It is closed: an unknown key is refused.

Paths are of the connector's format, and only its reader knows them. A site's file is laid over the one that ships: it
names what it changes, key by key.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hisbus import ConfigError
from hisbus_mapping.lines import line_of

DEEPEST = 60
"""Parts of a place in a profile; what ships has 15."""
_DEEP = f"it is nested deeper than {DEEPEST} tables and lists"
_AT_LINE = re.compile(r"\(at line ([0-9]+),")
_PYTHON_S = {
    **dict.fromkeys(("tuple_type", "list_type"), "a list belongs here"),
    **dict.fromkeys(("model_type", "dict_type", "mapping_type", "model_attributes_type"), "a table belongs here"),
}
"""What belongs in a place, by pydantic's name of the mistake."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Condition(_Table):
    """Whether something holds of a group. Of several keys, all must."""

    path: "str | Value" = ""
    """What ``is``, ``in``, ``starts``, ``table``, ``number``, ``time`` and ``present`` look at."""
    is_: str | None = Field(None, alias="is")
    among: tuple[str, ...] = Field((), alias="in")
    starts: str = ""
    table: str = ""
    """A table of codes that has the value."""
    present: bool | None = None
    types: tuple[str, ...] = ()
    """The message is of one of these types."""
    same: tuple[str, str] | None = None
    """Both paths name the same patient."""
    not_: "Condition | None" = Field(None, alias="not")
    any: "tuple[Condition, ...]" = ()
    all: "tuple[Condition, ...]" = ()
    all_of: "All | None" = None
    """There is a group of this kind, and it holds of each."""
    any_of: "All | None" = None
    """There is a group of this kind of which it holds."""
    some: str = ""
    """There is a group of this kind."""
    several: str = ""
    """There is more than one group of this kind."""
    equal: tuple[str, str] | None = None
    """Both paths have the same value."""
    number: bool = False
    """``path`` holds a number."""
    time: bool = False
    """``path`` holds a time that can be read."""

    @model_validator(mode="after")
    def _looks_at_something(self) -> Self:
        looks = (self.among, self.starts, self.table, self.number, self.time)
        if bool(self.path) is not (any(looks) or self.is_ is not None or self.present is not None):
            raise ValueError("path and one of is, in, starts, table, number, time, present go together")
        return self


class All(_Table):
    """Groups, and what must hold of each."""

    each: str = Field(min_length=1)
    when: Condition


class Value(_Table):
    """Where one value comes from. A path alone stands for ``{ from = PATH }``."""

    from_: "str | tuple[str | Value, ...]" = Field((), alias="from")
    """A path; of a list the first that has a value. ``@time`` is the time of the fact, ``@message`` the message's id,
    ``@number`` which of several groups it is, ``@number_type`` what kind the patient's number is; in ``emit``,
    ``@data.FIELD`` is what the fact carries."""
    value: str | None = None
    """This very text."""
    join: "tuple[str | Value, ...]" = ()
    """The values of all of these, those that have one, with ``with`` between them."""
    with_: str = Field("", alias="with")
    name: tuple[str, str] | None = None
    """Paths of family and given name, written as names are."""
    every: str = ""
    """All values of a path, of each such part of the group."""
    each: str = ""
    """The first of these groups for which ``when`` holds; ``from`` is read in it."""
    when: Condition | None = None
    """Where it does not hold, there is no value."""
    table: str = ""
    """A table of codes; the value becomes our word."""
    otherwise: Literal["flag", "keep", "ask"] = "flag"
    """What becomes of a code that the table lacks: flagged and left out, kept as sent, or asked of a person."""
    item: str = ""
    """What cannot be judged while a code is asked: ``class``, ``document:*`` ...."""
    flag: str = ""
    """Noted on the message where this value is taken."""
    add_minutes: str = ""
    """A path whose number of minutes is added to a time."""
    function: str = ""
    """``package.module:name``, where the language cannot say it."""
    reads: tuple[str, ...] = ()
    """The paths that the function reads."""


class Each(_Table):
    """Groups of a list, one entry for each."""

    of: str = Field(min_length=1)
    when: Condition | None = None
    by: str = ""
    """Groups with the same value are one entry."""
    lines: "Lines | None" = None


class Lines(_Table):
    """Groups that follow one another and are the lines of one text: they are one entry."""

    same: tuple[str, ...] = Field(min_length=1)
    when: Condition


class Table(_Table):
    """Codes of the source, and what they are in our words."""

    words: Mapping[str, str] = {}
    """Our word by code; empty: known, and it says nothing."""
    same: tuple[str, ...] = ()
    """Codes that are our words already."""

    @property
    def known(self) -> Mapping[str, str]:
        """Our word by code."""
        return {**dict(zip(self.same, self.same, strict=True)), **self.words}


class Preferred(_Table):
    """Which of several repetitions is meant; where none has such a value, it is the first."""

    path: str = Field(min_length=1)
    among: tuple[str, ...] = Field(min_length=1)


class Numbers(_Table):
    """Where a patient's or a visit's number stands, one group for each that the message gives."""

    each: str = ""
    """None: the group itself is one."""
    number: str = Field(min_length=1)
    """Path within such a group; one without it does not count."""
    authority: tuple[str, ...] = ()
    """Paths of who gave the number: the first with a value. None has one: it is the connector's own."""
    prefer: Preferred | None = None
    avoid: Preferred | None = None
    """What is taken only where there is nothing else; with ``never`` not even then."""
    never: bool = False
    flag: str = ""
    """Noted on the message where the number is taken from here."""
    type: str = ""
    """Of a patient, path of what kind of number it is: ``@number_type``, which write-backs say again."""
    counter: str = ""
    """Of a visit, read of the group around: which of the stays of that number it is, where its source counts them."""


class Refusal(_Table):
    """Messages that are refused when they arrive, because no sending again can mend them."""

    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    types: tuple[str, ...] = Field(min_length=1)
    each: str = Field(min_length=1)
    same: tuple[str, str]
    """Paths of numbers, within each such group: refused where both name the same patient."""


class Envelope(_Table):
    """What is read of a message before it is stored: whose it is, and whether it is taken."""

    patient: Numbers | tuple[Numbers, ...]
    refuse: tuple[Refusal, ...] = ()

    @property
    def patients(self) -> Sequence[Numbers]:
        """Where the patient's number may stand, in this order."""
        return (self.patient,) if isinstance(self.patient, Numbers) else self.patient


class Subject(_Table):
    """What every fact of a message carries."""

    time: Any
    """When it happened, a value; of none that can be read, it is when the message was stored."""
    visit: tuple[Numbers, ...] = ()
    demographics: Mapping[str, Any] = {}
    stay: Mapping[str, Any] = {}


class Required(_Table):
    """A value without which a message cannot be understood."""

    value: Any
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")


class Facts(_Table):
    """One kind of fact that a message may hold."""

    emit: Any = ""
    """The kind: ``encounter.admitted`` ..., or a value."""
    types: tuple[str, ...] = ()
    """Types of message; none: every type that another section reads."""
    each: str | Each = ""
    """A fact for each of these groups; none: one for the message."""
    subject: str = ""
    """For each of these groups, who and which stay it is about stands in it; none: the message says it once."""
    when: Condition | None = None
    required: tuple[Required, ...] = ()
    without: str = ""
    """The code with which a message of these types is parked that has no such group."""
    refuse: str = ""
    """The code with which a message is parked that has such a group."""
    flag: str = ""
    """Noted on the message where there is such a group. Without ``emit`` nothing else becomes of it."""
    data: Mapping[str, Any] = {}
    """``body`` names the model of the event contract, the other keys its fields. A list of parts is a table with
    ``each``, or several of them, one after the other."""
    off: bool = False
    """A site's file leaves out what it does not want."""


class Split(_Table):
    """Messages about several patients: each of these groups is read as a message of its own."""

    types: tuple[str, ...] = Field(min_length=1)
    each: str = Field(min_length=1)


class Leaving(_Table):
    """What a field of a write-back says. A text alone stands for ``{ value = TEXT }``."""

    value: str | None = None
    """This very text."""
    from_: Literal["connector", "document", "patient_class", "sex", "number_type"] | None = Field(None, alias="from")
    """What is known of it: ``document`` is its type, of a notice ``QC``; ``number_type`` what kind the patient's number
    was received as."""
    words: Mapping[str, str] = {}
    """The HIS's code by our word; what is not named leaves as it is."""
    otherwise: str | None = None
    """What leaves in place of what ``words`` does not name."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.value is None) is (self.from_ is None):
            raise ValueError("either value or from says what leaves")
        return self


def _in_long(said: Any) -> Any:
    return {"value": said} if isinstance(said, str) else said


class Profile(_Table):
    """What the messages of one source mean."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    function: str = Field("", pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*)?$")
    """``package.module:name`` of the function that returns the facts of a source, in place of ``facts``."""
    envelope: Envelope
    dates: tuple[str, ...] = ("compact", "iso")
    """How times are written: ``compact`` (20260302T083000+0800, without the T), ``iso``, or letters: ``YYYY/MM/DD``."""
    codes: Mapping[str, Table] = {}
    shapes: Mapping[str, Mapping[str, Any]] = {}
    """Parts that recur: ``{ shape = NAME, at = PATH }`` stands for its keys, their paths behind this one."""
    types: tuple[str, ...] = ()
    """Types of message that hold nothing but what sections without types read."""
    split: tuple[Split, ...] = ()
    subject: Subject | None = None
    out: Mapping[str, Annotated[Leaving, BeforeValidator(_in_long, json_schema_input_type=str | Leaving)]] = {}
    """How write-backs leave: fields by the connector's own names."""
    facts: Mapping[str, Facts] = {}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.function) == bool(self.facts):
            raise ValueError("either function or facts says what a message means")
        if self.facts and self.subject is None:
            raise ValueError("subject is missing: who and which stay a message is about")
        return self


def read_profile(path: Path) -> Profile:
    """Read the profile of one file.

    Raises:
        ConfigError: as ``profile_of``, or it cannot be read.
    """
    return profile_of({path: text_of(path)})


def profile_of(texts: Mapping[Path, str]) -> Profile:
    """Return what the texts of a profile's files say, each laid over the one before.

    Raises:
        ConfigError: names the file, the line, and each key that is wrong with what is wrong about it.
    """
    laid: dict[str, Any] = {}
    for path, text in texts.items():
        laid = _laid_over(laid, _table(path, text))
    try:
        return Profile.model_validate(laid)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentences(error, texts))) from error


def read_table(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a profile's file as it stands: its text and what it says.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    text = text_of(path)
    return text, _table(path, text)


def mistaken(texts: Mapping[Path, str], place: Sequence[str], said: str) -> ConfigError:
    """Return the error that names the file and line of a key, the last file that has it."""
    return ConfigError(_sentence(texts, place, said))


def text_of(path: Path) -> str:
    """Read the text of a profile's file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark before it
    except OSError as error:
        raise ConfigError(f"The profile {path} cannot be read. Check its path and owner.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: it is not in UTF-8. Save the file in UTF-8.") from error


def _table(path: Path, text: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        line = int(at[1]) if at else max(1, len(text.splitlines()))
        raise ConfigError(f"{path}:{line}: it is not TOML ({error}).") from error
    except RecursionError as error:
        lines = text.splitlines()
        line = max(range(len(lines)), key=lambda number: sum(map(lines[number].count, "[{"))) + 1
        raise ConfigError(f"{path}:{line}: {_DEEP}.") from error
    if place := _too_deep(table):
        raise ConfigError(f"{path}:{line_of(text, place)[0]}: {_DEEP}.")
    return table


def _too_deep(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the place of what is nested deeper than what follows can go; empty: nothing is."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), table)]
    while waiting:
        place, said = waiting.pop()
        if len(place) > DEEPEST:
            return place
        if isinstance(said, dict):
            waiting += [((*place, key), one) for key, one in said.items()]
        elif isinstance(said, list):
            waiting += [((*place, str(number)), one) for number, one in enumerate(said)]
    return ()


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with another laid over it: tables key by key, everything else replaced."""
    laid = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(laid.get(key), dict)
        laid[key] = _laid_over(laid[key], value) if both else value
    return laid


def _sentences(error: ValidationError, texts: Mapping[Path, str]) -> Iterator[str]:
    for one in error.errors(include_input=False, include_url=False):
        yield _sentence(texts, [str(part) for part in one["loc"]], told(one))


def told(error: Mapping[str, Any]) -> str:
    """Return what is wrong in the words of TOML: pydantic says it in those of Python."""
    said = str(error.get("ctx", {}).get("error") or error["msg"])
    return _PYTHON_S.get(error["type"], said)


def _sentence(texts: Mapping[Path, str], place: Sequence[str], said: str) -> str:
    found = {path: line_of(text, place) for path, text in texts.items()}
    path = max(reversed(found), key=lambda one: found[one][1])  # of those that say as much, the site's
    return f"{path}:{found[path][0]}: {'.'.join(place)}: {said.rstrip('.')}."
