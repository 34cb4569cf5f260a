"""What a set of messages does to the charts, from the events they replace to the versions they make."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic_core import to_json

from hisbus.errors import BadMessage
from hisbus_bus.flow.chart import demographics, entries, stay
from hisbus_bus.flow.chart.assign import Assignment, Cause, New
from hisbus_bus.flow.chart.order import order_of
from hisbus_bus.flow.chart.refold import ONLY_WAKE, apply, hear, refold
from hisbus_bus.flow.chart.said import together
from hisbus_bus.flow.chart.scope import Scope
from hisbus_bus.flow.chart.store import OF_MESSAGES, Encounter, Patient, Store, Stored, Taken
from hisbus_bus.flow.chart.visits import BARE, CIRCULAR, OPENS, Merge
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import within
from hisbus_bus.kernel.topics import Keys, digest
from hisbus_schemas import Assigned, Charted, Due, Event, Move, PatientId, Translated, VisitId
from hisbus_schemas import Merge as MergeFact

BARE_NUMBER = "bare_visit_number"
"""Flag of a fact that names its visit by a number whose authority is only what its connector takes for granted."""


class Change:
    """Takes messages in, within one transaction: all of them, or none."""

    def __init__(self, store: Store, keys: Keys, messages: Sequence[Translated], taken: Mapping[str, Taken]) -> None:
        """Take messages in.

        Args:
            store: the tables.
            keys: the site's.
            messages: no two copies of one.
            taken: what was taken in before, of each of them and of those that they give to a stay. What is given by
                hand is entered there.
        """
        self._store = store
        self._taken = taken
        self._replaced = [message.message for message in messages if taken[message.message].revision]
        self._keys = keys
        self._messages = messages
        self._scope = Scope(store)
        self._patients: dict[str, PatientId] = {}
        self._visits: dict[str, VisitId] = {}
        self._counted: dict[str, str] = {}
        """Visits with a counter, each with the visit that its number alone names."""
        self._merges: list[Merge] = []
        self._given = self._decisions()
        self._new: list[New] = [(self._row(message, event), event) for message in messages for event in message.events]

    @property
    def concerned(self) -> set[str]:
        """The messages whose row of ``taken`` is another now."""
        return {message.message for message in self._messages} | self._given.keys()

    @property
    def stays(self) -> list[tuple[Encounter, Patient | None]]:
        """The stays that are others now, each with its patient."""
        return self._scope.changed

    @property
    def circular(self) -> set[str]:
        """The messages that carry a merge which would close a circle."""
        return {row.message for row, _ in self._new if row.flag == CIRCULAR}

    async def run(self) -> dict[str, list[Charted]]:
        """Do it. Return what is to be appended, by message.

        Raises:
            BadMessage: a wake is for a stay that does not exist.
        """
        gone = await self._store.light(OF_MESSAGES, self._replaced)
        assignment = await self._assign(gone)
        await self._know(gone, assignment)
        self._store.add_events(self._new)
        await refold(self._scope, assignment.refold)
        fresh = [(row, event) for row, event in self._new if row.encounter and row.encounter not in assignment.refold]
        for row, event in fresh:
            # What names the very visit was heard when the visit's times were needed.
            if row.visit != row.encounter and row.kind not in ONLY_WAKE:
                hear(self._scope, row, event)
        await apply(self._scope, fresh)
        charted = await self._versions(assignment)
        for encounter in self._scope.encounters.values():
            _show(encounter, stands=self._scope.is_stay(encounter))
        self._scope.save()
        return charted

    def _row(self, message: Translated, event: Event) -> Stored:
        patient = self._patient(event.patient)
        visit = event.data.visit if isinstance(event.data, Move) else event.visit
        id = self._visit(visit) if visit is not None else None
        order = order_of(event)
        if isinstance(event.data, MergeFact | Move):
            moved = id if isinstance(event.data, Move) else None
            self._merges.append(Merge(event.id, self._patient(event.data.prior), patient, moved, order))
        touched = " ".join(map(entries.trace, entries.touched(event)))
        known = (event.id, event.message, event.kind, patient, id, order, event.connector, message.timezone)
        lane = "" if message.key == patient else self._lane(message) or ""
        return Stored(*known, claim=_claim(event), hand=self._hand(event), touched=touched, lane=lane)

    def _decisions(self) -> dict[str, str | None]:
        """Enter to which stays people gave messages. Return these messages, each with its stay."""
        decided: dict[str, str | None] = {}
        for event in (event for message in self._messages for event in message.events):
            if not isinstance(event.data, Assigned):
                continue
            taken, order = self._taken[event.data.message], order_of(event)
            if order > taken.hand_order:
                taken.hand, taken.hand_order, taken.hand_by = self._hand(event), order, event.message
                decided[event.data.message] = taken.hand
        return decided

    def _hand(self, event: Event) -> str | None:
        if isinstance(event.data, Assigned):
            return self._visit(event.data.visit) if event.data.visit is not None else None
        return self._taken[event.message].hand

    def _lane(self, message: Translated) -> str | None:
        """Return the key behind which more messages may come; None: it is this one's alone."""
        return None if message.key == self._keys.of("message", message.message) else message.key

    def _visit(self, visit: VisitId) -> str:
        id = self._keys.encounter(visit)
        self._visits[id] = visit
        if visit.counter:
            self._counted[id] = self._visit(VisitId(authority=visit.authority, number=visit.number))
        return id

    def _patient(self, patient: PatientId | None) -> str | None:
        if patient is None:
            return None
        id = self._keys.patient(patient)
        self._patients[id] = patient
        return id

    async def _assign(self, gone: Sequence[Stored]) -> Assignment:
        given = await self._store.light(OF_MESSAGES, self._given)
        rows = [*gone, *given, *(row for row, _ in self._new if row.hand)]
        lost = await self._store.merges_of([row.id for row in gone])
        due = {event.data.encounter for _, event in self._new if isinstance(event.data, Due)}
        linked, stored = await self._scope.open(
            self._patients,
            self._visits,
            known={row.patient for row in rows if row.patient} | {end for merge in lost for end in _ends(merge)},
            encounters=due | {id for row in rows for id in (row.visit, row.encounter, row.hand) if id},
            merged={end for merge in (*lost, *self._merges) if merge.visit is None for end in _ends(merge)},
        )
        if due - self._scope.encounters.keys():
            raise BadMessage("A wake is for a stay that no event has named.", code="unknown_encounter")
        await self._store.drop_events([row.id for row in gone])
        assignment = Assignment(self._scope, self._new, gone, self._merges, self._counted, self._given)
        await assignment.run(linked, stored)
        return assignment

    # --- demographics

    async def _know(self, gone: Sequence[Stored], assignment: Assignment) -> None:
        """Take in what events say of their patients; a patient who looks different makes versions of every stay."""
        patients = self._scope.patients
        changed: dict[str, Cause] = {}
        for row in gone:
            if row.patient and any(word[1] == row.order for word in patients[row.patient].said.values()):
                patients[row.patient].said = {}
                changed[row.patient] = Cause(row.message, row.id, row.kind)
        for stored, event in await self._events_of(changed):
            patients[stored.patient or ""].said = demographics.hear(patients[stored.patient or ""].said, event)
        for row, event in self._new:
            if (
                row.patient
                and (said := demographics.hear(patients[row.patient].said, event)) != patients[row.patient].said
            ):
                patients[row.patient].said = said
                changed[row.patient] = Cause(row.message, row.id, row.kind)
        for id in changed:
            self._scope.touch(id)
        roots = assignment.remapped | {self._scope.root(id): cause for id, cause in changed.items()}
        different = {root: cause for root, cause in roots.items() if self._shows_anew(patients[root])}
        if different:
            await self._scope.bring_stays(different)
        for encounter in self._scope.stays(different):
            assignment.because(encounter.id, different[encounter.patient or ""])

    async def _events_of(self, patients: Iterable[str]) -> list[New]:
        wanted = list(patients)
        return await self._store.events(within(tables.events.c.patient, wanted)) if wanted else []

    def _shows_anew(self, survivor: Patient) -> bool:
        """Render a patient. Tell whether it looks different from what its stays have shown."""
        numbers = [patient.said for patient in self._scope.members({survivor.id})]
        shown = demographics.show(PatientId(authority=survivor.authority, number=survivor.number), *numbers)
        before, survivor.shown = survivor.shown, shown
        self._scope.touch(survivor.id)
        return before != shown

    # --- versions

    async def _versions(self, assignment: Assignment) -> dict[str, list[Charted]]:
        """Raise the version of every encounter concerned, once for each event that concerns it."""
        about = {row.id: self._scope.root(row.patient) for row, _ in self._new if _of_patient_only(row) and row.patient}
        if about:
            await self._scope.bring_stays(set(about.values()))
        charted: dict[str, list[Charted]] = {message.message: [] for message in self._messages}
        by_message = {message.message: message for message in self._messages}
        told: set[tuple[str, str]] = set()
        for row, event in self._new:
            ids = {row.encounter} if row.encounter else set[str]()
            if row.id in about:
                ids |= {stay.id for stay in self._scope.stays({about[row.id]})}
            for id in sorted(ids):
                told.add((id, row.kind))
                cause = Cause(row.message, row.id, row.kind)
                charted[row.message].append(self._version(id, cause, by_message[row.message], event))
        for id, causes in sorted(assignment.causes.items()):
            for kind, cause in causes.items():
                if (id, kind) not in told:
                    charted[cause.message].append(self._version(id, cause, by_message[cause.message], None))
        return charted

    def _version(self, id: str, cause: Cause, message: Translated, event: Event | None) -> Charted:
        encounter = self._scope.encounters[id]
        self._scope.touch(id)
        encounter.version += 1
        encounter.now = max([encounter.now, *_present(message, [event] if event else message.events)])
        due = event.data if event and isinstance(event.data, Due) else None
        if not (due or given(message)):
            encounter.pass_by(self._lane(message))
            if self._taken[message.message].hand != id:
                encounter.key = message.key  # under which the stay's own messages come
        return Charted(
            id=digest("charted", message.message, message.revision, id, cause.event),
            encounter=id,
            version=encounter.version,
            event=cause.event,
            kind=cause.kind,
            key=encounter.key,
            agent=due.agent if due and cause.kind == "timer.due" else "",
            by=due.agent if due and cause.kind != "timer.due" else "",
            backfill=self._scope.backfill(encounter),
        )


