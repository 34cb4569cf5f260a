"""A write-back as lines of text, for connectors whose HIS takes text: as the doctor reads it who gets it."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from hisbus import payloads
from hisbus_schemas import Coded, CodedEntry, Drafted, Evidence, Finding, Proposal, Section, Text, WriteBack

CODES = "CODES"
"""Name of the section that holds a set of codes."""
_LABELS = {
    "codes": Text(zh="编码", en="Codes"),
    "origin": Text(zh="来源", en="Origin"),
    "drafted": Text(zh="草稿", en="Drafted"),
    "proposed": Text(zh="编码建议", en="Codes proposed"),
    "verified": Text(zh="编码建议，经模型核对", en="Codes proposed, verified by a model"),
    "front_page": Text(zh="用于病案首页", en="For the front page"),
    "settlement": Text(zh="用于医保结算清单", en="For the settlement list"),
    "principal": Text(zh="主要诊断", en="Principal"),
    "other": Text(zh="其他诊断", en="Other"),
    "complication": Text(zh="并发症", en="Complication"),
    "operation": Text(zh="手术操作", en="Operation"),
    "poa": Text(zh="入院时已有", en="present on admission"),
    "uncoded": Text(zh="未编码", en="Without a code"),
    "finding": Text(zh="病历质控", en="Record quality"),
    "proposal": Text(zh="建议", en="Proposal"),
    "place": Text(zh="病区床位", en="Place"),
    "evidence": Text(zh="依据", en="Evidence"),
    "wanted": Text(zh="请处理", en="Please"),
    "expected": Text(zh="应为", en="It would be"),
    "by": Text(zh="于 {} 前补正", en="mend it by {}"),
    "now": Text(zh="核实后补正", en="check and mend it"),
    "points": Text(zh="扣分", en="Points"),
    "source": Text(zh="规范", en="By"),
    "option": Text(zh="可选", en="Option"),
    "note": Text(zh="备注", en="Note"),
    "model": Text(zh="模型", en="Model"),
    "decided": Text(zh="审核", en="Decided"),
}


def sections(writeback: WriteBack) -> list[Section]:
    """Return a document, or a set of codes, section by section; none for a notice of what was found."""
    drafted, coded = payloads.drafted(writeback.approved), payloads.coded(writeback.approved)
    if drafted is not None:
        return [*_sections(drafted), _origin("drafted", writeback)]
    if coded is not None:
        return [_codes(coded, writeback), _origin("verified" if coded.verified_by else "proposed", writeback)]
    return []


def lines(writeback: WriteBack) -> list[str]:
    """Return everything as lines: a document's sections with their titles, or what was found and who says so."""
    parts = sections(writeback)
    said = (line for part in parts for line in (part.title, part.text)) if parts else _said(writeback)
    return [line for part in said for line in part.splitlines()]


def _in(writeback: WriteBack, text: Text) -> str:
    """Return a text in the languages that it leaves in; what is the same in both is said once."""
    said = (getattr(text, language) for language in writeback.languages)
    return " ".join(dict.fromkeys(filter(None, said)))


def _label(writeback: WriteBack, name: str) -> str:
    return _in(writeback, _LABELS[name])


def _sections(drafted: Drafted) -> Iterator[Section]:
    """Yield the sections that say something, a sentence to a line."""
    for part in drafted.sections:
        if part.sentences:
            title = part.title.zh if drafted.language == "zh" else part.title.en
            yield Section(name=part.code, title=title, text="\n".join(sentence.text for sentence in part.sentences))


def _codes(coded: Coded, writeback: WriteBack) -> Section:
    """Return the section that says which codes were approved, each with the words it rests on."""
    said = [_label(writeback, coded.purpose)] if coded.purpose in _LABELS else []
    said += [line for entry in coded.codes for line in _code(entry, writeback)]
    said += [f"{_label(writeback, 'uncoded')}: {item.text}" for item in coded.unmatched]
    return Section(name=CODES, title=_label(writeback, "codes"), text="\n".join([*said, *_notes(writeback)]))


