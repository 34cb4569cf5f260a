"""Where events belong: merges first, then whose a visit is, then the stays of events without a visit number.

Each answer is a function of all stored events and rests on the one before, never on the order of arrival.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hisbus_bus.flow.chart import stay
from hisbus_bus.flow.chart.order import STAMP
from hisbus_bus.flow.chart.refold import note
from hisbus_bus.flow.chart.said import Said, is_adt
from hisbus_bus.flow.chart.scope import Scope
from hisbus_bus.flow.chart.store import BY_HAND, BY_ID, FREE, GIVEN, GIVEN_TO, NAMED_BY, NAMING, Encounter, Stored
from hisbus_bus.flow.chart.visits import (
    ANOTHER,
    BARE,
    CIRCULAR,
    NOT_REGISTERED,
    OPENS,
    REUSED,
    UNASSIGNED,
    Claims,
    Merge,
    accepts,
    by_time,
    only_open,
    survivors,
)
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import within
from hisbus_schemas import Assigned, Due, Event

New = tuple[Stored, Event]

_ADT = tables.events.c.kind.startswith("encounter.") | tables.events.c.kind.startswith("patient.")
_OF_THE_PERSON = frozenset({"allergy.recorded"})
"""Kinds that are true outside a stay too; they wait for the next one, and are nobody's work meanwhile."""
_NEVER_GIVEN = frozenset({"encounter.moved"})
"""Kinds that are about whose a visit is, so that no stay can take them; nor those about patients."""
_OPENS = tables.events.c.claim == OPENS
_NAMED = tables.events.c.visit == tables.events.c.encounter


@dataclass(frozen=True, slots=True)
class Cause:
    """What made an encounter change: an event, and the message that is now being taken in."""

    message: str
    event: str
    kind: str


