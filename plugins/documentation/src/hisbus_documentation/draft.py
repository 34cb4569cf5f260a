"""A draft from what a writer wrote: checked sentence by sentence, with the place of each source in the record."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from hisbus_documentation.gather import Material
from hisbus_documentation.grounding import Facts, reason
from hisbus_documentation.source import Source
from hisbus_documentation.template import SectionTemplate
from hisbus_documentation.writer import Section, Sentence, assembled
from hisbus_schemas import Chart, Code, Draft, Drafted, DraftedSection, DraftedSentence, Evidence, Text

_SYSTEM = "WS/T 500"
_HOW = {
    "unasked": Text(zh="依病历条目拼装，未使用模型", en="assembled from the record, without a model"),
    "assembled": Text(zh="依病历条目拼装", en="assembled from the record"),
    "model": Text(zh="模型依病历撰写并逐句核对", en="written by a model and checked sentence by sentence"),
    "mixed": Text(
        zh="部分由模型撰写、其余拼装，已逐句核对", en="written partly by a model, the rest assembled; checked"
    ),
}
_SAID = Text(
    zh="按内容摘自就诊对话，未经模型撰写，不是病历，不能写回",
    en="what was said, sorted by what it is about; no model wrote it, it is no document and cannot be sent",
)
UNUSABLE = Text(zh="模型未给出可用的回答", en="the model gave no usable answer")


def draft(material: Material, written: Sequence[Section], facts: Facts, chart: Chart, model: str = "") -> Draft | None:
    """Return the draft of what a writer wrote; None where nothing of it stays.

    Where nothing of a model's section stays it is assembled instead, but for what was only said: that is no part of a
    document. The fingerprint is of the sources that were offered, of whose draft it is and of its form, so it changes
    with the record and not with a model's words. ``model`` is the name of what was asked.
    """
    removed: Counter[str] = Counter()
    kept = [
        _standing(section, form, offered, facts, removed)
        for section, (form, offered) in zip(written, material.sections, strict=True)
    ]
    form = _form(material, kept)
    if form == "document":
        kept = [
            replace(section, sentences=()) if section.how == "assembled" and _only_said(its) else section
            for section, (its, _) in zip(kept, material.sections, strict=True)
        ]
    if not any(section.sentences for section in kept):
        return None
    evidence = _evidence(kept)
    payload = _payload(material, form, kept, evidence, removed)
    template, subject = material.template, material.subject
    author = subject.author(chart)
    whose = (chart.stay_ref("attending.id"),)
    reads = dict.fromkeys((*subject.reads, *whose, *(ref for source in material.sources for ref in source.reads)))
    return Draft(
        key=f"{template.id}:{subject.id}" if subject.id else template.id,
        rule=template.id,
        subject=subject.id,
        author=author,
        severity="info",
        model="" if payload.written == "assembled" else model,
        message=_message(payload, kept),
        evidence=evidence,
        reads=list(reads),
        fingerprint=hashlib.sha256(json.dumps([material.fingerprint, author, form]).encode()).hexdigest(),
        payload=payload.model_dump(mode="json"),
    )


def _standing(
    section: Section, form: SectionTemplate, offered: Sequence[Source], facts: Facts, removed: Counter[str]
) -> Section:
    standing = ground(section, facts, removed)
    if section.how == "model" and not standing.sentences and offered and not _only_said(form):
        return ground(assembled(section.code, tuple(offered), section.model), facts, removed)
    return standing


def _form(material: Material, sections: Sequence[Section]) -> Literal["document", "transcript"]:
    """Return what it is: without a sentence of a model's, what was said is not a document."""
    by_model = any(section.how == "model" and section.sentences for section in sections)
    return "transcript" if material.template.spoken is not None and not by_model else "document"


def _only_said(form: SectionTemplate) -> bool:
    """Tell whether a section is made from what was said."""
    return any(feed.fact == "turns" for feed in form.feeds)


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
    form: Literal["document", "transcript"],
    sections: Sequence[Section],
    evidence: Sequence[Evidence],
    removed: Mapping[str, int],
) -> Drafted:
    template = material.template
    places = {item: n for n, item in enumerate(evidence)}
    drafted = []
    for section, (its, _) in zip(sections, material.sections, strict=True):
        sentences = [
            DraftedSentence(
                text=sentence.text,
                sources=sorted({places[item] for source in sentence.sources for item in source.evidence}),
            )
            for sentence in section.sentences
        ]
        drafted.append(
            DraftedSection(
                code=its.code,
                title=its.title,
                loinc=its.loinc,
                element=its.element,
                required=its.required,
                written=section.how,
                sentences=sentences,
            )
        )
    said = template.spoken if form == "transcript" else None
    return Drafted(
        template=template.id,
        form=form,
        type=Code(text=said.zh) if said else Code(code=template.type, text=template.title.zh, system=_SYSTEM),
        loinc="" if said else template.loinc,
        title=said or template.title,
        language=material.language,
        written=_written(sections),
        sections=drafted,
        removed=dict(sorted(removed.items())),
    )


def _written(sections: Sequence[Section]) -> Literal["assembled", "model", "mixed"]:
    ways = {section.how for section in sections if section.sentences}
    return "mixed" if len(ways) > 1 else ways.pop()


def _message(payload: Drafted, sections: Sequence[Section]) -> Text:
    """Return what the draft lacks, what it is and how it was written, what was taken out, where no model was of use."""
    count = sum(len(section.sentences) for section in payload.sections)
    out = sum(payload.removed.values())
    asked = any(section.model != "unasked" for section in sections)
    unusable = sum(section.model == "unusable" for section in sections)
    how, title = _HOW[payload.written if asked else "unasked"], payload.title
    if payload.form == "transcript":
        zh, en = [f"{title.zh}，{count}句，{_SAID.zh}"], [f"{title.en}, {count} sentences, {_SAID.en}"]
    else:
        zh = [f"{title.zh}草稿，{count}句，{how.zh}"]
        en = [f"Draft of the {title.en.lower()}, {count} sentences, {how.en}"]
        if lacking := payload.lacking():
            zh.insert(0, f"缺{'、'.join(section.title.zh for section in lacking)}，补全前不能提交")
            missing = ", ".join(section.title.en for section in lacking)
            en.insert(0, f"It lacks: {missing}; it cannot be sent before they are filled in")
    if unusable:
        zh.append(f"{UNUSABLE.zh}（{unusable}节）")
        en.append(f"{UNUSABLE.en} for {unusable} of its sections")
    if out:
        zh.append(f"已删除无依据的{out}句")
        en.append(f"{out} unsupported taken out")
    return Text(zh="；".join(zh) + "。", en="; ".join(en) + ".")
