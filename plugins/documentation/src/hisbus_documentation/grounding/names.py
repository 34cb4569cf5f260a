"""Diagnoses, drugs and operations: each that a sentence names stands in a source."""

import re
from collections.abc import Iterator, Sequence

from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.plain import CJK

_DRUGS = re.compile(
    rf"[{CJK}]{{1,6}}?(?P<end>霉素|西林|沙星|他汀|洛尔|普利|沙坦|地平|拉唑|格雷|硝唑|康唑|匹林|双胍|胰岛素|肝素|华法林|地西泮|激素|头孢[{CJK}]{{2}})"
    r"|\b[a-z]+(?:cillin|mycin|floxacin|statin|olol|pril|sartan|azole|dipine|prazole|formin|cycline|parin|azepam|oxetine"
    r"|triptan|gliptin|gliflozin|tidine|profen|sone|solone|semide|pentin|oxicam)\b|\b(?:warfarin|aspirin|heparin|insulin)\b"
)
_OTHERS = re.compile(
    rf"[{CJK}]{{1,6}}?(?P<end>结核|梗死|出血|骨折|衰竭|结石|脓肿|休克|血栓|梗阻|穿孔|栓塞|肿瘤|癌|高血压|糖尿病|冠心病|炎(?!症)|综合征|贫血|败血症"
    rf"|肝硬化|切除术|成形术|吻合术|置换术|修补术|引流术|造口术|移植术|固定术|探查术|剖宫产|支架|透析)"
    r"|\b[a-z]+(?:itis|oma|emia|aemia|osis|pathy|sepsis|plegia|paresis|ectomy|plasty|otomy|ostomy|scopy|desis|rrhage|thorax)\b"
    r"|\b(?:pneumonia|infarction|stroke|cancer|fracture|diabetes|hypertension|embolism|thrombosis|asthma|copd"
    r"|fibrillation|dialysis|stent)\b"
)
_COMMON = frozenset({"diagnosis", "prognosis", "anatomy", "symptoms", "welcome", "osis", "dose", "reasone"})


def names(text: str) -> Iterator[str]:
    """Yield the names of a plain text that end as diagnoses, drugs and operations do.

    Of a Chinese one, whose beginning nothing marks, only the end with the character before it.
    """
    yield from _named(_DRUGS, text)
    yield from _named(_OTHERS, text)


def drugs(text: str) -> Iterator[str]:
    """Yield those of drugs."""
    yield from _named(_DRUGS, text)


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether each name stands in a source."""
    joined = "\n".join(sources)
    return all(name in joined or name[1:] == "" for name in names(text))


def _named(form: re.Pattern[str], text: str) -> Iterator[str]:
    for match in form.finditer(text):
        if match[0] not in _COMMON:
            yield match[0][-len(match["end"]) - 1 :] if match["end"] else match[0]
