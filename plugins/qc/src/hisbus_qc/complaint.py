"""R66: a chief complaint that has nothing of what the first diagnosis brings a patient to hospital with."""

import re

from hisbus_qc import evidence
from hisbus_qc.record import Record
from hisbus_qc.rule import DocumentTypes, Limits, Rule, Said, takes
from hisbus_qc.text import passages
from hisbus_schemas import ChartDocument, Evidence

_END = re.compile(r"[，,。；;、\n]|\s*\d+[.．)）]")


class Brought(Limits):
    """A disease, and the words of which one stands in the complaint of whoever has it."""

    diagnoses: tuple[str, ...]
    words: tuple[str, ...]


class Complaints(Limits):
    """Diseases whose complaint is certain, and complaints that go with any."""

    documents: DocumentTypes
    any: tuple[str, ...]
    """Words that may stand for whatever was found: an examination, a planned treatment, a general complaint."""
    symptoms: tuple[str, ...]
    """Words of which a complaint holds one that names what brought the patient: another is not judged."""
    diseases: dict[str, Brought]


@takes(Complaints)
def complaint(rule: Rule, record: Record, limits: Complaints) -> Said:
    """Judge the first sentence of each signed document's complaint; a disease that is not listed is not judged."""
    for item in record.signed(limits.documents):
        told = passages.find(item, ("complaint",))
        first = _first(record, item)
        if not told or first is None:
            continue
        diagnosis, proof, ref = first
        known = [one.words for one in limits.diseases.values() if any(word in diagnosis for word in one.diagnoses)]
        said = (told[0].opening.quote or "").strip("。；; \n")
        if not known or not any(word in said for word in limits.symptoms):
            continue
        if any(word in said for words in (limits.any, *known) for word in words):
            continue
        words = {"complaint": said, "diagnosis": diagnosis}
        yield rule.finding(
            rule.say("found", **words),
            title=rule.titled("found", **words),
            subject=item.id,
            evidence=[told[0].opening, proof],
            reads=list(dict.fromkeys((item.ref, ref))),
        )


def _first(record: Record, item: ChartDocument) -> tuple[str, Evidence, str] | None:
    """Return the first diagnosis of a document; where it names none, the first admitting one of the stay."""
    for part in passages.find(item, ("diagnosis",)):
        begin = next((at for at, mark in enumerate(part.text) if mark.isalpha()), None)
        if begin is not None:
            line = _line(part.text[begin:])
            return line, part.span(begin, begin + len(line)), item.ref
    admitting = [one for one in record.chart.diagnoses if one.status == "admitting" and one.rank in {1, None}]
    if len(admitting) != 1 or not admitting[0].code.text:
        return None
    one = admitting[0]
    return one.title, evidence.at(f"diagnoses/{one.id}/code", one.title), one.ref


def _line(text: str) -> str:
    """Return up to where the first diagnosis ends."""
    end = _END.search(text, 1)
    return text[: end.start() if end else len(text)].rstrip()
