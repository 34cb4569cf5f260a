"""Whose a visit is, and to which stay an event without a visit number belongs. Pure functions of stored events."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hisbus_bus.flow.chart.order import STAMP

UNASSIGNED = "unassigned_visit"
NOT_REGISTERED = "visit_not_registered"
REUSED = "visit_number_reused"
ANOTHER = "visit_of_another_patient"
CIRCULAR = "circular_merge"

OPENS, BARE = "opens", "bare"
"""What an event may do beside naming a visit: open it; or name it by a number of no certain authority."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge of two patients, or the move of one visit, as stored. Patients as received."""

    event: str
    prior: str | None
    patient: str | None
    visit: str | None
    order: str


@dataclass(slots=True)
class Claims:
    """Who opened a visit: the earliest event of all, the earliest with a patient; the visit's moves; its like."""

    first: tuple[str, str, str] | None = None
    """Fold order, connector, time zone. None: nobody has."""
    owner: tuple[str, str] | None = None
    """Fold order, patient as received."""
    moves: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Fold order, patient, prior; in fold order."""
    reused: str | None = None
    """Fold order from which on the number is another stay's."""
    counted: list[str] = field(default_factory=list)
    """The visits of this number that have a counter."""
    number: str | None = None
    """Of a visit with a counter: the visit that its number alone names."""

    def open(self, order: str, patient: str | None, connector: str, timezone: str) -> None:
        """Take in an event that names the visit and opens it."""
        first = (order, connector, timezone)
        self.first = min(self.first or first, first)
        if patient is not None:
            owner = (order, patient)
            self.owner = min(self.owner or owner, owner)

    def move(self, merge: Merge) -> None:
        """Take in a move of the visit."""
        self.moves = sorted([*self.moves, (merge.order, merge.patient, merge.prior)], key=lambda move: move[0])

    def present(self) -> str | None:
        """Return the owner, as received: where the last move brought the visit, else who was named first."""
        moved = [patient for _, patient, _ in self.moves if patient is not None]
        return moved[-1] if moved else self.owner[1] if self.owner else None

    def holders(self) -> set[str]:
        """Return everyone who has or had the visit, as received: their events on it are the visit's."""
        named = [who for _, patient, prior in self.moves for who in (patient, prior)]
        return {who for who in (self.owner[1] if self.owner else None, *named) if who is not None}


def survivors(patients: Iterable[str], merges: Iterable[Merge]) -> tuple[dict[str, str], set[str]]:
    """Fold merges in order. Return where each patient ended, and the merges that would have closed a circle."""
    hop: dict[str, str] = {}
    circular = set()

    def chain(patient: str) -> list[str]:
        passed = [patient]
        while passed[-1] in hop:
            passed.append(hop[passed[-1]])
        return passed

    for merge in sorted(merges, key=lambda merge: merge.order):
        if merge.visit is not None or merge.prior is None or merge.patient is None:
            continue
        if merge.prior in chain(merge.patient):
            circular.add(merge.event)
        else:
            hop[merge.prior] = merge.patient
    return {patient: chain(patient)[-1] for patient in patients}, circular


def accepts(claims: Claims, patient: str | None, root: Callable[[str], str]) -> bool:
    """Tell whether an event of a patient that names the visit is the visit's."""
    return patient is None or root(patient) in {root(holder) for holder in claims.holders()}


def by_time(order: str, stays: Iterable[tuple[str, str]]) -> str:
    """Return the stay, of (begins, id), to which an event of one of them belongs: the last that had begun.

    What comes before all of them belongs to the first.
    """
    at = order[:STAMP]
    began = sorted(stays)
    return next((id for begins, id in reversed(began) if begins <= at), began[0][1])


def only_open(order: str, stays: Iterable[tuple[str, str | None, str | None]]) -> str | None:
    """Return the only stay, of (id, begins, ends), that was open at an event's source time; None: none or several."""
    at = order[:STAMP]
    open_then = [id for id, begins, ends in stays if begins and begins <= at and (ends is None or at <= ends)]
    return open_then[0] if len(open_then) == 1 else None
