"""One card for one defect: what the parts of a rule find about one operation, one transfusion, stands together."""

from collections.abc import Iterable, Mapping

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
                zh="".join(item.message.zh for item in items), en=" ".join(item.message.en for item in items)
            ),
            "evidence": _once(items),
            "reads": list(dict.fromkeys(ref for item in items for ref in item.reads)),
            "due": min(dues) if dues else None,
            "payload": first.payload | (several if len(items) > 1 else {}),
        }
    )


def _once(items: list[Finding]) -> list[Evidence]:
    """Return the evidence of all, what several rest on once."""
    return list({proof.model_dump_json(): proof for item in items for proof in item.evidence}.values())
