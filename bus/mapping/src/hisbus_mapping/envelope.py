"""What is decided of a message before it is stored, without a database: whose it is, and whether it is taken."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hisbus import Reads
from hisbus_mapping.compiler import Compiler
from hisbus_mapping.numbers import patient_of
from hisbus_mapping.profile import Refusal
from hisbus_mapping.run import Run
from hisbus_schemas import PatientId


class Judged(NamedTuple):
    """What an envelope says."""

    code: str = ""
    """Empty: it is taken. Else the stable code it is refused with."""
    patient: PatientId | None = None
    """Whose message it is, which decides its key."""
    flags: tuple[str, ...] = ()


class Envelope:
    """Judges messages that could be read, by what a profile says of them."""

    def __init__(self, compiler: Compiler) -> None:
        """Compile.

        Raises:
            Mistake: names the key that cannot be compiled.
        """
        envelope, place = compiler.profile.envelope, ("envelope",)
        compiler.noted()
        self._patient = patient_of(compiler, envelope.patients, (*place, "patient"))
        self._reads = compiler.noted()
        self._refusals = [_refusal(compiler, one) for one in envelope.refuse]
        self._splits = {
            type: compiler.path("groups", one.each, ("split",)) for one in compiler.profile.split for type in one.types
        }
        self._whole = frozenset(self._splits).union(*(types for types, *_ in self._refusals))

    def reads(self, type: str) -> Reads | None:
        """Return all that is read of a message of a type; None: it may be anything."""
        return None if type in self._whole else self._reads

    def judge(self, source: Any, run: Run) -> Judged:
        """Judge a message; one of several patients has the key of its first."""
        split = self._splits.get(run.type)
        whose = next(iter(split(source, run)), source) if split is not None else source
        code = next((code for types, refuses, code in self._refusals if run.type in types and refuses(source, run)), "")
        return Judged(code, self._patient(whose, run), tuple(run.flags))


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
