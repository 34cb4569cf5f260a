"""The oracle: what must hold after any fault, once it is over and nothing waits any more.

It looks at what is outside (what was acknowledged, what the HIS did) and at what is stored, not at the code.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.faults.harness import Site, words_of
from tests.faults.load import Load, sequence

from hisbus_bus.kernel import seals
from hisbus_bus.kernel.log import Record
from hisbus_bus.kernel.site import open_database
from hisbus_bus.kernel.topics import Name
from hisbus_schemas import Assessed, Charted, Decision
from hisbus_simulator.oracle import JUDGED

STATES = frozenset({"open", "stale", "accepted", "edited", "rejected", "superseded", "resolved", "withdrawn"})

STORED = Mapping[Name, list[Record]]


@dataclass(frozen=True)
class Figures:
    """What moved."""

    messages: int
    duplicates: int
    redeliveries: int
    """Records of the flow that are copies of an earlier one."""
    parked: int
    findings: int
    decisions: int
    effects: int


async def judge(
    site: Site,
    load: Load,
    *,
    least: int,
    observed: bool,
    metrics: str = "",
    parked: Iterable[str] = (),
    restored: bool = False,
) -> Figures:
    """Hold the site to the seven points. Its processes have stopped; nothing waits.

    Args:
        site: the site.
        load: what was sent to it.
        least: so many messages moved at least,
        observed: and the fault was seen where it was to be seen; else all of this says nothing.
        metrics: what was exposed.
        parked: control ids that were to be parked.
        restored: its database was put back to an earlier state.
    """
    stored = await site.everything()
    assert not any((await site.behind()).values()), await site.behind()
    _nothing_is_lost(site, load, stored, set(parked))
    _nothing_is_doubled(site)
    _order_is_kept(site, stored, restored)
    _nothing_took_effect_unapproved(site)
    await _the_audit_is_complete(site)
    assert len(load.acked) >= least, f"only {len(load.acked)} messages moved"
    assert observed, "the fault was not seen"
    _no_patient_is_named(site, load, stored, metrics)
    return _figures(site, load, stored)


def findings_are_those_of(site: Site, load: Load) -> None:
    """Hold the findings to the simulator's truth: each is there once, and no other."""
    rows = site.rows(
        "SELECT p.identity, e.number, p.rule, p.state FROM proposals p JOIN encounters e ON e.id = p.encounter "
        "WHERE p.status IN ('open', 'accepted') AND NOT p.rectified ORDER BY p.revision"
    )
    newest = {identity: place for identity, *place in rows}
    found = Counter(tuple(place) for place in newest.values())
    expected = Counter((one.visit, one.rule, one.state) for one in load.week.expected if one.rule in JUDGED)
    assert found == expected, f"missing: {expected - found}; too many: {found - expected}"


# --- 1: no loss


def _nothing_is_lost(site: Site, load: Load, stored: STORED, parked: set[str]) -> None:
    """What was acknowledged is processed or parked; nothing is open."""
    ledger = site.rows("SELECT control_id, status, message FROM messages WHERE first")
    ours = {id for id in load.sent if id not in load.refused_for_good}
    assert load.acked.keys() == ours, f"never acknowledged: {ours - load.acked.keys()}"
    assert Counter(row[0] for row in ledger) == Counter(load.sent)
    aside = {row[0] for row in ledger if row[1] == "parked"}
    assert {row[1] for row in ledger} <= {"mapped", "unmapped", "parked"}
    assert aside == parked, f"parked: {aside}"
    rows = site.rows("SELECT step, reason, message FROM parked WHERE status = 'parked'")
    assert {row[2] for row in rows if row[0] == "translate"} == {row[2] for row in ledger if row[1] == "parked"}
    if not parked:
        assert not rows, rows
    assert not site.rows("SELECT id FROM outbox")
    stored_copies = {(record.partition, record.offset) for record in stored["raw"] if "origin" not in record.headers}
    told = {tuple(row) for row in site.rows('SELECT "partition", "offset" FROM messages')}
    outside = {(record.partition, record.offset) for record in stored["raw"] if record.headers["connector"] != "hisbus"}
    assert told == outside & stored_copies, "a stored copy that the ledger does not know"
    charted = {row[0] for row in site.rows("SELECT message FROM charted_messages")}
    assert {row[2] for row in ledger if row[1] == "mapped"} <= charted, "translated, and in no chart"
    _every_chart_was_judged(site, stored)


