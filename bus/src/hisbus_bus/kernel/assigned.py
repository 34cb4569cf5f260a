"""A person says to which stay a message belongs: a decision with its row in the audit, which goes by way of ``raw``.

The record bears the message's own key, so it lies behind the message and every earlier decision on it, and the chart
step takes them in one after the other. Which stay takes the message it decides by that record, whatever it has heard
of the stay by then, and again with every later reading of the message.
"""

from typing import TYPE_CHECKING

from sqlalchemy import select

from hisbus.errors import Refused
from hisbus_bus.kernel import audit, outbox, tables
from hisbus_bus.kernel.database import now
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import INTERNAL, digest
from hisbus_schemas import Assigned, VisitId

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

KIND = "message.assigned"


class UnknownStay(Refused):
    """There is no such stay. Look it up by its visit number."""

    code = "unknown_stay"
    status = 404


class NothingToAssign(Refused):
    """This message says nothing that a stay could take. Only what was read can be given to one."""

    code = "nothing_to_assign"
    status = 409


class SeveralPatients(Refused):
    """This message is about several patients, so no stay can take it whole. Mend the numbers in it, and replay it."""

    code = "several_patients"
    status = 409


class OtherPatient(Refused):
    """This message names another patient than the stay's. Look at both; say so if it belongs there all the same."""

    code = "other_patient"
    status = 409


async def assign(
    connection: "AsyncConnection", site: Site, message: str, encounter: str, *, key: str, who: str, force: bool = False
) -> None:
    """Say that a message belongs to a stay, in a transaction that may write.

    Args:
        connection: of that transaction.
        site: whose message it is.
        message: its id, the same for every copy.
        encounter: the stay; empty: the message goes where its own numbers and times lead.
        key: of the message in ``raw``; empty: nobody knows it any more.
        who: as the audit names them.
        force: also where the message names another patient than the stay's.

    Raises:
        UnknownStay: there is none of that id.
        NothingToAssign: no event of the message needs a stay.
        SeveralPatients: it is about more than one patient.
        OtherPatient: it is about another.
    """
    event, stay = tables.events.c, tables.encounters.c
    of_a_stay = event.kind.not_like("patient.%") & (event.kind != "encounter.moved")
    its = select(event.patient).where(event.message == message, of_a_stay).order_by(event.order).limit(1)
    first = (await connection.execute(its)).one_or_none()
    if first is None:
        raise NothingToAssign
    patients = await _patients(connection, message)
    if encounter and len(patients) > 1:
        raise SeveralPatients
    visit = None
    if encounter:
        query = select(stay.authority, stay.number, stay.counter, stay.patient).where(
            stay.id == encounter, stay.version > 0
        )
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise UnknownStay
        if patients and row.patient not in patients and not force:
            raise OtherPatient
        visit = VisitId(authority=row.authority, number=row.number, counter=row.counter)
    at = await now(connection)
    said = Assigned(message=message, encounter=encounter, visit=visit, who=who, at=at)
    id = digest("assigned", message, encounter, who, at.isoformat())
    more = {"correlation": encounter, "causation": message, "message": id, "connector": INTERNAL, "kind": KIND}
    headers = site.headers(id=id, type=KIND, source="web", time=at, **more)
    place = key or first.patient or message
    await outbox.send(connection, NewRecord("raw", place, said.model_dump_json().encode(), headers))
    await audit.record(connection, actor=who, action=KIND, object=message, encounter=encounter)


async def _patients(connection: "AsyncConnection", message: str) -> set[str]:
    """Return the patients that a message is about; those who were merged are one."""
    event, patient = tables.events.c, tables.patients.c
    joined = tables.events.join(tables.patients, patient.id == event.patient)
    whose = select(patient.survivor).distinct().select_from(joined).where(event.message == message)
    return set(await connection.scalars(whose))
