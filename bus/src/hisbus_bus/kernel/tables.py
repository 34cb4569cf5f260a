"""Every table, and which step writes it. Reading another step's table is allowed, writing it is not.

``WRITER`` is checked by an architecture test. The kernel's own tables are written by whoever needs them.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from hisbus_bus.kernel.columns import Big, Instant, PartialIndex
from hisbus_bus.kernel.columns import metadata as metadata
from hisbus_bus.kernel.coverage_tables import agent_rules as agent_rules
from hisbus_bus.kernel.coverage_tables import coverage as coverage
from hisbus_bus.kernel.coverage_tables import coverage_stays as coverage_stays
from hisbus_bus.kernel.people_tables import sessions as sessions
from hisbus_bus.kernel.people_tables import staff as staff
from hisbus_bus.kernel.people_tables import staff_numbers as staff_numbers
from hisbus_bus.kernel.people_tables import tokens as tokens
from hisbus_bus.kernel.people_tables import users as users
from hisbus_bus.kernel.states import Decided, WrittenBack

# --- the kernel's own -------------------------------------------------------------------------------------------------

offsets = Table(
    "offsets",
    metadata,
    Column("group", String, primary_key=True),
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", Big, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("key", String, nullable=False),
    Column("headers", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("created", Instant, nullable=False),
    Column("not_before", Instant, nullable=True),  # end of its grace, by the database's clock; null: none
)

parked = Table(
    "parked",
    metadata,
    Column("id", String, primary_key=True),
    Column("step", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", Big, nullable=False),
    Column("key", String, nullable=False),
    Column("headers", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("reason", String, nullable=False),
    Column("stack", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("parked", Instant, nullable=False),
    Column("status", String, nullable=False),  # parked | replayed | closed
    Column("message", String, nullable=False),
    Column("encounter", String, nullable=False),
    UniqueConstraint("step", "topic", "partition", "offset"),
    Index("parked_open", "status", "step"),
    Index("parked_encounter", "encounter", "step"),
    Index("parked_message", "message"),
)
PartialIndex("parked_waiting", parked.c.parked, parked.c.id, unique=False, where=parked.c.status == "parked")

audit = Table(
    "audit",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("time", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("object", String, nullable=False),
    Column("encounter", String, nullable=False),
    Column("detail", Text, nullable=False),
)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("number", Big, primary_key=True, autoincrement=False),
    Column("audit", Big, nullable=False, unique=True),
    Column("hash", String, nullable=False),
    Column("sealed", Instant, nullable=False),
)

controls = Table(
    "controls",
    metadata,
    Column("target", String, primary_key=True),  # step:NAME | connector:NAME | agent:NAME
    Column("wanted", String, nullable=False),  # run | pause | drain
    Column("who", String, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("reason", Text, nullable=False),
)

signals = Table(
    "signals",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("part", String, nullable=False),  # as the target of a control
    Column("kind", String, nullable=False),  # outage | down | held
    Column("since", Instant, nullable=False),
    Column("ended", Instant, nullable=True),  # null: it lasts
    Column("detail", String, nullable=False),
    Column("count", Integer, nullable=False),
)
PartialIndex("signals_lasting", signals.c.part, signals.c.kind, unique=True, where=signals.c.ended.is_(None))

places = Table(
    "places",
    metadata,
    Column("connector", String, primary_key=True),
    Column("cursor", Text, nullable=False),  # how far its source was read, in the connector's own words
    Column("holder", String, nullable=False),  # the process that polls it
    Column("number", Big, nullable=False),  # of its lease; an older one can store nothing
    Column("until", Instant, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("id", String, primary_key=True),  # hash of kind, name and hash
    Column("kind", String, nullable=False),  # agent | profile | scenario | rubric | adapter
    Column("name", String, nullable=False),
    Column("version", String, nullable=False),  # as its author calls it
    Column("content", Text, nullable=False),  # what it is, JSON
    Column("hash", String, nullable=False),  # of the content
    Column("parent", String, nullable=False),  # the release that it follows; empty: none
    Column("author", String, nullable=False),
    Column("made_from", Text, nullable=False),  # where it came from
    Column("state", String, nullable=False),  # draft | shadow | live | retired
    Column("evaluation", Text, nullable=False),  # how good it was found, JSON; empty: not evaluated
    Column("approvals", Text, nullable=False),  # who approved it and when, a JSON list
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    UniqueConstraint("kind", "name", "hash"),
)

codes = Table(
    "codes",
    metadata,
    Column("id", String, primary_key=True),  # hash of connector, sender, table and code
    Column("common", String, nullable=False),  # the id of the same code for any sender
    Column("connector", String, nullable=False),
    Column("sender", String, nullable=False),  # as the connector names it; empty: any
    Column("table", String, nullable=False),  # of the profile
    Column("code", String, nullable=False),  # as sent, with what stood beside it
    Column("system", String, nullable=False),
    Column("text", String, nullable=False),
    Column("item", String, nullable=False),  # what cannot be judged while it is open
    Column("message", String, nullable=False),  # in which it was seen first; empty: answered beforehand
    Column("seen", Instant, nullable=False),  # when that was stored
    Column("word", String, nullable=True),  # ours, or that it is none of ours; null: it is open
    Column("who", String, nullable=False),  # answered last
    Column("answered", Instant, nullable=True),
    Column("pending", Boolean, nullable=False),  # its messages are still to be read again
)
PartialIndex("codes_pending", codes.c.id, unique=False, where=codes.c.pending)
PartialIndex("codes_open", codes.c.seen, codes.c.id, unique=False, where=codes.c.word.is_(None))

# --- translate --------------------------------------------------------------------------------------------------------

messages = Table(
    "messages",
    metadata,
    Column("id", String, primary_key=True),  # of this stored copy: "<partition>.<offset>"
    Column("message", String, nullable=False),
    Column("first", Boolean, nullable=False),
    Column("connector", String, nullable=False),
    Column("control_id", String, nullable=False, index=True),
    Column("sender", String, nullable=False),
    Column("type", String, nullable=False),
    Column("received", Instant, nullable=False, index=True),
    Column("partition", Integer, nullable=False),
    Column("offset", Big, nullable=False),
    Column("status", String, nullable=False, index=True),  # mapped | unmapped | not_production | duplicate | parked
    Column("revision", Integer, nullable=False),
    Column("mapping", String, nullable=False),
    Column("answers", String, nullable=False, server_default=""),  # trace of people's answers that it was read with
    Column("backfill", String, nullable=False, server_default=""),  # yes, or of before which time; empty: it is live
    Column("flags", Text, nullable=False),
    Column("unmapped", Text, nullable=False),
    Column("losses", Text, nullable=False, server_default=""),  # what was taken and left, JSON; empty: not read
    Column("reason", String, nullable=False),
    Column("ack", Text, nullable=False),
    Index("messages_first", "message", "first"),
)

lookups = Table(
    "lookups",
    metadata,
    Column("message", String, primary_key=True),
    Column("code", String, primary_key=True),  # id of the code as this sender's
    Column("common", String, nullable=False),  # and for any sender
    Column("answer", String, nullable=False),  # the word that was gone by; empty: there was none
    Index("lookups_code", "code", "answer"),
    Index("lookups_common", "common", "answer"),
)

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("time", Instant, nullable=False),
)

# --- chart ------------------------------------------------------------------------------------------------------------

patients = Table(
    "patients",
    metadata,
    Column("id", String, primary_key=True),  # Keys.patient
    Column("authority", String, nullable=False),
    Column("number", String, nullable=False, index=True),
    Column("survivor", String, nullable=False, index=True),  # the patient it ended in; itself while not merged
    Column("numbers", Integer, nullable=False),  # that ended in it, itself included; 0 once it is merged
    Column("said", Text, nullable=False),  # demographics under this number: the newest word of each
    Column("shown", Text, nullable=False),  # the Patient that stays show, JSON; kept on survivors
)

encounters = Table(
    "encounters",
    metadata,
    Column("id", String, primary_key=True),  # Keys.encounter
    Column("authority", String, nullable=False),
    Column("number", String, nullable=False, index=True),
    Column("counter", String, nullable=False, server_default=""),  # which stay of that number; empty: its only one
    Column("patient", String, nullable=True, index=True),  # present owner, aliases resolved; null: none yet
    Column("connector", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("key", String, nullable=False),  # in raw, of its latest message
    Column("lanes", Text, nullable=False, server_default="[]"),  # and of all that came of it, JSON: wakes pass them
    Column("version", Integer, nullable=False),  # 0: no stay, only a number that events name
    Column("refolded", Integer, nullable=False, server_default="0"),  # version by which all its entries were made anew
    Column("now", Instant, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("begins", String, nullable=True),  # fold stamps between which events without a visit number belong here,
    Column("ends", String, nullable=True),  # by the events that carry its number; no beginning: never
    Column("claims", Text, nullable=False),  # who opened the stay, its moves, other stays of its number
    Column("named", Text, nullable=False),  # the newest words about the stay from events that carry its number
    Column("assigned", Text, nullable=False),  # and from events that were assigned to it
    Column("lies", Text, nullable=False, server_default="{}"),  # where the patient lies by his moves, JSON
    Column("stay", Text, nullable=False),  # the stay's own fields as the chart shows them, JSON
    Column("past", Boolean, nullable=False, server_default=false()),  # some of it was read in later, as backfill
    Column("live", String, nullable=False, server_default=""),  # place in raw and source time of the first that was not
)
PartialIndex("encounters_past", encounters.c.live, unique=False, where=encounters.c.past)

merges = Table(
    "merges",
    metadata,
    Column("event", String, primary_key=True),
    Column("prior", String, nullable=True, index=True),  # as received
    Column("patient", String, nullable=True, index=True),  # as received: where prior ends
    Column("visit", String, nullable=True, index=True),  # set: only this visit moves
    Column("order", String, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("message", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("patient", String, nullable=True),  # as received
    Column("visit", String, nullable=True, index=True),  # as received, as Keys.encounter
    Column("encounter", String, nullable=True, index=True),  # as assigned; null: unassigned
    Column("hand", String, nullable=True),  # to which a person gave it; null: to none
    Column("flag", String, nullable=False),  # why not folded: see kernel.charts.Unassigned
    Column("claim", String, nullable=False, server_default=""),  # on its visit: opens | bare | empty, see visits.py
    Column("connector", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("order", String, nullable=False),
    Column("lane", String, nullable=False, server_default=""),  # in raw, of its message; empty: the patient's
    Column("touched", Text, nullable=False),  # traces of the keys of the entries that it touches, between spaces
    Column("body", Text, nullable=False),  # the event, JSON
    Index("events_patient", "patient", "visit"),
)
PartialIndex("events_by_hand", events.c.hand, unique=False, where=events.c.hand.is_not(None))
PartialIndex("events_unassigned", events.c.message, unique=False, where=events.c.flag != "")

entries = Table(
    "entries",
    metadata,
    Column("encounter", String, primary_key=True),
    Column("entry", String, primary_key=True),
    Column("part", String, nullable=False),  # documents, diagnoses ..., perhaps two; empty: nothing to show
    Column("place", String, nullable=False),  # its order within the part: when it was first touched
    Column("last", String, nullable=False),  # fold order of the event that last touched it
    Column("body", Text, nullable=False),  # for each part a line with a JSON list; a report holds several
    Column("version", Integer, nullable=False, server_default="0"),  # of the stay, by which it changed last
    Index("entries_version", "encounter", "version"),
)

charted_messages = Table(
    "charted_messages",
    metadata,
    Column("message", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("outputs", Text, nullable=False),  # what was appended, for a redelivery
    Column("hand", String, nullable=True),  # stay to which a person gave it; null: to none
    Column(
        "hand_order", String, nullable=False, server_default=""
    ),  # fold order of that decision; empty: there is none
    Column("hand_by", String, nullable=False, server_default=""),  # message that brought it
)

# --- timers -----------------------------------------------------------------------------------------------------------

wakes = Table(
    "wakes",
    metadata,
    Column("encounter", String, primary_key=True),
    Column("agent", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("due", Instant, primary_key=True),
    Column("key", String, nullable=False),
    Column("clock", String, nullable=False),  # wall | feed
    Column("fired", Boolean, nullable=False),
    Index("wakes_due", "fired", "clock", "due"),
)

wake_heads = Table(
    "wake_heads",
    metadata,
    Column("encounter", String, primary_key=True),
    Column("agent", String, primary_key=True),
    Column("version", Integer, nullable=False),
)

# --- review -----------------------------------------------------------------------------------------------------------

assessment_heads = Table(
    "assessment_heads",
    metadata,
    Column("encounter", String, primary_key=True),
    Column("agent", String, primary_key=True),
    Column("shadow", Boolean, primary_key=True, server_default=false()),  # of a release that is tried unseen
    Column("version", Integer, nullable=False),
    Column("coverage", Integer, nullable=False, server_default="0"),  # that it was judged by
    Column("release", String, nullable=False, server_default=""),
    Column("evaluated", Text, nullable=False),
    Column("time", Instant, nullable=False),
    Column("opinions", Text, nullable=False, server_default=""),  # on other agents' proposals, JSON; empty: none
    Column("notes", Text, nullable=False, server_default=""),  # what it could not judge, JSON; empty: nothing
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", String, primary_key=True),  # of this revision
    Column("identity", String, nullable=False, index=True),  # hash of (site, agent, encounter, key)
    Column("revision", Integer, nullable=False),
    Column("agent", String, nullable=False),
    Column("agent_version", String, nullable=False),
    Column("encounter", String, nullable=False, index=True),
    Column("key", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("state", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("points", Float, nullable=False),
    Column("department", String, nullable=False),
    Column("author", String, nullable=False, server_default=""),  # of a draft: staff number of who answers it
    Column("fingerprint", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("rectified", Boolean, nullable=False),
    Column("version", Integer, nullable=False),  # chart version of the assessment that made it
    Column("event", String, nullable=False),  # that woke the agent
    Column("opened", Instant, nullable=False, index=True),
    Column("due", Instant, nullable=True),
    Column("body", LargeBinary, nullable=False),  # the proposal, JSON
    Column("etag", String, nullable=False),
    Column("release", String, nullable=False, server_default=""),  # that the agent went by
    Column("shadow", Boolean, nullable=False, server_default=false()),  # kept, and never shown nor decided
    UniqueConstraint("identity", "revision"),
)

proposal_history = Table(
    "proposal_history",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("proposal", String, nullable=False, index=True),
    Column("time", Instant, nullable=False),
    Column("status", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("detail", Text, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String, primary_key=True),
    Column("proposal", String, nullable=False, index=True),
    Column("user", String, nullable=False),
    Column("decided", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the decision, JSON
    Column("payload", LargeBinary, nullable=False),  # exactly what was approved, JSON
    Column("state", String, nullable=False, server_default=Decided.STANDS),  # stands | undone
    Column("release", String, nullable=False, server_default=""),  # that the proposal was made by
    Column("shadow", Boolean, nullable=False, server_default=false()),
)
PartialIndex("decisions_standing", decisions.c.proposal, unique=True, where=decisions.c.state == Decided.STANDS)

# --- writeback --------------------------------------------------------------------------------------------------------

writebacks = Table(
    "writebacks",
    metadata,
    Column("id", String, primary_key=True),
    Column("decision", String, nullable=False, unique=True),
    Column("proposal", String, nullable=False, index=True),
    Column("encounter", String, nullable=False, index=True),
    Column("connector", String, nullable=False),
    Column("document", String, nullable=False, index=True),  # what is held in order: the proposal's identity
    Column("status", String, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),  # times it was begun
    Column("failures", Integer, nullable=False),  # in a row; the wait grows with them
    Column("not_before", Instant, nullable=False),  # undecided: of the next look-up
    Column("lease", String, nullable=False),
    Column("lease_until", Instant, nullable=True),
    Column("code", String, nullable=False),  # of the last receipt
    Column("said", Text, nullable=False),  # by the HIS in it; may quote a patient: for the operator alone
    Column("control_id", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("note", Text, nullable=False),
    Column("resolved_by", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # as last sent, JSON; empty until then
)
_undecided = writebacks.c.status == WrittenBack.UNDECIDED
PartialIndex("writebacks_undecided", writebacks.c.created, writebacks.c.id, unique=False, where=_undecided)

KERNEL = frozenset(
    "offsets outbox parked audit audit_seals proposal_history users sessions tokens staff_numbers staff controls"
    " signals places releases codes agent_rules coverage".split()
)

_WRITTEN = {
    "translate": "messages lookups clock",
    "chart": "patients encounters merges events entries charted_messages coverage_stays",
    "timers": "wakes wake_heads",
    "review": "assessment_heads proposals decisions",
    "writeback": "writebacks",
}
WRITER = {table: step for step, names in _WRITTEN.items() for table in names.split()}