def _every_chart_was_judged(site: Site, stored: STORED) -> None:
    """Each chart that concerns the agent was judged, or a later one of that stay; review took the newest answer."""
    answers = [Assessed.model_validate_json(record.value) for record in stored["assessments"]]
    answers = [answer for answer in answers if answer.agent == "qc"]
    newest: dict[str, int] = defaultdict(int)
    for answer in answers:
        newest[answer.encounter] = max(newest[answer.encounter], answer.version)
    charted = [(record, Charted.model_validate_json(record.value)) for record in stored["charted"]]
    answered = {answer.event for answer in answers}
    kinds = {record.headers["kind"] for record, said in charted if said.event in answered}
    unread = [said for record, said in charted if record.headers["kind"] in kinds and not record.headers.get("agent")]
    behind = [said for said in unread if said.version > newest[said.encounter]]
    assert not behind, f"{len(behind)} charts that the agent should have seen"
    heads = dict(site.rows("SELECT encounter, version FROM assessment_heads WHERE agent = 'qc'"))
    assert heads == newest, "an answer that review has not taken"


# --- 2: no double effect


def _nothing_is_doubled(site: Site) -> None:
    effects = site.his.effects
    assert max(effects.values(), default=0) <= 1, effects.most_common(3)
    rows = site.rows("SELECT identity, fingerprint, status FROM proposals")
    decided = Counter((row[0], row[1]) for row in rows if row[2] in {"accepted", "edited", "rejected"})
    assert max(decided.values(), default=0) <= 1, "one finding was decided twice"
    live = Counter(row[0] for row in rows if row[2] in {"open", "stale"})
    assert max(live.values(), default=0) <= 1, "one finding is open twice"


# --- 3: order


