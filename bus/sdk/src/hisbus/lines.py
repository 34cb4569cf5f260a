"""A write-back as lines of text, for connectors whose HIS takes text: in both languages, for who reads it there."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from hisbus import payloads
from hisbus_schemas import Coded, CodedEntry, Drafted, Evidence, Finding, Proposal, Section, WriteBack

CODES = "CODES"
"""Name of the section that holds a set of codes."""
_PROPOSED = {False: "编码建议 Codes proposed", True: "编码建议，经模型核对 Codes proposed, verified by a model"}
_ROLES = {
    "principal": "主要诊断 Principal",
    "other": "其他诊断 Other",
    "complication": "并发症 Complication",
    "operation": "手术操作 Operation",
}


def sections(writeback: WriteBack) -> list[Section]:
    """Return a document, or a set of codes, section by section; none for a notice of what was found."""
    drafted, coded = payloads.drafted(writeback.approved), payloads.coded(writeback.approved)
    if drafted is not None:
        return [*_sections(drafted), _origin("草稿 Drafted", writeback)]
    if coded is not None:
        return [_codes(coded, writeback), _origin(_PROPOSED[bool(coded.verified_by)], writeback)]
    return []


def lines(writeback: WriteBack) -> list[str]:
    """Return everything as lines: a document's sections with their titles, or what was found and who says so."""
    parts = sections(writeback)
    said = (line for part in parts for line in (part.title, part.text)) if parts else _said(writeback)
    return [line for part in said for line in part.splitlines()]


def _sections(drafted: Drafted) -> Iterator[Section]:
    """Yield the sections that say something, a sentence to a line."""
    for part in drafted.sections:
        if part.sentences:
            title = part.title.zh if drafted.language == "zh" else part.title.en
            yield Section(name=part.code, title=title, text="\n".join(sentence.text for sentence in part.sentences))


def _codes(coded: Coded, writeback: WriteBack) -> Section:
    """Return the section that says which codes were approved, each with the words it rests on."""
    said = [line for entry in coded.codes for line in _code(entry)]
    said += [f"未编码 Without a code: {item.text}" for item in coded.unmatched]
    return Section(name=CODES, title="编码 Codes", text="\n".join([*said, *_notes(writeback)]))


def _code(entry: CodedEntry) -> Iterator[str]:
    table = f"[{entry.system} {entry.version}]" if entry.system else ""
    poa = "入院时已有 present on admission" if entry.poa == "Y" else ""
    said = " ".join(filter(None, (entry.code, entry.display, table, poa)))
    yield f"{_ROLES[entry.role]} {entry.rank}: {said}"
    for evidence in entry.evidence:
        yield f"依据 Evidence: {_quoted(evidence)}"


def _origin(what: str, writeback: WriteBack) -> Section:
    """Return the section that says which program made the document, and who answers for it."""
    said = [f"{what}: {writeback.agent}", *_model(writeback.approved), _decided(writeback)]
    return Section(name="HISBUS", title="来源 Origin", text="\n".join(said))


def _said(writeback: WriteBack) -> Iterator[str]:
    proposal = writeback.approved
    yield f"规则 Rule: {proposal.rule}"
    yield proposal.message.zh
    yield proposal.message.en
    for evidence in proposal.evidence:
        yield f"依据 Evidence: {_quoted(evidence)}"
    yield from _options(proposal)
    yield from _notes(writeback)
    yield from _model(proposal)
    yield _decided(writeback)


def _options(proposal: Proposal) -> Iterator[str]:
    """Yield what a question to the clinician may be answered with."""
    query = payloads.query(proposal) if isinstance(proposal, Finding) else None
    for number, option in enumerate(query.options if query else (), 1):
        yield f"可选 Option {number}: {option.zh} {option.en}"


def _notes(writeback: WriteBack) -> Iterator[str]:
    for note in (writeback.approved.payload.get("note"), writeback.note):
        if note:
            yield f"备注 Note: {note}"


def _model(proposal: Proposal) -> Iterator[str]:
    if proposal.model:
        yield f"模型 Model: {proposal.model}"


def _decided(writeback: WriteBack) -> str:
    local = writeback.decided.astimezone(ZoneInfo(writeback.timezone)).isoformat(" ", "minutes")
    return f"审核 Decided: {writeback.user}, {local}"


def _quoted(evidence: Evidence) -> str:
    if evidence.quote is not None:
        return f"“{evidence.quote}”"
    return f"{evidence.path} = {evidence.value}"
