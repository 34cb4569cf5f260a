"""Compiling: from a profile to what is called for each message."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, TypeAdapter

from hisbus import BadMessage, Reads, Translation
from hisbus_mapping.collisions import COLLISION, KEYS, apart
from hisbus_mapping.compiler import Compiler
from hisbus_mapping.context import Mistake, Place, Read
from hisbus_mapping.envelope import Envelope
from hisbus_mapping.models import each as compile_each
from hisbus_mapping.models import model
from hisbus_mapping.numbers import patient_of, visit_of
from hisbus_mapping.profile import Each, Facts
from hisbus_mapping.run import Run
from hisbus_schemas import Demographics, Fact, Moment, PatientId, Stay, Unknown, VisitId
from hisbus_schemas.event import Body

BODIES: Mapping[str, type[BaseModel]] = {
    cls.model_fields["body"].default: cls for cls in get_args(get_args(Body)[0]) if "body" in cls.model_fields
}
"""The models of what a fact carries, by the word that names each."""
_FACTS = TypeAdapter(list[Fact])
FUTURE_S = 86400.0
"""Seconds: a source time further ahead of its reception than this is flagged."""


class About(NamedTuple):
    """Who and which stay a fact is about, and when it happened."""

    time: Moment
    patient: PatientId | None
    visit: VisitId | None
    demographics: Demographics | None
    stay: Stay | None
    unknown: list[Unknown]


class Section(NamedTuple):
    """One kind of fact, compiled."""

    types: frozenset[str]
    groups: Read[list[Any]] | None
    when: Read[bool] | None
    required: Sequence[tuple[Read[str], str]]
    without: str
    refuse: str
    kind: Read[str] | None
    data: Read[Any] | None
    subject: Read[list[Any]] | None
    reads: Reads
    there: Read[Sequence[Any]] | None
    """All such groups, whatever ``when`` says of them."""
    flag: str


class Program:
    """A profile's sections, compiled."""

    def __init__(self, compiler: Compiler) -> None:
        """Compile.

        Raises:
            Mistake: names the key that cannot be compiled.
        """
        profile = compiler.profile
        compiler.noted()  # what the envelope reads, the subject reads again
        self._sections = [
            _section(compiler, one, ("facts", name)) for name, one in profile.facts.items() if not one.off
        ]
        self._about = _about(compiler)
        common = compiler.noted()
        self._splits = {
            type: compiler.path("groups", one.each, ("split",)) for one in profile.split for type in one.types
        }
        named = frozenset(profile.types).union(*(one.types for one in self._sections if one.kind or not one.when))
        self.types = named
        """The types of message that it says something of."""
        self._by_type = {
            type: [section for section in self._sections if not section.types or type in section.types]
            for type in sorted(named)
        }
        self._reads = {type: _united([common, *(one.reads for one in its)]) for type, its in self._by_type.items()}

    def translate(self, source: Any, run: Run) -> Translation:
        """Say what a message means.

        Raises:
            BadMessage: it cannot be understood.
        """
        made = self._read(source, run)
        # Of a type without mapping nothing is read.
        reads = self._reads.get(run.type, Reads())
        count = partial(source.count, reads)
        if made is None:
            return Translation(mapped=False, flags=[*source.flags, *run.flags], sender=run.sender, count=count)
        rest = source.unread(reads)
        names = list(dict.fromkeys(one.name for one in rest))
        if "?" in names:
            run.flag("malformed_segment")
        texts = [one.text for one in rest]  # what nothing read is kept on the first, so that nothing is lost
        for number, one in enumerate(made):
            one["segments"] = () if number else texts
        facts = _FACTS.validate_python(made)
        flags = [*source.flags, *run.flags]
        looked_up = list(run.looked_up.values())
        collided = run.said.get(COLLISION, 0)
        return Translation(
            bool(facts), facts, names, flags, sender=run.sender, looked_up=looked_up, collided=collided, count=count
        )

    def _read(self, source: Any, run: Run) -> list[dict[str, Any]] | None:
        """Return what the facts of a message hold; None where there is no mapping for its type."""
        sections = self._by_type.get(run.type)
        if sections is None:
            return None
        split = self._splits.get(run.type)
        groups = (split(source, run) or [source]) if split is not None else [source]
        made: list[dict[str, Any]] = []
        for group in groups:
            run.group = group
            made += self._of_one(group, run, sections)
        apart(made, run)
        return made

    def _of_one(self, group: Any, run: Run, sections: Sequence[Section]) -> list[dict[str, Any]]:
        about: About | None = None
        made = []
        for section in sections:
            if section.subject is not None:
                for subject in section.subject(group, run):
                    its: About | None = None
                    for one in self._groups(section, subject, run):
                        its = its or self._about(subject, run)
                        made.append(_fact(section, section.kind, its, one, run))
                continue
            for one in self._groups(section, group, run):
                about = about or self._about(group, run)
                made.append(_fact(section, section.kind, about, one, run))
        return made

    @staticmethod
    def _groups(section: Section, group: Any, run: Run) -> Iterator[Any]:
        found = [group] if section.groups is None else section.groups(group, run)
        if section.without and section.there is not None and not section.there(group, run):
            raise BadMessage("It holds nothing of what its type announces.", code=section.without)
        for number, one in enumerate(found, 1):
            if section.when is not None and not section.when(one, run):
                continue
            if section.flag:
                run.flag(section.flag)
            if section.refuse:
                raise BadMessage("What it says cannot be followed. Mend it at its source.", code=section.refuse)
            for read, code in section.required:
                if not read(one, run):
                    raise BadMessage("It does not name what it is about.", code=code)
            if section.kind is not None:
                run.number = number
                yield one


