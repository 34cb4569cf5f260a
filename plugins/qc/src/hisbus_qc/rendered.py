"""``python -m hisbus_qc.rendered FILE``: each text of each rule once, in both languages, for a reader to go through.

What the examples beside the rule files make a rule say comes first, as a card shows it; a sentence that no example
makes is filled in with sample words.
"""

import asyncio
import re
import string
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hisbus import Case
from hisbus_qc.agent import Agent
from hisbus_qc.deadlines import length
from hisbus_qc.examples import RuleExample, read
from hisbus_qc.moments import NAMES
from hisbus_qc.rule import Rule
from hisbus_qc.rulebook import RULES
from hisbus_qc.text.agent import text_shelf
from hisbus_schemas import Finding, Text


def _same(text: str) -> Text:
    return Text(zh=text, en=text)


SAMPLES = {
    "after": Text(zh="入院", en="admission"),
    "at": _same("2026-03-02 09:20"),
    "before": _same("2026-03-03 09:00"),
    "code": _same("I10.x00"),
    "daily": _same("6 g"),
    "most": _same("4 g"),
    "frequency": _same("qid"),
    "day": _same("2026-03-03"),
    "days": _same("3"),
    "diagnosis": Text(zh="低钾血症", en="hypokalaemia"),
    "document": Text(zh="入院记录", en="admission record"),
    "drug": Text(zh="青霉素", en="penicillin"),
    "element": Text(zh="鉴别诊断", en="differential diagnosis"),
    "complaint": Text(zh="右膝关节疼痛3年", en="pain in the right knee for 3 years"),
    "from": _same("1"),
    "heart": _same("96"),
    "high": _same("42"),
    "hours": _same("24"),
    "item": Text(zh="血脂检测", en="lipids measured"),
    "items": Text(zh="吞咽功能筛查、血脂检测", en="dysphagia screen, lipids measured"),
    "label": Text(zh="离院方式", en="discharge disposition"),
    "level": Text(zh="病危", en="critical"),
    "limit": _same("2026-03-03 08:30"),
    "limit_text": Text(zh="24小时", en="24 h"),
    "low": _same("34"),
    "morphology": _same("M8140/3"),
    "name": Text(zh="腹腔镜阑尾切除术", en="laparoscopic appendectomy"),
    "note": _same("2026-03-03 10:00"),
    "operation": Text(zh="手术“腹腔镜阑尾切除术”", en="the operation “laparoscopic appendectomy”"),
    "order": Text(zh="注射用青霉素钠", en="penicillin for injection"),
    "original": Text(zh="首次病程记录", en="first progress note"),
    "other": Text(zh="右侧", en="right"),
    "part": Text(zh="膝关节", en="knee"),
    "percent": _same("97"),
    "problem": Text(zh="未填写", en="is missing"),
    "pulse": _same("78"),
    "set": Text(zh="急性脑梗死（STK）", en="Acute ischaemic stroke (STK)"),
    "sex": Text(zh="男", en="male"),
    "short": _same("24"),
    "side": Text(zh="左侧", en="left"),
    "signed": _same("2026-03-03 09:10"),
    "start": _same("2026-03-02 08:30"),
    "term": Text(zh="高血压", en="hypertension"),
    "time": _same("2026-03-04 09:00"),
    "to": _same("1"),
    "tube": Text(zh="引流管", en="drain"),
    "unit": _same("°C"),
    "value": _same("2.1"),
    "vital": Text(zh="体温", en="temperature"),
    "what": Text(zh="家族史", en="family history"),
    "where": Text(zh="手术为“左侧”，病案首页为“右侧”", en="operation “left”; front page “right”"),
    "why": Text(zh="至出院未见记录", en="nothing found by discharge"),
    "word": Text(zh="子宫", en="uterus"),
}
"""A word for each that texts fill in."""


def rendered() -> str:
    """Return the whole text, in Markdown."""
    said: dict[str, list[Finding]] = {}
    for example in read():
        if example.kind == "positive":
            said.setdefault(example.rule, []).extend(_found(example))
    rules = sorted([*RULES.values(), *text_shelf().rules.values()], key=lambda rule: (rule.id, rule.kind == "L"))
    head = (
        "# What the rules say / 质控规则文本\n\n"
        "Written by `python -m hisbus_qc.rendered`; do not edit. A star: no example says it, sample words fill it in."
    )
    return "\n\n".join([head, *(_rule(rule, said.get(rule.id, [])) for rule in rules)]) + "\n"


def _found(example: RuleExample) -> list[Finding]:
    rule = RULES[example.rule]
    settings = {"only": [rule.id], "rules": {rule.id: {"enabled": True}}, "packs": list(rule.packs)}
    chart = example.chart
    with TemporaryDirectory() as folder:
        terms = example.terms(Path(folder))
        case = Case(event=None, chart=chart, now=chart.now, settings=settings | example.settings, terms=terms)
        return [item for item in asyncio.run(Agent().assess(case)).proposals if isinstance(item, Finding)]


