"""What is decided of a message before it is stored, without a database: whose it is, and whether it is taken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hisbus_mapping.compiler import Compiler
from hisbus_mapping.numbers import patient_of
from hisbus_mapping.profile import Refusal
from hisbus_mapping.run import Run
from hisbus_schemas import PatientId

Judge = Callable[[Any, Run], "Judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What an envelope says."""

    code: str = ""
    """Empty: it is taken. Else the stable code it is refused with."""
    patient: PatientId | None = None
    """Whose message it is, which decides its key."""
    flags: tuple[str, ...] = ()


def judge_of(compiler: Compiler) -> Judge:
    """Compile an envelope to what judges a message that could be read."""
    envelope, place = compiler.profile.envelope, ("envelope",)
    patient = patient_of(compiler, envelope.patients, (*place, "patient"))
    refusals = [_refusal(compiler, one) for one in envelope.refuse]
    splits = {
        type: compiler.path("groups", one.each, ("split",)) for one in compiler.profile.split for type in one.types
    }

    def judge(source: Any, run: Run) -> Judged:
        """Judge a message; one of several patients has the key of its first."""
        split = splits.get(run.type)
        whose = next(iter(split(source, run)), source) if split is not None else source
        code = next((code for types, refuses, code in refusals if run.type in types and refuses(source, run)), "")
        return Judged(code, patient(whose, run), tuple(run.flags))

    return judge


def _refusal(compiler: Compiler, said: Refusal) -> tuple[frozenset[str], Callable[[Any, Run], bool], str]:
    place = ("envelope", "refuse")
    groups = compiler.path("groups", said.each, place)
    with compiler.inside():
        one, other = (compiler.numbered(path, place) for path in said.same)

    def refuses(source: Any, run: Run) -> bool:
        return any(
            (first := one(group, run)) is not None and first == other(group, run) for group in groups(source, run)
        )

    return frozenset(said.types), refuses, said.code
