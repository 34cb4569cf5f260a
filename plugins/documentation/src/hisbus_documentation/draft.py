"""A draft from what a writer wrote: checked sentence by sentence, with the place of each source in the record."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hisbus_documentation.gather import Material
from hisbus_documentation.grounding import Facts, reason
from hisbus_documentation.source import Source
from hisbus_documentation.writer import Section, Sentence, assembled
from hisbus_schemas import Code, Draft, Drafted, DraftedSection, DraftedSentence, Evidence, Text

_SYSTEM = "WS/T 500"
_HOW = {
    "assembled": Text(zh="依病历条目拼装，未使用模型", en="assembled from the record, without a model"),
    "model": Text(zh="模型依病历撰写并逐句核对", en="written by a model and checked sentence by sentence"),
    "mixed": Text(
        zh="部分由模型撰写、其余拼装，已逐句核对", en="written partly by a model, the rest assembled; checked"
    ),
}


def draft(material: Material, written: Sequence[Section], facts: Facts) -> Draft | None:
    """Return the draft of what a writer wrote; None where nothing of it stays.

    Where nothing of a model's section stays it is assembled instead. The fingerprint is of the sources that were
    offered, so it changes with the record and not with a model's words.
    """
    sources = {source.id: source for source in material.sources}
    removed: Counter[str] = Counter()
    kept: list[Section] = []
    for section, (_, offered) in zip(written, material.sections, strict=True):
        standing = ground(section, sources, facts, removed)
        if section.how == "model" and not standing.sentences and offered:
            standing = ground(assembled(section.code, offered), sources, facts, removed)
        kept.append(standing)
    if not any(section.sentences for section in kept):
        return None
    evidence = _evidence(kept, sources)
    payload = _payload(material, kept, sources, evidence, removed)
    template, subject = material.template, material.subject
    reads = dict.fromkeys((*subject.reads, *(ref for source in sources.values() for ref in source.reads)))
    return Draft(
        key=f"{template.id}:{subject.id}" if subject.id else template.id,
        rule=template.id,
        subject=subject.id,
        severity="info",
        message=_message(payload),
        evidence=evidence,
        reads=list(reads),
        fingerprint=_fingerprint(material),
        payload=payload.model_dump(mode="json"),
    )


def ground(section: Section, sources: Mapping[str, Source], facts: Facts, removed: Counter[str]) -> Section:
    """Return a section without the sentences that nothing bears; they are counted by reason.

    A sentence that claims a source which there is not claims nothing by it.
    """
    kept = []
    for sentence in section.sentences:
        claimed = tuple(id for id in sentence.sources if id in sources)
        why = reason(sentence.text, [sources[id].text for id in claimed], facts)
        if why:
            removed[why] += 1
        else:
            kept.append(Sentence(sentence.text, claimed))
    return Section(section.code, tuple(kept), section.how)


def _evidence(sections: Sequence[Section], sources: Mapping[str, Source]) -> list[Evidence]:
    found: list[Evidence] = []
    for section in sections:
        for sentence in section.sentences:
            for id in sentence.sources:
                found += (item for item in sources[id].evidence if item not in found)
    return found


def _payload(
    material: Material,
    sections: Sequence[Section],
    sources: Mapping[str, Source],
    evidence: Sequence[Evidence],
    removed: Mapping[str, int],
) -> Drafted:
    template = material.template
    drafted = []
    for section, (form, _) in zip(sections, material.sections, strict=True):
        sentences = [
            DraftedSentence(
                text=sentence.text,
                sources=sorted({evidence.index(item) for id in sentence.sources for item in sources[id].evidence}),
            )
            for sentence in section.sentences
        ]
        drafted.append(
            DraftedSection(
                code=form.code,
                title=form.title,
                loinc=form.loinc,
                element=form.element,
                written=section.how,
                sentences=sentences,
            )
        )
    return Drafted(
        template=template.id,
        type=Code(code=template.type, text=template.title.zh, system=_SYSTEM),
        loinc=template.loinc,
        title=template.title,
        language=material.language,
        written=_written(sections),
        sections=drafted,
        removed=dict(sorted(removed.items())),
    )


def _written(sections: Sequence[Section]) -> Literal["assembled", "model", "mixed"]:
    ways = {section.how for section in sections if section.sentences}
    return "mixed" if len(ways) > 1 else ways.pop()


def _message(payload: Drafted) -> Text:
    count = sum(len(section.sentences) for section in payload.sections)
    out = sum(payload.removed.values())
    how, title = _HOW[payload.written], payload.title
    zh = f"{title.zh}草稿，{count}句，{how.zh}" + (f"；已删除无依据的{out}句" if out else "") + "。"
    en = f"Draft of the {title.en.lower()}, {count} sentences, {how.en}" + (
        f"; {out} unsupported taken out" if out else ""
    )
    return Text(zh=zh, en=f"{en}.")


def _fingerprint(material: Material) -> str:
    """Return a hash of what the record says for the document: the same while it says the same."""
    offered = [
        [section.code, [[source.text, *(_place(item) for item in source.evidence)] for source in sources]]
        for section, sources in material.sections
    ]
    said = [material.template.id, material.subject.id, material.language, offered]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _place(item: Evidence) -> dict[str, Any]:
    return item.model_dump(mode="json", exclude_none=True)
