"""Numbers of patients and visits, each with who gave it."""

from collections.abc import Callable, Sequence
from typing import Any

from hisbus_mapping.context import Context, Place, Read
from hisbus_mapping.profile import Numbers
from hisbus_mapping.run import Run
from hisbus_schemas import PatientId, VisitId

Number = tuple[str, str]
"""Authority and number."""


def patient_of(compiler: Context, said: Sequence[Numbers], place: Place) -> Read[PatientId | None]:
    """Compile where the patient's number stands."""
    readers = [_one(compiler, one, at, "") for one, at in zip(said, _places(said, place), strict=True)]

    def patient(group: Any, run: Run) -> PatientId | None:
        for read in readers:
            if (found := read(group, run)) is not None:
                return PatientId(authority=found[0], number=found[1])
        return None

    return patient


def visit_of(compiler: Context, said: Sequence[Numbers], place: Place) -> Read[VisitId | None]:
    """Compile where the visit's number stands."""
    bare = "" if compiler.named else "bare_visit_number"
    readers = [
        (
            _one(compiler, one, at, bare),
            compiler.path("text", one.counter, (*at, "counter")) if one.counter else None,
        )
        for one, at in zip(said, _places(said, place), strict=True)
    ]

    def visit(group: Any, run: Run) -> VisitId | None:
        for read, counter in readers:
            if (found := read(group, run)) is not None:
                counted = counter(group, run) if counter is not None else ""
                return VisitId(authority=found[0], number=found[1], counter=counted)
        return None

    return visit


def _places(said: Sequence[Numbers], place: Place) -> list[Place]:
    """Return where each of several stands."""
    return [place] if len(said) == 1 else [(*place, str(number)) for number in range(len(said))]


def _one(compiler: Context, said: Numbers, place: Place, bare: str) -> Callable[[Any, Run], Number | None]:
    groups = compiler.path("groups", said.each, (*place, "each")) if said.each else lambda group, _run: [group]
    if said.each:
        compiler.reads(said.each)
    with compiler.inside():
        number = compiler.path("text", said.number, (*place, "number"))
        authorities = [compiler.path("text", path, (*place, "authority")) for path in said.authority]
        prefer = _among(compiler, said.prefer, (*place, "prefer"))
        avoid = _among(compiler, said.avoid, (*place, "avoid"))
        type = compiler.path("text", said.type, (*place, "type")) if said.type else None
    own, never, flag = compiler.authority, said.never, said.flag

    def pick(group: Any, run: Run) -> Any:
        best = last = None
        for one in groups(group, run):
            if not number(one, run):
                continue
            if prefer is not None and prefer(one, run):
                return one
            if avoid is not None and avoid(one, run):
                last = last or (None if never else one)
            else:
                best = best or one
        return best or last

    def read(group: Any, run: Run) -> Number | None:
        one = pick(group, run)
        if one is None:
            return None
        if flag:
            run.flag(flag)
        if type is not None:
            run.number_type = type(one, run)
        named = next(filter(None, (authority(one, run) for authority in authorities)), run.authority)
        if bare and not named:
            run.flag(bare)
        return named or own, number(one, run)

    return read


def _among(compiler: Context, said: Any, place: Place) -> Read[bool] | None:
    if said is None:
        return None
    path, among = compiler.path("text", said.path, place), frozenset(said.among)
    return lambda group, run: path(group, run) in among