def mistakes_in(compiler: Compiler) -> list[Mistake]:
    """Return everything that cannot be compiled, each once: what is wrong in one section does not hide the next."""
    profile, found = compiler.profile, list[Mistake]()
    compiler.found = found
    parts: list[Callable[[], Any]] = [compiler.foreign, partial(Envelope, compiler)]
    if profile.function:
        parts.append(partial(compiler.function, profile.function, ()))
    else:
        parts.append(partial(_about, compiler))
        parts += [
            partial(_section, compiler, one, ("facts", name)) for name, one in profile.facts.items() if not one.off
        ]
    for part in parts:
        try:
            part()
        except Mistake as mistake:
            found.append(mistake)
    once: list[Mistake] = []
    for one in found:  # a path is compiled for several uses
        if not any(one.said == other.said and _around(one.place, other.place) for other in once):
            once.append(one)
    return once


def _around(one: Place, other: Place) -> bool:
    """Tell whether one of two places is the other or stands in it."""
    least = min(len(one), len(other))
    return one[:least] == other[:least]


def _fact(section: Section, kind: Read[str] | None, about: About, group: Any, run: Run) -> dict[str, Any]:
    run.time = about.time
    data = section.data(group, run) if section.data is not None else None
    run.data = data
    unknown = about.unknown
    if run.asked:
        field = KEYS.get(type(data), "")
        entry = getattr(data, field) if field else ""
        unknown = [*unknown, *(Unknown(item=one.item, code=one.code, entry=entry) for one in run.take_asked())]
    return {
        "kind": kind(group, run) if kind is not None else "",
        "time": about.time,
        "patient": about.patient,
        "visit": about.visit,
        "flags": run.flags,
        "demographics": about.demographics,
        "stay": about.stay,
        "data": data,
        "unknown": unknown,
    }


def _section(compiler: Compiler, said: Facts, place: Place) -> Section:
    emits = bool(said.emit)
    subject = compile_each(compiler, said.subject, (*place, "subject")) if said.subject else None
    groups, there = _groups_of(compiler, said, (*place, "each"), emits)
    with compiler.inside() if said.each or said.subject else nullcontext():
        emit = {"value": said.emit} if isinstance(said.emit, str) else said.emit
        section = Section(
            types=frozenset(said.types),
            groups=groups,
            when=compiler.condition(said.when, (*place, "when")) if said.when is not None else None,
            required=[(compiler.text(one.value, (*place, "required")), one.code) for one in said.required],
            without=said.without,
            refuse=said.refuse,
            kind=compiler.text(emit, (*place, "emit")) if emits else None,
            data=_data(compiler, said, place) if said.data else None,
            subject=subject,
            there=there,
            flag=said.flag,
            reads=Reads(),
        )
    return section._replace(reads=compiler.noted())


def _groups_of(
    compiler: Compiler, said: Facts, place: Place, emits: bool
) -> tuple[Read[list[Any]] | None, Read[Sequence[Any]] | None]:
    """Return what finds the groups of a section that it reads, and all such groups."""
    if not said.each:
        return None, None
    rules = Each(of=said.each) if isinstance(said.each, str) else said.each
    return compile_each(compiler, rules, place, takes=emits), compiler.path("groups", rules.of, place)


def _data(compiler: Compiler, said: Facts, place: Place) -> Read[Any]:
    fields = dict(said.data)
    body = fields.pop("body", "")
    if body not in BODIES:
        raise Mistake((*place, "data", "body"), f"it is one of {', '.join(sorted(BODIES))}")
    return model(compiler, BODIES[body], fields, (*place, "data"))


def _about(compiler: Compiler) -> Callable[[Any, Run], About]:
    said = compiler.profile.subject
    if said is None:
        raise Mistake(("subject",), "it is missing")
    time = compiler.moment(said.time, ("subject", "time"))
    patient = patient_of(compiler, compiler.profile.envelope.patients, ("envelope", "patient"))
    visit = visit_of(compiler, said.visit, ("subject", "visit"))
    demographics = model(compiler, Demographics, said.demographics, ("subject", "demographics"), optional=True)
    stay = model(compiler, Stay, said.stay, ("subject", "stay"), optional=True)

    def about(group: Any, run: Run) -> About:
        at = time(group, run)
        if at is None:
            run.flag("no_source_time")
            at = Moment(at=run.raw.recorded)
        elif (at.at - run.raw.recorded).total_seconds() > FUTURE_S or "future_time" in run.raw.flags:
            run.flag("future_time")
        run.time = at
        run.number_type = ""
        number = patient(group, run)
        if number is None:
            run.flag("no_patient_id")
        found = demographics(group, run)
        lies = stay(group, run)
        unknown = [Unknown(item=one.item, code=one.code) for one in run.take_asked()] if run.asked else []
        return About(at, number, visit(group, run), found, lies, unknown)

    return about


def _united(reads: Sequence[Reads]) -> Reads:
    return Reads(*(frozenset[str]().union(*kind) for kind in zip(*reads, strict=True)))
