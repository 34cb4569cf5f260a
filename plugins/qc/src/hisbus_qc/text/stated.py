"""What a passage states: that something is there, or that it is not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hisbus_qc.text.passages import Passage
from hisbus_schemas import Evidence

_DENIED = re.compile(
    r"(?:否认|没有|从未|未曾|未患|不伴|无(?!明显诱因|诱因))[^。；;，,\n]*$"
    r"|\b(?:no|not|denies|denied|without|never|negative for)\b[^.;\n]*$",
    re.IGNORECASE,
)
"""What stands before denied words: in Chinese up to a comma; in English, where a comma lists, up to a stop."""
_DENIED_AFTER = re.compile(r"[^。；;，,\n]{0,4}?(?:[:：]\s*(?:无|否认|no\b|none)|[（(][-－—][)）])", re.IGNORECASE)
_OTHERS = re.compile(
    r"(?:家族|父|母|兄|弟|姐|妹|祖|子女|配偶|family|father|mother|brother|sister)[^。；;，,\n]*$", re.IGNORECASE
)
_PERHAPS = re.compile(
    r"(?:可疑|疑似|待排|排除|除外|警惕|预防|possible|suspected|rule out|r/o)[^。；;，,\n]*$", re.IGNORECASE
)
_STOPS = "。；;\n"


@dataclass(frozen=True, slots=True)
class Stated:
    """Words of a passage, and whether they are denied."""

    denied: bool
    proof: Evidence
    """The sentence."""


def stated(passage: Passage, words: tuple[str, ...]) -> Iterator[Stated]:
    """Yield what a passage states of words: not what is said of the family, nor what is only thought of."""
    text = passage.text
    for match in _either(words).finditer(text):
        begin = max(text.rfind(mark, 0, match.start()) for mark in _STOPS) + 1
        end = min(at for mark in _STOPS if (at := text.find(mark, match.end())) >= 0 or (at := len(text)))
        before = text[begin : match.start()]
        if _OTHERS.search(before) or _PERHAPS.search(before):
            continue
        denied = bool(_DENIED.search(before) or _DENIED_AFTER.match(text, match.end()))
        yield Stated(denied, passage.span(begin, end))


def _either(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