def _present(message: Translated, events: Sequence[Event]) -> list[datetime]:
    """Return the times that an encounter's present is raised to, at least."""
    if any(isinstance(event.data, Due) for event in events):
        return [event.data.due for event in events if isinstance(event.data, Due)]
    if given(message):  # when a person decided says nothing of how far the stay itself was heard of
        return []
    if message.clock == "wall":
        return [message.position.recorded]
    return [event.time.at for event in events if "future_time" not in event.flags]


def _show(encounter: Encounter, *, stands: bool) -> None:
    """Render the stay. One that no event opens any more stands as cancelled, so that its findings close."""
    shown = stay.show(together(encounter.named, encounter.assigned)) | encounter.lies
    if encounter.claims.first is None or not stands:
        shown = {"status": "cancelled"}
    else:
        _, encounter.connector, encounter.timezone = encounter.claims.first
    encounter.status = shown["status"] if encounter.version else ""
    encounter.stay = to_json(shown).decode()


def given(message: Translated) -> list[str]:
    """Return the messages that a message gives to stays: a person's decision."""
    return [event.data.message for event in message.events if isinstance(event.data, Assigned)]


def _claim(event: Event) -> str:
    if event.opens or event.kind.startswith("encounter."):
        return OPENS
    return BARE if BARE_NUMBER in event.flags else ""


def _of_patient_only(row: Stored) -> bool:
    return row.kind.startswith("patient.") and row.flag != CIRCULAR


def _ends(merge: Merge) -> list[str]:
    return [end for end in (merge.prior, merge.patient) if end is not None]
