"""What a rule is: its data, as a rule file declares it, and the function that judges by it."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hisbus_qc.record import Record
from hisbus_schemas import Contract, Correction, Evidence, Finding, Need, PatientClass, Text, Wake

INPATIENT: frozenset[PatientClass] = frozenset({"inpatient"})


def _need(value: Any) -> Any:
    return {"item": value} if isinstance(value, str) else value


class Rule(Contract):
    """One rule, as data. A part of a rule is a rule of the same id with limits of its own."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")
    part: str = ""
    """Name of the part; empty: the whole rule."""
    title: Text
    titles: dict[str, Text] = {}
    """What its card is called in place of ``title``, by the text that it says (``absent``, ``late`` ...)."""
    together: bool = False
    """What its parts find about one subject is one finding: the papers of one operation, of one transfusion."""
    kind: Literal["T", "D", "X", "L"]
    """T: a deadline; D: structured data; X: across documents; L: its words must be understood, so a model is asked."""
    triggers: frozenset[str] = Field(min_length=1)
    """Kinds of events after which its answer may be another."""
    severity: Literal["info", "warning", "critical"]
    points: float = Field(ge=0)
    source: str
    """The instrument that demands it, with its article; ``院内规定`` where the limit is a habit of hospitals."""
    packs: tuple[str, ...] = ()
    """The packs that it is of, ``cn`` or ``us``: judged where the site names one of them. None: a site's own rule."""
    sources: dict[str, str] = {}
    """The instrument in another pack, in place of ``source``."""
    enabled: bool = True
    grace_s: float = Field(0, ge=0)
    """Seconds after a deadline in which what is done still counts as in time; the deadline itself stays."""
    classes: frozenset[PatientClass] = INPATIENT
    """Classes of stays that it judges; a stay of a day has a short record set of its own."""
    departments: frozenset[str] = frozenset()
    """Departments or wards that it judges; empty: all."""
    except_departments: frozenset[str] = frozenset()
    valid_from: date | None = None
    """First day of admission that it judges."""
    valid_until: date | None = None
    """Last day of admission that it judges."""
    condition: str = ""
    """Name of a condition kind; or else ``function``."""
    function: str = ""
    """``package.module:name`` of a Python function."""
    limits: dict[str, Any] = {}
    texts: dict[str, Text] = {}
    needs: tuple[Annotated[Need, BeforeValidator(_need)], ...] = ()
    """What of the record it needs beside what its limits name (``needs.py``): items, or tables as ``Need`` has them."""
    parts: tuple["Rule", ...] = ()

    def say(self, name: str, /, **values: str | Text) -> Text:
        """Return one of the rule's texts in both languages, filled in."""
        return _filled(self.texts[name], values)

    def titled(self, name: str, /, **values: str | Text) -> Text:
        """Return what a card is called that says one of the texts, filled in as that is."""
        return _filled(self.titles.get(name, self.title), values)

    def key(self, subject: str) -> str:
        """Return the identity of the rule's finding about a subject: empty, or an entry's id."""
        return ":".join(name for name in (self.id, self.part, subject) if name)

    def finding(
        self,
        message: Text,
        *,
        subject: str = "",
        state: str = "",
        evidence: list[Evidence],
        reads: list[str],
        due: datetime | None = None,
        points: float | None = None,
        title: Text | None = None,
        expected: Correction | None = None,
        **payload: Any,
    ) -> Finding:
        """Return a finding of this rule with its severity, points and title (or others), and its source."""
        return Finding(
            key=self.key(subject),
            rule=self.id,
            subject=subject,
            state=state,
            severity=self.severity,
            points=self.points if points is None else points,
            message=message,
            evidence=evidence,
            reads=reads,
            due=due,
            expected=expected,
            payload={"title": (title or self.title).model_dump(), "source": self.source, **payload},
        )

    def concerns(self, record: Record) -> bool:
        """Tell whether a stay is of a class and a department, and was admitted on a day, that the rule judges."""
        if record.chart.patient_class not in self.classes:
            return False
        if self.departments or self.except_departments:
            here = {record.chart.department, record.chart.location.ward}
            if here & self.except_departments or (self.departments and not here & self.departments):
                return False
        if self.valid_from or self.valid_until:
            day = record.day_admitted
            if day is None or day < (self.valid_from or day) or day > (self.valid_until or day):
                return False
        return True