class Assignment:
    """Assigns the new events, and every stored one that belongs elsewhere because of them."""

    def __init__(
        self,
        scope: Scope,
        new: Sequence[New],
        gone: Sequence[Stored],
        merges: Sequence[Merge],
        counted: Mapping[str, str],
        given: Mapping[str, str | None],
    ) -> None:
        self._counted = counted
        self._given = given
        """Messages that people gave to stays, or to none, in what is taken in."""
        self._scope = scope
        self._store = scope.store
        self._new = new
        self._gone = gone
        self._merges = merges
        self._regiven: Sequence[Stored] = ()
        """Stored events of messages that people gave to stays, or to none, in what is taken in."""
        self._moved: dict[str, Stored] = {}
        self._stirred: dict[str, Cause] = {}
        """Patients whose events without a visit number must be looked at again."""
        self._placed: dict[str, Cause] = {}
        """Visits whose number others bear too, with a counter: their events must be placed by time again."""
        self.refold: set[str] = set()
        """Encounters that gained or lost a stored event."""
        self.remapped: dict[str, Cause] = {}
        """Patients in whom others ended, or might have, since merges changed."""
        self.causes: dict[str, dict[str, Cause]] = {}
        """By encounter and kind: what else than its own new events changed it."""

    def because(self, encounter: str, cause: Cause) -> None:
        """Note what changed an encounter."""
        self.causes.setdefault(encounter, {}).setdefault(cause.kind, cause)

    async def run(self, linked: Collection[str], stored: Sequence[Merge]) -> None:
        """Assign everything.

        Args:
            linked: patients that merges connect with the ends of merges which came or went.
            stored: the stored merges among them.
        """
        for row in self._gone:
            if row.encounter is not None:
                self.refold.add(row.encounter)
                self.because(row.encounter, _cause(row))
        given = self._regiven = await self._give()
        again = await self._merge(linked, stored) | {row.visit for row in given if row.visit is not None}
        opened = await self._claim({row.visit for row in given if row.claim == OPENS and row.visit is not None})
        await self._own(again | opened, [*given, *await self._waited_for(opened)])
        await self._open()
        await self._place()

    # --- what people gave to stays

    async def _give(self) -> list[Stored]:
        """Write down what people gave to stays. Return the stored events that this concerns."""
        if not self._given:
            return []
        await self._store.give(self._given)
        rows = await self._store.light(GIVEN, self._given)
        await self._bring(rows)
        return rows

    async def _waited_for(self, visits: Collection[str]) -> list[Stored]:
        """Return the stored events that were given by hand to visits: one that nobody has opened takes none."""
        rows = await self._store.light(GIVEN_TO, visits)
        await self._bring(rows)
        return rows

    async def _bring(self, rows: Iterable[Stored]) -> None:
        """Load what decides where events belong."""
        rows = list(rows)
        await self._scope.bring_patients({row.patient for row in rows if row.patient is not None})
        await self._scope.bring({id for row in rows for id in (row.visit, row.encounter, row.hand) if id is not None})
        await self._scope.bring_holders()

    def _by_hand(self, row: Stored) -> str | None:
        """Return the stay to which a person gave an event, where there is one and it can take it."""
        if row.hand is None or row.kind in _NEVER_GIVEN or row.kind.startswith("patient."):
            return None
        return row.hand if self._scope.is_stay(self._scope.encounters[row.hand]) else None

    # --- merges

    async def _merge(self, linked: Collection[str], stored: Sequence[Merge]) -> set[str]:
        """Fold the merges anew where one came or went. Return the visits to look at again."""
        if not linked:
            return set()
        gone = {row.id for row in self._gone}
        merges = [merge for merge in (*stored, *self._merges) if merge.event not in gone and merge.visit is None]
        ended, circular = survivors(linked, merges)
        for stored_row, _ in self._new:
            if stored_row.id in circular:
                stored_row.flag = CIRCULAR
        again: set[str] = set()
        for row in await self._store.light(BY_ID, [merge.event for merge in merges]):
            if (row.id in circular) != (row.flag == CIRCULAR):
                row.flag = CIRCULAR if row.id in circular else ""
                self._moved[row.id] = row
                again |= {row.visit} if row.visit is not None else set()
        if any(self._scope.root(patient) != root for patient, root in ended.items()):
            self.remapped = dict.fromkeys(ended.values(), self._cause_of_merge())
            self._stirred |= self.remapped
            numbers = Counter(ended.values())
            for patient, root in ended.items():
                self._scope.patients[patient].survivor = root
                self._scope.patients[patient].numbers = numbers[patient]
                self._scope.touch(patient)
            named = await self._store.light(NAMED_BY, linked)
            again |= {row.visit for row in named if row.visit is not None}
        await self._scope.bring(again)
        return again

    def _decided(self, row: Stored) -> Cause | None:
        """Return the person's decision that has an event looked at again."""
        made = ((new, event.data) for new, event in self._new if isinstance(event.data, Assigned))
        return next((_cause(new) for new, decision in made if decision.message == row.message), None)

    def _cause_of_merge(self) -> Cause:
        made = {merge.event for merge in self._merges if merge.visit is None}
        came = (_cause(row) for row, _ in self._new if row.id in made)
        return next(came, None) or next(_cause(row) for row in self._gone)

    # --- visits

    async def _claim(self, given: Collection[str]) -> set[str]:
        """Take in who names visits. Return those whose events must be looked at again.

        Args:
            given: visits that were opened by what people gave to stays, or to none, since.
        """
        before = {id: _held(encounter) for id, encounter in self._scope.encounters.items()}
        if lost := {*given, *(row.visit for row in self._gone if row.visit is not None)}:
            for visit in lost:
                known = self._encounter(visit).claims
                cleared = Claims(reused=known.reused, counted=known.counted, number=known.number)
                self._encounter(visit).claims = cleared
            for row in await self._store.light(NAMING, lost):
                self._name(row)
            for move in await self._store.moves(lost):
                self._encounter(move.visit).claims.move(move)
        for id, number in self._counted.items():
            others = self._encounter(number).claims
            if id not in others.counted:
                others.counted.append(id)
                self._encounter(id).claims.number = number
                self._scope.touch(id)
                self._scope.touch(number)
        for row, _ in self._new:
            if row.visit is not None:
                self._name(row)
        for move in self._merges:
            if move.visit is not None:
                self._encounter(move.visit).claims.move(move)
        self._store.add_merges(self._merges)
        changed = {id for id, held in before.items() if _held(self._scope.encounters[id]) != held}
        numbers = {self._encounter(id).claims.number for id in changed}
        return changed | {number for number in numbers if number is not None}

    def _name(self, row: Stored) -> None:
        encounter = self._encounter(row.visit)
        if _claims(row):
            encounter.claims.open(row.order, row.patient, row.connector, row.timezone)
        self._scope.touch(encounter.id)

    def _encounter(self, id: str | None) -> Encounter:
        return self._scope.encounters[id or ""]

    async def _own(self, again: Collection[str], given: Sequence[Stored]) -> None:
        """Give each visit its owner, and the events that name it their place.

        Args:
            again: visits whose events must be looked at again.
            given: stored events whose stays by hand are others now, or can take them now, or cannot any more.
        """
        named = {row.visit for row in given if row.visit is not None and not self._encounter(row.visit).counter}
        doubtful = named | {id for id in self._scope.encounters if self._may_be_reused(id, again)}
        looked_at = {*again, *doubtful}
        rows = await self._store.light(NAMING, looked_at)
        rows += [row for row in given if row.visit not in looked_at]
        await self._bring(rows)
        causes = {row.visit: cause for row in given if (cause := self._decided(row)) is not None}
        causes |= {row.visit: _cause(row) for row in (*self._gone, *(row for row, _ in reversed(self._new)))}
        causes = {self._encounter(id).claims.number: cause for id, cause in causes.items() if id} | causes
        for id, encounter in self._scope.encounters.items():
            present = encounter.claims.present() if self._scope.is_stay(encounter) else None
            owner = self._scope.root(present) if present is not None else None
            if owner != encounter.patient:
                cause = causes.get(id) or self._cause_of_merge()
                for patient in {encounter.patient, owner} - {None}:
                    self._stirred.setdefault(self._scope.root(patient or ""), cause)
                encounter.patient = owner
                self._scope.touch(id)
                self.because(id, cause)
        await self._tell_reused(doubtful)
        for row in (self._moved.get(row.id, row) for row in rows):
            cause = self._decided(row) or causes.get(row.visit) or causes.get(row.hand) or self._cause_of_merge()
            if row.visit is not None:
                self._put(row, *self._of_visit(row), message=cause.message)
            elif row.patient is not None and self._by_hand(row) is None:
                self._stirred.setdefault(self._scope.root(row.patient), cause)  # its time decides, further below
            elif _needs_stay(row):
                self._put(row, *self._of_time(row), message=cause.message)
        for row, event in self._new:
            if row.visit is not None:
                row.encounter, row.flag = self._of_visit(row)
            elif isinstance(event.data, Due):
                row.encounter = event.data.encounter
            elif isinstance(event.data, Assigned):
                row.encounter = self._by_hand(row)
        await self._store.assign(self._moved.values())

    def _of_visit(self, row: Stored) -> tuple[str | None, str]:
        if row.flag == CIRCULAR:
            return None, CIRCULAR
        if hand := self._by_hand(row):
            return hand, ""
        encounter = self._encounter(row.visit)
        if counted := self._scope.counted(encounter):
            theirs = [stay for stay in counted if self._accepts(stay, row)]
            return (by_time(row.order, map(_begins, theirs)), "") if theirs else (None, ANOTHER)
        waits = row.kind in _OF_THE_PERSON or not _needs_stay(row)
        if encounter.claims.first is None:
            return None, "" if waits else NOT_REGISTERED if row.claim == BARE else UNASSIGNED
        if not self._accepts(encounter, row):
            return None, ANOTHER
        if encounter.claims.reused is not None and row.order >= encounter.claims.reused:
            return None, "" if waits else REUSED
        return row.visit, ""

    def _accepts(self, encounter: Encounter, row: Stored) -> bool:
        return accepts(encounter.claims, row.patient, self._scope.root)

    # --- numbers that are used again

    def _may_be_reused(self, id: str, again: Collection[str]) -> bool:
        """Tell whether from another event on than before the visit's number may be another stay's."""
        encounter = self._encounter(id)
        if encounter.counter:
            return False
        told, since = encounter.named, encounter.claims.reused
        new = [(row, event) for row, event in self._new if row.visit == id and _claims(row)]
        lost = id in again or any(row.visit == id for row in self._gone)
        if lost and (encounter.version or encounter.claims.counted):
            return True
        if since is not None:
            return any(row.order < since for row, _ in new)
        if not (told.keys() & stay.ENDS or any(stay.ends(event) for _, event in new)):
            return False
        newest = max((word[1] for word in told.values()), default="")
        return any(row.kind == stay.ADMITTED or row.order < newest for row, _ in new)

    async def _tell_reused(self, visits: Collection[str]) -> None:
        """Find from which event on the numbers of visits are other stays'."""
        if not visits:
            return
        known = await self._store.events(within(tables.events.c.visit, visits), _OPENS)
        told = sorted([*known, *self._new], key=lambda pair: pair[0].order)
        for id in visits:
            encounter = self._encounter(id)
            theirs = ((row, event) for row, event in told if row.visit == id and self._accepts(encounter, row))
            counts = ((row, event) for row, event in theirs if row.flag != CIRCULAR and _elsewhere(row) is None)
            encounter.claims.reused = _reused(counts)
            self._scope.touch(id)

    def _put(self, row: Stored, encounter: str | None, flag: str, *, message: str) -> None:
        """Assign a stored event; where that is news, both encounters are folded again."""
        if (row.encounter, row.flag) == (encounter, flag):
            return
        for changed in {row.encounter, encounter} - {None}:
            if row.encounter != encounter:
                self.refold.add(changed or "")
                self.because(changed or "", Cause(message, row.id, row.kind))
        if encounter is not None:
            self._encounter(encounter).pass_by(row.lane or row.patient)
            self._scope.touch(encounter)
        row.encounter, row.flag = encounter, flag
        self._moved[row.id] = row

    # --- events without a visit number

    async def _open(self) -> None:
        """Hear what the events that name a visit say of its times; they alone decide when it is open."""
        heard: dict[str, Cause] = {row.visit: _cause(row) for row in self._gone if row.visit is not None}
        for row in self._regiven:  # it may have opened the visit that it names, or does so now
            if row.visit is not None and (decided := self._decided(row)) is not None:
                heard.setdefault(row.visit, decided)
        for id in self.refold & self._scope.encounters.keys():
            self._scope.encounters[id].named = {}
        for row, event in await self._stored_of(self.refold, _ADT, _NAMED):
            self._hear(row, event, heard)
        for row, event in self._new:
            if row.visit is not None and row.encounter == row.visit:
                self._hear(row, event, heard)
        for id in heard.keys() | self.refold:
            encounter = self._scope.encounters[id]
            if encounter.claims.number is not None:
                self._placed.setdefault(encounter.claims.number, heard.get(id) or self._any_cause(id))
            opened = stay.window(encounter.named)
            if opened != (encounter.begins, encounter.ends):
                encounter.begins, encounter.ends = opened
                self._scope.touch(id)
                if encounter.patient is not None:
                    self._stirred.setdefault(encounter.patient, heard.get(id) or self._any_cause(id))

    def _hear(self, row: Stored, event: Event, heard: dict[str, Cause]) -> None:
        encounter = self._encounter(row.visit)
        encounter.named = stay.hear(encounter.named, event)
        note(encounter, event)
        self._scope.touch(encounter.id)
        if is_adt(event.kind):
            heard[encounter.id] = next(iter(self.causes.get(encounter.id, {}).values()), _cause(row))

    def _any_cause(self, encounter: str) -> Cause:
        return next(iter(self.causes[encounter].values()))

    async def _stored_of(self, encounters: Collection[str], *more: object) -> Iterable[New]:
        if not encounters:
            return []
        return await self._store.events(within(tables.events.c.encounter, encounters), *more)  # type: ignore[arg-type]

    async def _place(self) -> None:
        """Assign the events without a visit number: the new ones, and all of patients whose stays changed."""
        await self._place_counted()
        free = [row for row, event in self._new if row.visit is None and _needs_stay(row, event)]
        roots = {*self._stirred, *(self._scope.root(row.patient) for row in free if row.patient is not None)}
        if not roots:
            for row in free:
                row.encounter, row.flag = self._of_time(row)
            return
        await self._scope.bring_stays(roots, open_only=True)
        for row in free:
            row.encounter, row.flag = self._of_time(row)
        members = [patient.id for patient in self._scope.members(self._stirred.keys())]
        again = await self._store.light(FREE, members)
        await self._bring(again)
        self._moved.clear()
        for row in again:
            cause = self._stirred[self._scope.root(row.patient or "")]
            self._put(row, *self._of_time(row), message=cause.message)
        await self._store.assign(self._moved.values())

    async def _place_counted(self) -> None:
        """Assign the events that name a number alone which several stays have."""
        if not self._placed:
            return
        rows = await self._store.light(NAMING, self._placed)
        await self._bring(rows)
        self._moved.clear()
        for row in rows:
            self._put(row, *self._of_visit(row), message=self._placed[row.visit or ""].message)
        await self._store.assign(self._moved.values())
        for row, _ in self._new:
            if row.visit in self._placed:
                row.encounter, row.flag = self._of_visit(row)

    def _of_time(self, row: Stored) -> tuple[str | None, str]:
        if row.flag == CIRCULAR:
            return None, CIRCULAR
        if (hand := self._by_hand(row)) or row.kind == BY_HAND:
            return hand, ""
        stays = self._scope.stays({self._scope.root(row.patient)}) if row.patient is not None else []
        found = only_open(row.order, ((stay.id, stay.begins, stay.ends) for stay in stays))
        if found is None and (row.kind not in _OF_THE_PERSON or row.patient is None):
            return None, UNASSIGNED
        return found, ""


