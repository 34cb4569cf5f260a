"""Results and vital signs in words. What was withdrawn, or is no value, is not said."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from hisbus_documentation.instructions import is_instruction
from hisbus_documentation.phrases import PHRASES, Language, say, unit, when, word
from hisbus_documentation.plain import visible
from hisbus_documentation.sentences import split
from hisbus_documentation.source import Source, entry
from hisbus_documentation.subject import Subject
from hisbus_documentation.template import Feed
from hisbus_schemas import Chart, ChartReading, Evidence

_VALUE = re.compile(r"[<>≤≥]?\s*\d+(?:\.\d+)?|[+\-±]{1,4}|阴性|阳性|negative|positive", re.IGNORECASE)
_CONCLUSION = re.compile(r"诊断|意见|结论|提示|impression|conclusion|diagnos|interpretation", re.IGNORECASE)
_ABNORMAL = frozenset({"H", "HH", "L", "LL", "A", "AA"})
_LONG = 1000
"""Characters of a report's text that are taken over."""


def vitals(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield one measurement of vital signs, the first or the last: what one report carries."""
    measured: dict[str, list[ChartReading]] = defaultdict(list)
    for item in chart.vitals:
        if _is_value(item) and subject.covers(_at(item)) and _sign(item):
            measured[item.report].append(item)
    if not measured:
        return
    choose = min if feed.pick == "first" else max
    taken = choose(measured.values(), key=lambda items: max(_time(item) for item in items))
    order = list(PHRASES["vital"])
    taken = sorted(taken, key=lambda item: order.index(_sign(item)))
    said = [
        f"{_vital(item, language)}{' ' if language == 'en' else ''}{item.values[0].strip()}{unit(item.unit)}"
        for item in taken
    ]
    text = say("vitals", language, time=when(taken[0].time), list=say("comma", language).join(said))
    yield Source(text, tuple(_proof("vitals", item) for item in taken), tuple(item.ref for item in taken))


def results(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield each item that was abnormal: its first abnormal value, and its last where that is another."""
    series: dict[tuple[str, ...], list[ChartReading]] = defaultdict(list)
    for item in sorted(chart.results, key=lambda item: (_time(item), item.id)):
        if _is_value(item) and subject.covers(_at(item)):
            series[item.item.identity].append(item)
    shown = 0
    for readings in series.values():
        abnormal = next((item for item in readings if _ABNORMAL & set(item.flags)), None)
        if abnormal is None or shown == feed.most:
            continue
        shown += 1
        told = [abnormal] + ([readings[-1]] if readings[-1] is not abnormal else [])
        text = say("result", language, list=say("separator", language).join(_reading(item, language) for item in told))
        yield Source(text, tuple(_proof("results", item) for item in told), tuple(item.ref for item in told))


def reports(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield the conclusions of reports in words, of one without conclusion all of it; the newest reports."""
    texts: dict[str, list[ChartReading]] = defaultdict(list)
    for item in sorted(chart.results, key=lambda item: (_time(item), item.report)):
        if item.counts and not _is_value(item) and "".join(item.values).strip() and subject.covers(_at(item)):
            texts[item.report].append(item)
    for items in list(texts.values())[-feed.most :]:
        concluding = [item for item in items if _CONCLUSION.search(f"{item.item.code} {item.item.text}")]
        for item in concluding or items:
            yield from _report(item, language)


def _report(item: ChartReading, language: Language) -> Iterator[Source]:
    """Yield the sentences of a text, the first with its time and what it is of. Evidence is the whole value."""
    text = visible("\n".join(item.values))[:_LONG]
    said = [text[begin:end] for begin, end in split(text)]
    for n, sentence in enumerate(sentence for sentence in said if not is_instruction(sentence)):
        service = item.service.text or item.service.code
        words = sentence if n else say("report", language, time=when(item.time), service=service, text=sentence)
        yield Source(words, (_proof("results", item),), (item.ref,))


def _reading(item: ChartReading, language: Language) -> str:
    flag = next((word("flag", flag, language) for flag in item.flags if word("flag", flag, language)), "")
    return say(
        "reading",
        language,
        time=when(item.time),
        name=item.title,
        value=", ".join(value.strip() for value in item.values),
        unit=unit(item.unit),
        range=item.range,
        flag=flag,
    )


def _proof(part: str, item: ChartReading) -> Evidence:
    return entry(part, item, ", ".join(item.values))


def _vital(item: ChartReading, language: Language) -> str:
    return str(PHRASES["vital"][_sign(item)][language])


def _sign(item: ChartReading) -> str:
    """Return by which of its codes a reading is a vital sign; empty: it is none."""
    return item.item.among(PHRASES["vital"])


def _is_value(item: ChartReading) -> bool:
    return not item.withdrawn and bool(item.values) and all(_VALUE.fullmatch(value.strip()) for value in item.values)


def _at(item: ChartReading) -> datetime | None:
    return item.time.at if item.time else None


def _time(item: ChartReading) -> str:
    return item.time.at.isoformat() if item.time else ""
