"""One card for one defect: what the parts of a rule find about one operation, one transfusion, stands together."""

from collections.abc import Iterable, Mapping
from itertools import takewhile

from hisbus_qc.rule import Rule
from hisbus_schemas import Evidence, Finding, Text

_SEVERITIES = ("info", "warning", "critical")


def together(findings: Iterable[Finding], rules: Mapping[str, Rule]) -> list[Finding]:
    """Return findings in their order, those of one of the rules about one subject made one.

    It takes the points of the dearest, for it is one defect; it is absent where anything is.
    """
    made: dict[tuple[str, str], list[Finding]] = {}
    for number, item in enumerate(findings):
        named = (item.rule, item.subject) if item.rule in rules else ("", str(number))
        made.setdefault(named, []).append(item)
    return [_one(rules[rule], items) if rule else items[0] for (rule, _), items in made.items()]


def _one(rule: Rule, items: list[Finding]) -> Finding:
    first = items[0]
    dues = [item.due for item in items if item.due]
    several = {
        "title": rule.title.model_dump(),
        "source": "；".join(dict.fromkeys(item.payload["source"] for item in items)),
    }
    return first.model_copy(
        update={
            "key": ":".join(filter(None, (first.rule, first.subject))),
            "state": "absent" if any(item.state == "absent" for item in items) else first.state,
            "severity": max((item.severity for item in items), key=_SEVERITIES.index),
            "points": max(item.points for item in items),
            "message": Text(
                zh=_joined([item.message.zh for item in items], "未见", ("，", "。"), "、"),
                en=_joined([item.message.en for item in items], "No ", (" before ", " within "), ", "),
            ),
            "evidence": _once(items),
            "reads": list(dict.fromkeys(ref for item in items for ref in item.reads)),
            "due": min(dues) if dues else None,
            "payload": first.payload | (several if len(items) > 1 else {}),
        }
    )


def _joined(sentences: list[str], begin: str, ends: tuple[str, ...], comma: str) -> str:
    """Return sentences as one where they miss several things of one moment; else one after the other.

    Args:
        sentences: of one language.
        begin: behind which a sentence names what is missing.
        ends: before which it has named it.
        comma: between two of the things.
    """
    head = _beginning(sentences)
    tail = _beginning([sentence[::-1] for sentence in sentences])[::-1]
    starts = [at for mark in ends if (at := tail.find(mark)) >= 0]
    if len(sentences) < 2 or begin not in head or not starts:
        return ("" if comma == "、" else " ").join(sentences)
    head, tail = head[: head.rfind(begin) + len(begin)], tail[min(starts) :]
    return head + comma.join(sentence[len(head) : len(sentence) - len(tail)] for sentence in sentences) + tail


def _beginning(sentences: list[str]) -> str:
    """Return how all of them begin."""
    alike = takewhile(lambda marks: len(set(marks)) == 1, zip(*sentences, strict=False))
    return "".join(marks[0] for marks in alike)


def _once(items: list[Finding]) -> list[Evidence]:
    """Return the evidence of all, what several rest on once."""
    return list({proof.model_dump_json(): proof for item in items for proof in item.evidence}.values())
