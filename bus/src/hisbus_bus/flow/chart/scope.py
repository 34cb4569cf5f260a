"""The patients and encounters that a set of messages concerns: locked, loaded once, and written back."""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from hisbus_bus.flow.chart.store import NONE, Encounter, Patient, Store
from hisbus_bus.flow.chart.visits import Merge
from hisbus_schemas import PatientId, VisitId


class Scope:
    """Rows in memory. Whoever changes one says so with ``touch``."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.patients: dict[str, Patient] = {}
        self.encounters: dict[str, Encounter] = {}
        self._changed: set[str] = set()
        self._of_backfill: set[str] = set()
        """The encounters of which, as they were loaded, nothing came as it happened."""

    def root(self, patient: str) -> str:
        """Return the patient that a number ended in."""
        return self.patients[patient].survivor

    def members(self, roots: Collection[str]) -> list[Patient]:
        """Return the numbers that ended in any of these patients."""
        return [patient for patient in self.patients.values() if patient.survivor in roots]

    def stays(self, roots: Collection[str]) -> list[Encounter]:
        """Return the loaded encounters that these patients own."""
        return [encounter for encounter in self.encounters.values() if encounter.patient in roots]

    def counted(self, encounter: Encounter) -> list[Encounter]:
        """Return the stays of a number that have a counter; what has none belongs to one of them by its time."""
        others = (self.encounters[id] for id in encounter.claims.counted)
        return [other for other in others if other.claims.first is not None]

    def is_stay(self, encounter: Encounter) -> bool:
        """Tell whether somebody opened it, and its number alone names it."""
        return encounter.claims.first is not None and not self.counted(encounter)

    def backfill(self, encounter: Encounter) -> Literal["", "all", "ends"]:
        """Return whether an encounter is of backfill, or was until these messages; call it once they are folded."""
        if encounter.of_backfill:
            return "all"
        return "ends" if encounter.id in self._of_backfill else ""

    @property
    def changed(self) -> list[tuple[Encounter, Patient | None]]:
        """The encounters that were changed, each with the patient that it shows."""
        changed = (self.encounters[id] for id in sorted(self._changed & self.encounters.keys()))
        return [(one, self.patients[self.root(one.patient)] if one.patient else None) for one in changed]

    def touch(self, id: str) -> None:
        """Note that a patient or an encounter was changed."""
        self._changed.add(id)

    async def open(
        self,
        patients: Mapping[str, PatientId],
        visits: Mapping[str, VisitId],
        *,
        known: Collection[str],
        encounters: Collection[str],
        merged: Collection[str],
    ) -> tuple[set[str], list[Merge]]:
        """Lock all patients, then all encounters, each in id order; make those that do not exist.

        Args:
            patients: named by the messages.
            visits: named by the messages.
            known: further patients.
            encounters: further encounters.
            merged: ends of merges that come or go.

        Returns:
            Every patient that merges connect with those in ``merged``, and the stored merges among them.
        """
        wanted, stays = {*patients, *known, *merged}, {*visits, *encounters}
        while True:
            self.patients = await self.store.lock_patients(wanted)
            if absent := patients.keys() - self.patients.keys():
                self.patients = await self.store.lock_patients(wanted, {id: patients[id] for id in absent})
            self.encounters = await self._lock(stays)
            if absent := visits.keys() - self.encounters.keys():
                self.encounters = await self._lock(stays, {id: visits[id] for id in absent})
            # Read behind the locks, for it may have changed while waiting for them.
            linked, merges = await self.store.connected(merged) if merged else (set[str](), list[Merge]())
            concerned = linked | _holders(self.encounters.values())
            if concerned <= self.patients.keys():
                return linked, merges
            wanted |= concerned

    async def bring_patients(self, ids: Collection[str]) -> None:
        """Load patients that turned out to be concerned, with every number merged with them."""
        if absent := set(ids) - self.patients.keys():
            self.patients = await self.store.lock_patients(absent) | self.patients

    async def bring(self, encounters: Collection[str]) -> None:
        """Load encounters that turned out to be concerned. Their patients' locks keep others away meanwhile."""
        if absent := set(encounters) - self.encounters.keys():
            self.encounters |= await self._lock(absent)
            await self.bring_holders()

    async def bring_holders(self) -> None:
        """Load the patients who have or had the loaded encounters."""
        await self.bring_patients(_holders(self.encounters.values()))

    async def bring_stays(self, roots: Collection[str], *, open_only: bool = False) -> None:
        """Load the encounters that patients own; on request only those with a beginning."""
        await self.bring_patients(roots)
        found = self._loaded(await self.store.lock_stays(roots, open_only=open_only))
        self.encounters = found | self.encounters
        await self.bring({other for encounter in found.values() for other in _alike(encounter)})
        await self.bring_holders()

    def save(self) -> None:
        """Write back what was changed."""
        self.store.save(
            [patient for id, patient in sorted(self.patients.items()) if id in self._changed],
            [encounter for id, encounter in sorted(self.encounters.items()) if id in self._changed],
        )

    async def _lock(self, encounters: Collection[str], new: Mapping[str, VisitId] = NONE) -> dict[str, Encounter]:
        found: dict[str, Encounter] = {}
        wanted = set(encounters)
        while absent := wanted - found.keys():
            more = self._loaded(await self.store.lock_encounters(absent, new))
            found, new = found | more, NONE
            wanted = {other for encounter in more.values() for other in _alike(encounter)}
        return found

    def _loaded(self, found: dict[str, Encounter]) -> dict[str, Encounter]:
        self._of_backfill |= {id for id, encounter in found.items() if encounter.of_backfill}
        return found


def _alike(encounter: Encounter) -> Iterable[str]:
    """Yield the other visits of its number."""
    yield from encounter.claims.counted
    if encounter.claims.number is not None:
        yield encounter.claims.number


def _holders(encounters: Iterable[Encounter]) -> set[str]:
    held = {holder for encounter in encounters for holder in encounter.claims.holders()}
    return held | {encounter.patient for encounter in encounters if encounter.patient is not None}