def _needs_stay(row: Stored, event: Event | None = None) -> bool:
    return not row.kind.startswith("patient.") and not (event is not None and isinstance(event.data, Due | Assigned))


def _elsewhere(row: Stored) -> str | None:
    """Return the stay to which a person gave an event though it names another visit: it does not speak for that."""
    given = row.hand if row.kind not in _NEVER_GIVEN and not row.kind.startswith("patient.") else None
    return given if given != row.visit else None


def _claims(row: Stored) -> bool:
    return row.claim == OPENS and _elsewhere(row) is None


def _held(encounter: Encounter) -> tuple[bool, set[str]]:
    """Return what decides whose events on a visit are the visit's."""
    return encounter.claims.first is not None, encounter.claims.holders()


def _begins(encounter: Encounter) -> tuple[str, str]:
    """Return from when on events belong to a stay of a number that has several, and the stay."""
    first = encounter.claims.first
    return encounter.begins or (first[0][:STAMP] if first else ""), encounter.id


def _reused(told: Iterable[New]) -> str | None:
    """Return the place in the fold of the first admission that is another stay's, after this one ended."""
    said: Said = {}
    for row, event in told:
        if event.kind == stay.ADMITTED and stay.is_another(said, event):
            return row.order
        said = stay.hear(said, event)
    return None


def _cause(row: Stored) -> Cause:
    return Cause(row.message, row.id, row.kind)