def _code(entry: CodedEntry, writeback: WriteBack) -> Iterator[str]:
    table = f"[{entry.system} {entry.version}]" if entry.system else ""
    poa = _label(writeback, "poa") if entry.poa == "Y" else ""
    said = " ".join(filter(None, (entry.code, entry.display, table, poa)))
    yield f"{_label(writeback, entry.role)} {entry.rank}: {said}"
    yield from _evidence(writeback, entry.evidence)


def _origin(what: str, writeback: WriteBack) -> Section:
    """Return the section that says which program made the document, and who answers for it."""
    said = [f"{_label(writeback, what)}: {writeback.agent}", *_model(writeback), _decided(writeback)]
    return Section(name="HISBUS", title=_label(writeback, "origin"), text="\n".join(said))


def _said(writeback: WriteBack) -> Iterator[str]:
    proposal = writeback.approved
    title = _in(writeback, writeback.title)
    kind = "finding" if isinstance(proposal, Finding) else "proposal"
    yield f"{_label(writeback, kind)} {proposal.rule}{': ' if title else ''}{title}"
    place = writeback.location
    if where := " ".join(filter(None, (place.ward, place.room, place.bed))):
        yield f"{_label(writeback, 'place')}: {where}"
    for language in writeback.languages:
        yield getattr(proposal.message, language)
    yield from _evidence(writeback, proposal.evidence)
    yield from _options(writeback)
    if isinstance(proposal, Finding):
        yield from _asked(proposal, writeback)
    yield from _notes(writeback)
    yield from _model(writeback)
    yield _decided(writeback)


def _asked(found: Finding, writeback: WriteBack) -> Iterator[str]:
    """Yield what would be right, what the doctor is asked to do and by when, and what it costs by which text."""
    if found.expected is not None:
        yield f"{_label(writeback, 'expected')}: {_in(writeback, found.expected.text)}"
        yield from _evidence(writeback, found.cites()[len(found.evidence) :])
    due = found.due if found.due is not None and found.due > writeback.decided else None
    name, when = ("by", _local(due, writeback)) if due else ("now", "")
    yield f"{_label(writeback, 'wanted')}: {_label(writeback, name).replace('{}', when)}"
    if found.points:
        yield f"{_label(writeback, 'points')}: {found.points:g}"
    if isinstance(source := found.payload.get("source"), str) and source:
        yield f"{_label(writeback, 'source')}: {source}"


def _evidence(writeback: WriteBack, evidence: list[Evidence]) -> Iterator[str]:
    """Yield what something rests on, by name and time; what the chart has no more is quoted alone."""
    known = {ground.evidence.model_dump_json(): ground for ground in writeback.grounds}
    for one in evidence:
        ground = known.get(one.model_dump_json())
        words = one.value or "" if ground is None else ground.words
        said = f"“{one.quote}”" if one.quote is not None else words
        if ground is not None:
            when = f" ({_local(ground.at, writeback)})" if ground.at else ""
            said = f"{_in(writeback, ground.what)}{when} {said}"
        yield f"{_label(writeback, 'evidence')}: {said}"


def _options(writeback: WriteBack) -> Iterator[str]:
    """Yield what a question to the clinician may be answered with."""
    proposal = writeback.approved
    query = payloads.query(proposal) if isinstance(proposal, Finding) else None
    for number, option in enumerate(query.options if query else (), 1):
        yield f"{_label(writeback, 'option')} {number}: {_in(writeback, option)}"


def _notes(writeback: WriteBack) -> Iterator[str]:
    for note in (writeback.approved.payload.get("note"), writeback.note):
        if note:
            yield f"{_label(writeback, 'note')}: {note}"


def _model(writeback: WriteBack) -> Iterator[str]:
    proposal: Proposal = writeback.approved
    if proposal.model:
        yield f"{_label(writeback, 'model')}: {proposal.model}"


def _decided(writeback: WriteBack) -> str:
    who = writeback.user_name or writeback.user
    return f"{_label(writeback, 'decided')}: {who}, {_local(writeback.decided, writeback)}"


def _local(time: datetime, writeback: WriteBack) -> str:
    return f"{time.astimezone(ZoneInfo(writeback.timezone)):%Y-%m-%d %H:%M}"
