"""A draft from what a writer wrote: checked sentence by sentence, with the place of each source in the record."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from hisbus_documentation.gather import Material
from hisbus_documentation.grounding import Facts, reason
from hisbus_documentation.writer import Section, Sentence, assembled
from hisbus_schemas import Code, Draft, Drafted, DraftedSection, DraftedSentence, Evidence, Text

_SYSTEM = "WS/T 500"
_HOW = {
    "unasked": Text(zh="依病历条目拼装，未使用模型", en="assembled from the record, without a model"),
    "assembled": Text(zh="依病历条目拼装", en="assembled from the record"),
    "model": Text(zh="模型依病历撰写并逐句核对", en="written by a model and checked sentence by sentence"),
    "mixed": Text(
        zh="部分由模型撰写、其余拼装，已逐句核对", en="written partly by a model, the rest assembled; checked"
    ),
}
UNUSABLE = Text(zh="模型未给出可用的回答", en="the model gave no usable answer")


def draft(material: Material, written: Sequence[Section], facts: Facts, model: str = "") -> Draft | None:
    """Return the draft of what a writer wrote; None where nothing of it stays.

    Where nothing of a model's section stays it is assembled instead. The fingerprint is of the sources that were
    offered, so it changes with the record and not with a model's words. ``model`` is the name of what was asked.
    """
    removed: Counter[str] = Counter()
    kept: list[Section] = []
    for section, (_, offered) in zip(written, material.sections, strict=True):
        standing = ground(section, facts, removed)
        if section.how == "model" and not standing.sentences and offered:
            standing = ground(assembled(section.code, offered, section.model), facts, removed)
        kept.append(standing)
    if not any(section.sentences for section in kept):
        return None
    evidence = _evidence(kept)
    payload = _payload(material, kept, evidence, removed)
    template, subject = material.template, material.subject
    reads = dict.fromkeys((*subject.reads, *(ref for source in material.sources for ref in source.reads)))
    return Draft(
        key=f"{template.id}:{subject.id}" if subject.id else template.id,
        rule=template.id,
        subject=subject.id,
        severity="info",
        model="" if payload.written == "assembled" else model,
        message=_message(payload, kept),
        evidence=evidence,
        reads=list(reads),
        fingerprint=material.fingerprint,
        payload=payload.model_dump(mode="json"),
    )


def ground(section: Section, facts: Facts, removed: Counter[str]) -> Section:
    """Return a section without the sentences that nothing bears; they are counted by reason."""
    kept: list[Sentence] = []
    for sentence in section.sentences:
        why = reason(sentence.text, [source.text for source in sentence.sources], facts)
        if why:
            removed[why] += 1
        else:
            kept.append(sentence)
    return replace(section, sentences=tuple(kept))


def _evidence(sections: Sequence[Section]) -> list[Evidence]:
    sources = (source for section in sections for sentence in section.sentences for source in sentence.sources)
    return list({item.model_dump_json(): item for source in sources for item in source.evidence}.values())


def _payload(
    material: Material,
    sections: Sequence[Section],
    evidence: Sequence[Evidence],
    removed: Mapping[str, int],
) -> Drafted:
    template = material.template
    drafted = []
    for section, (form, _) in zip(sections, material.sections, strict=True):
        sentences = [
            DraftedSentence(
                text=sentence.text,
                sources=sorted({evidence.index(item) for source in sentence.sources for item in source.evidence}),
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


def _message(payload: Drafted, sections: Sequence[Section]) -> Text:
    """Return what the draft is, how it was written, what was taken out, and for how much the model was of no use."""
    count = sum(len(section.sentences) for section in payload.sections)
    out = sum(payload.removed.values())
    asked = any(section.model != "unasked" for section in sections)
    unusable = sum(section.model == "unusable" for section in sections)
    how, title = _HOW[payload.written if asked else "unasked"], payload.title
    zh = [f"{title.zh}草稿，{count}句，{how.zh}"]
    en = [f"Draft of the {title.en.lower()}, {count} sentences, {how.en}"]
    if unusable:
        zh.append(f"{UNUSABLE.zh}（{unusable}节）")
        en.append(f"{UNUSABLE.en} for {unusable} of its sections")
    if out:
        zh.append(f"已删除无依据的{out}句")
        en.append(f"{out} unsupported taken out")
    return Text(zh="；".join(zh) + "。", en="; ".join(en) + ".")