def _rule(rule: Rule, findings: list[Finding]) -> str:
    """Return one rule: its line, the cards of its examples, the sentences left, the words that they are made of."""
    asks = "（需语言模型）" if rule.kind == "L" else ""
    facts = f"{rule.severity}, {rule.points:g} · {', '.join(rule.packs)}{'' if rule.enabled else ' · off'}"
    lines = [f"## {rule.id}{asks} {rule.title.zh} / {rule.title.en}", "", facts, ""]
    lines += [f"- {source}" for source in dict.fromkeys(_sources(rule))]
    lines += ["", "| card | says |", "| --- | --- |"]
    seen: set[str] = set()
    for item in findings if rule.kind != "L" else ():
        by = {part.part for part in rule.parts if f"{item.key}:".startswith(f"{rule.id}:{part.part}:")}
        own = [one for one in _sentences(rule) if not by or one[0].part in by]
        names = {name for part, name, text in own if _says(part, text, item.message)}
        shape = re.sub(r"[0-9]+", "0", item.message.zh)
        if (names - seen or not names) and shape not in seen:
            lines.append(_row(Text.model_validate(item.payload["title"]), item.message))
        seen |= names | {shape}
    for part, name, text in _sentences(rule):
        if name not in seen:
            seen.add(name)
            title = part.titles.get(name.rpartition("/")[2].removesuffix("_before"), part.title)
            lines.append(_row(_filled(part, title), _filled(part, text), star="\\*"))
    words = [f"{text.zh} / {text.en}" for text in dict.fromkeys(_words(rule))]
    return "\n".join([*lines, *(["", "Words: " + "; ".join(words)] if words else [])])


def _sources(rule: Rule) -> Iterator[str]:
    yield rule.source
    for part in rule.parts:
        yield part.source
    yield from (f"{pack}: {source}" for pack, source in rule.sources.items())


def _texts(rule: Rule) -> Iterator[tuple[Rule, str, Text]]:
    """Yield the texts that a rule can say, with the part and by the names of both."""
    for part in rule.parts or (rule,):
        for name, text in part.texts.items():
            if _is_said(part, name):
                yield part, f"{part.part}/{name}", text


def _is_said(rule: Rule, name: str) -> bool:
    """Tell whether the limits of a condition let it say a text."""
    if rule.condition == "deadline" or rule.function.endswith(":since_discharge"):
        before = rule.limits.get("limit_hours") == 0
        if name in {"absent", "late", "absent_before", "late_before"}:
            return name.endswith("_before") == before
    if rule.condition == "every" and name in {"once", "day", "absent"}:
        times, days = rule.limits.get("times"), rule.limits["limit_days"]
        return name == ("once" if times == 1 else "day" if days == 1 else "absent")
    if name in {"operation", "unnamed"} and "after" in rule.limits:
        return str(rule.limits["after"]).startswith("operation")
    return True


def _sentences(rule: Rule) -> list[tuple[Rule, str, Text]]:
    return [item for item in _texts(rule) if item[2].zh.endswith("。")]


def _words(rule: Rule) -> Iterator[Text]:
    for part, _, text in _texts(rule):
        if not text.zh.endswith("。"):
            yield _filled(part, text)


def _says(part: Rule, text: Text, message: Text) -> bool:
    own = _own(part)
    text = Text(
        zh=re.sub(r"\{(\w+)\}", lambda match: own[match[1]].zh if match[1] in own else match[0], text.zh), en=""
    )
    pattern = "".join(
        re.escape(words) + (".+?" if field is not None else "")
        for words, field, _, _ in string.Formatter().parse(text.zh)
    )
    return re.search(pattern, message.zh, re.DOTALL) is not None


def _own(part: Rule) -> dict[str, Text]:
    """Return the words that a rule's texts fill in themselves."""
    return {name: text for name, text in part.texts.items() if name in {"document", "what", "original"}}


def _filled(part: Rule, text: Text) -> Text:
    """Fill sample words in: the rule's own where it has them."""
    words = SAMPLES | {name: own for name, own in _own(part).items() if "{" not in own.zh}
    after = part.limits.get("after")
    if after:
        words["after"] = _put(part.texts.get("clock", NAMES[after]), SAMPLES)
        words["limit_text"] = length(part)
    if part.kind != "L":
        words["other"] = Text(zh="出院时间", en="discharge")
    return _put(text, words)


def _put(text: Text, words: Mapping[str, Text]) -> Text:
    return Text(
        zh=text.zh.format(**{name: word.zh for name, word in words.items()}),
        en=text.en.format(**{name: word.en for name, word in words.items()}),
    )


def _row(title: Text, message: Text, star: str = "") -> str:
    cells = (f"{title.zh}{star}<br>{title.en}", f"{message.zh}<br>{message.en}")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(rendered(), encoding="utf-8")
