"""Diagnoses, drugs and operations: each that a sentence names stands in a source."""

import re
from collections.abc import Iterator, Sequence

from hisbus_documentation.grounding.facts import Facts
from hisbus_documentation.plain import CJK

_CHINESE = re.compile(
    rf"[{CJK}]{{1,6}}?(?P<end>霉素|西林|沙星|他汀|洛尔|普利|沙坦|地平|拉唑|格雷|硝唑|康唑|匹林|双胍|胰岛素|肝素|华法林|地西泮|激素|头孢[{CJK}]{{2}}"
    rf"|结核|梗死|出血|骨折|衰竭|结石|脓肿|休克|血栓|梗阻|穿孔|栓塞|肿瘤|癌|高血压|糖尿病|冠心病|炎(?!症)|综合征|贫血|败血症|肝硬化"
    rf"|切除术|成形术|吻合术|置换术|修补术|引流术|造口术|移植术|固定术|探查术|剖宫产|支架|透析)"
)
_ENGLISH = re.compile(
    r"\b[a-z]+(?:cillin|mycin|floxacin|statin|olol|pril|sartan|azole|dipine|prazole|formin|cycline|parin|azepam|oxetine|triptan|gliptin|gliflozin|tidine|profen|sone|solone"
    r"|itis|oma|emia|aemia|osis|pathy|sepsis|plegia|paresis|ectomy|plasty|otomy|ostomy|scopy|desis|rrhage|thorax)\b"
    r"|\b(?:warfarin|aspirin|heparin|insulin|pneumonia|infarction|stroke|cancer|fracture|diabetes|hypertension|embolism|thrombosis|asthma|copd|fibrillation|dialysis|stent)\b"
)
_COMMON = frozenset({"diagnosis", "prognosis", "anatomy", "symptoms", "welcome", "osis", "dose", "reasone"})


def names(text: str) -> Iterator[str]:
    """Yield the names of a plain text that end as diagnoses, drugs and operations do.

    Of a Chinese one, whose beginning nothing marks, only the end with the character before it.
    """
    for match in _CHINESE.finditer(text):
        yield match[0][-len(match["end"]) - 1 :]
    yield from (match[0] for match in _ENGLISH.finditer(text) if match[0] not in _COMMON)


def holds(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether each name stands in a source."""
    joined = "\n".join(sources)
    return all(name in joined or name[1:] == "" for name in names(text))