def _filled(text: Text, values: Mapping[str, str | Text]) -> Text:
    return Text(
        zh=text.zh.format(**{key: value.zh if isinstance(value, Text) else value for key, value in values.items()}),
        en=text.en.format(**{key: value.en if isinstance(value, Text) else value for key, value in values.items()}),
    )


def listed(texts: Iterable[Text], *, stop: str = "、") -> Text:
    """Return several names as one, as either language lists them."""
    there = list(texts)
    return Text(zh=stop.join(text.zh for text in there), en=", ".join(text.en for text in there))


class Limits(BaseModel):
    """The limits that a condition takes: closed, so that a mistake in a rule file is named."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def wrong(self, texts: Mapping[str, Text]) -> str:
        """Return what does not go with the texts of their rule, key first; empty: nothing."""
        return ""

    def needed(self) -> Iterator[tuple[str, ...]]:
        """Yield what of the record the rule needs, as items of ``Need``: of each set any will do."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            kinds = [mark.kind for mark in field.metadata if isinstance(mark, Named)]
            if value and kinds:
                yield tuple(f"{kinds[0]}:{each}" for each in ((value,) if isinstance(value, str) else value))
            elif not kinds:
                yield from _needed(value)

    def partly(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield what only a part of what is judged needs, by its name; the rest is judged without."""
        yield from ()


def _needed(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Limits):
        yield from value.needed()
    elif isinstance(value, Mapping | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _needed(each)


@dataclass(frozen=True)
class Named:
    """Says of a limit that it names parts of the record which the rule cannot do without."""

    kind: Literal["document"]


DocumentTypes = Annotated[tuple[str, ...], Named("document")]
"""Types of documents, WS/T 500 or LOINC; any of them will do."""


def _compiled(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError("is no regular expression") from error
    return text


def _grouped(text: str) -> str:
    if re.compile(text).groups < 1:
        raise ValueError("needs a group: what stands in it is the value")
    return text


Regex = Annotated[str, AfterValidator(_compiled)]
"""A regular expression."""
GroupRegex = Annotated[str, AfterValidator(_compiled), AfterValidator(_grouped)]
"""One whose first group is the value."""

Said = Iterator[Finding | Wake]
"""What a rule says of a chart: what it finds, and when to look again."""


class Check(Protocol):
    """Judges a chart by one rule."""

    def __call__(self, rule: Rule, record: Record, limits: Any, /) -> Said:
        """Yield findings and wakes."""
        ...


def _texts() -> Mapping[str, Mapping[str, Text]]:
    tables = tomllib.loads(files("hisbus_qc").joinpath("texts.toml").read_text(encoding="utf-8"))
    return {
        f"hisbus_qc.{module}.{function}": {name: Text.model_validate(text) for name, text in texts.items()}
        for module, functions in tables.items()
        for function, texts in functions.items()
    }


_TEXTS = _texts()
"""The sentences of each condition, which a rule file may replace."""

Function = TypeVar("Function", bound=Callable[..., Iterator[Any]])


def takes(
    limits: type[Limits], *, needs: tuple[str, ...] = (), words: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Declare what a condition takes.

    Args:
        limits: the model of its limits.
        needs: texts that a rule file must give, beside those of ``texts.toml``.
        words: what it fills in beside the words of those.
    """

    def declare(function: Function) -> Function:
        function.__dict__["limits"] = limits
        function.__dict__["needs"] = needs
        function.__dict__["words"] = words
        function.__dict__["texts"] = _TEXTS.get(f"{function.__module__}.{function.__name__}", {})
        return function

    return declare