def _order_is_kept(site: Site, stored: STORED, restored: bool) -> None:
    """For each patient key, new work never goes back: as stored, as charted, as each agent saw it."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    for record in stored["raw"]:
        control_id, message = record.headers.get("control_id", ""), record.headers["message"]
        if record.headers["connector"] == "hisbus" or not control_id or message in seen:
            continue
        seen.add(message)
        patient, number = sequence(control_id)
        place = f"{record.key} {patient}"
        assert number > last.get(place, 0), f"stored out of order: {control_id}"
        last[place] = number
    _charts_rise(stored)
    rows = site.rows("SELECT e.id, m.control_id FROM events e JOIN messages m ON m.message = e.message WHERE m.first")
    agents_saw_them_in_order(stored, dict(rows), restored=restored)


def _charts_rise(stored: STORED) -> None:
    newest: dict[str, int] = {}
    seen: set[str] = set()
    for record in stored["charted"]:
        said = Charted.model_validate_json(record.value)
        if said.id not in seen:
            assert said.version >= newest.get(said.encounter, 0), "charts go back"
            newest[said.encounter] = said.version
        seen.add(said.id)


def agents_saw_them_in_order(stored: STORED, control_ids: Mapping[str, str], *, restored: bool = False) -> None:
    """Hold the answers to their order: no chart is older than the last, and no event is judged first after a later one.

    What was judged together comes again by itself when its agent dies before it says that it is done. That answer is
    of a chart that is no older either, stands for nothing new, and so comes after nothing. Where the database was put
    back, each chart is once an older one, and rises from there.

    Args:
        stored: what the log holds.
        control_ids: of the messages, by their events.
        restored: the database was put back to an earlier state.
    """
    made, wanted = _what_concerns(stored)
    judged: dict[tuple[str, str], set[int]] = defaultdict(set)
    read: dict[tuple[str, str], int] = {}
    put_back: set[tuple[str, str]] = set()
    last: dict[tuple[str, str, str], int] = {}
    seen: set[str] = set()
    for record in stored["assessments"]:
        answer = Assessed.model_validate_json(record.value)
        if answer.id in seen:
            continue
        seen.add(answer.id)
        place, newest = (answer.agent, answer.encounter), made[answer.encounter, answer.event]
        assert answer.version >= newest, "the agent was given an older chart than its event made"
        stands_for = {one for one in wanted[place] if (answer.since or newest) <= one <= newest}
        new = stands_for - judged[place]
        if answer.version < read.get(place, 0):
            assert restored and place not in put_back, "the agent's chart goes back"
            put_back.add(place)
        read[place] = answer.version
        if new:
            assert min(new) > max(judged[place], default=0), "an agent saw an event first after a later one"
            judged[place] |= new
            if answer.event in control_ids:
                patient, number = sequence(control_ids[answer.event])
                assert number >= last.get((*place, patient), 0), f"the agent saw {patient}-{number} late"
                last[*place, patient] = number


def _what_concerns(stored: STORED) -> tuple[Mapping[tuple[str, str], int], Mapping[tuple[str, str], set[int]]]:
    """Return which version each event made of a stay, and which versions of it were put before an agent.

    Which kinds an agent asks for is told by what it answered.
    """
    charted = [Charted.model_validate_json(record.value) for record in stored["charted"]]
    made = {(one.encounter, one.event): one.version for one in reversed(charted)}
    kind_of = {one.event: one.kind for one in charted}
    kinds: dict[str, set[str]] = defaultdict(set)
    for record in stored["assessments"]:
        answer = Assessed.model_validate_json(record.value)
        kinds[answer.agent].add(kind_of[answer.event])
    wanted: dict[tuple[str, str], set[int]] = defaultdict(set)
    for one in charted:
        for agent in kinds:
            if one.by != agent and (one.agent == agent if one.agent else one.kind in kinds[agent]):
                wanted[agent, one.encounter].add(one.version)
    return made, wanted


# --- 4: no unapproved effect


def _nothing_took_effect_unapproved(site: Site) -> None:
    effects = site.his.effects
    rows = site.rows(
        'SELECT w.id, w.status, w.proposal, d."user", d.id FROM writebacks w JOIN decisions d ON d.id = w.decision'
    )
    status = {row[0]: row[1] for row in rows}
    assert effects.keys() <= status.keys(), "an effect that nobody decided on"
    applied = {id for id, now in status.items() if now == "applied"}
    assert applied == set(effects), "what the HIS did and what we say it did differ"
    assert set(status.values()) <= {"applied", "stale", "rejected_by_his"}, Counter(status.values())
    decided = [row[0] for row in site.rows("SELECT id FROM decisions")]
    assert len(status) == len(decided), "a decision without its write-back"
    told = site.rows("SELECT id, action, object, actor FROM audit ORDER BY id")
    approved = {row[2]: (row[0], row[3]) for row in told if row[1] in {"proposal.accepted", "proposal.edited"}}
    lost = {row[2] for row in told if row[1] == "decision.taken_over"}  # its rows went with the database
    begun: dict[str, tuple[int, str]] = {}
    for id, action, object, actor in told:
        if action == "writeback.sending":
            begun.setdefault(object, (id, actor))
    for writeback, _, proposal, user, decision in rows:
        if writeback in effects and decision not in lost:
            (when, who), (sent, sender) = approved[proposal], begun[writeback]
            assert when < sent, "sent before it was approved"
            assert who == f"user:{user}" and who != sender, "approved by whoever sent it"


# --- 5: audit


async def _the_audit_is_complete(site: Site) -> None:
    """Each change of state has one row, and the chain holds."""
    changes = Counter(site.rows("SELECT proposal, status FROM proposal_history"))
    proposal_of = dict(site.rows("SELECT id, proposal FROM writebacks"))
    told: Counter[tuple[str, str]] = Counter()
    for object, action in site.rows("SELECT object, action FROM audit"):
        if action.startswith("writeback."):
            told[proposal_of[object], action] += 1
        elif action.startswith("proposal.") and action != "proposal.viewed":
            told[object, action.removeprefix("proposal.")] += 1
    assert told == changes
    now = dict(site.rows("SELECT id, status FROM proposals"))
    told_last = site.rows("SELECT proposal, status FROM proposal_history ORDER BY id")
    last = {proposal: status for proposal, status in told_last if status in STATES}
    assert last == now, "a state that no row tells of"
    database = open_database(site.settings)
    verdict = await seals.verify(database)
    await database.close()
    assert verdict.sound and verdict.sealed and not verdict.unsealed, str(verdict)


# --- 7: no patient outside


def _no_patient_is_named(site: Site, load: Load, stored: STORED, metrics: str) -> None:
    words = words_of([message.text for message in load.week.messages])
    said = site.said()
    for line in said.splitlines():
        if not line.startswith("The "):  # what is said to the operator when a process does not start
            json.loads(line)
    records = [record for log in stored.values() for record in log]
    around = "\n".join(record.key + json.dumps(record.headers, ensure_ascii=False) for record in records)
    named = {word for word in words if not (word.isdecimal() and len(word) < 10)}  # a short one is in any fraction
    for place, text in (("the log", said), ("the metrics", metrics), ("keys and headers", around)):
        assert not [word for word in named if word in text], f"a patient is named in {place}"
    values = {value for record in records for value in record.headers.values()}
    assert not words & values, "a patient's number is a header"


def _figures(site: Site, load: Load, stored: STORED) -> Figures:
    decisions = [Decision.model_validate_json(record.value).id for record in stored["decisions"]]
    assert set(decisions) == {row[0] for row in site.rows("SELECT id FROM decisions")}
    copies = 0
    for topic in ("events", "charted", "assessments", "decisions"):
        ids = [record.headers["ce_id"] for record in stored[topic]]
        copies += len(ids) - len(set(ids))
    [[duplicates]] = site.rows("SELECT count(*) FROM messages WHERE NOT first")
    [[parked]] = site.rows("SELECT count(*) FROM parked")
    [[findings]] = site.rows("SELECT count(DISTINCT identity) FROM proposals")
    return Figures(len(load.acked), duplicates, copies, parked, findings, len(set(decisions)), site.his.effects.total())
