"""Numbers that are written or spoken as words, as digits. Done twice it changes nothing more."""

import re

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE = re.compile(
    r"(?<![第每一二三四五六七八九十])(?P<digits>[一二两三四五六七八九十百]{1,5}|半)"
    r"(?=个?(?:天|日|周|月|年|小时|分钟|次|岁|片|粒|支|枚))"
)
_ONES = {
    word: n
    for n, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen".split(),
        1,
    )
} | {"zero": 0, "oh": 0}
_TENS = {
    word: n * 10 for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}  # fmt: skip
_LARGE = {"hundred": 100, "thousand": 1000}
_ONE = "|".join([*_ONES, *_TENS])
_SPOKEN = re.compile(
    rf"\b(?:{_ONE})\b(?:[ -](?:{_ONE}|hundred and(?= (?:{_ONE})\b)|hundred|thousand)\b)*(?: point(?: (?:{_ONE})\b)+)?"
    rf"|\bpoint(?: (?:{_ONE})\b)+"
)
_COUNTED = re.compile(
    r"[ -](?:days?|weeks?|months?|years?|hours?|minutes?|times?|tablets?|capsules?|pills?|puffs?|points?|mg|ml"
    r"|milligrams?|out of)\b"
)
"""What follows a one that is a number: else it may stand for a thing."""
_OVER = re.compile(r"(?<![\d.])(\d{2,3}) over (\d{2,3})(?![\d.])")


def digits(text: str) -> str:
    """Return a plain text with its numbers as digits; 一 and one only where they count something."""
    text = _CHINESE.sub(lambda match: _chinese(match["digits"]), text)
    return _OVER.sub(r"\1/\2", _SPOKEN.sub(_english, text))


def _english(match: re.Match[str]) -> str:
    if match[0] in {"one", "oh"} and not _COUNTED.match(match.string, match.end()):
        return match[0]
    whole, _, part = match[0].partition("point")
    said = "".join(str(_ONES.get(word, _TENS.get(word))) for word in part.split())
    return str(_whole(whole.replace("-", " ").split())) + (f".{said}" if said else "")


def _whole(words: list[str]) -> int:
    """Return a number below a million: one hundred and thirty two, and as people say it: one thirty two, two fifty."""
    total, number = 0, 0
    for word in words:
        if word in _LARGE:
            number = (number or 1) * _LARGE[word]
            if word == "thousand":
                total, number = total + number, 0
        elif word != "and":
            value = _ONES.get(word, _TENS.get(word, 0))
            fits = number % 100 == 0 or (value < 10 <= number % 100 and number % 10 == 0)
            number = number + value if fits and number else number * 100 + value if number else value
    return total + number


def _chinese(said: str) -> str:
    if said == "半":
        return "0.5"
    total, number = 0, 0
    for c in said:
        if c in _DIGITS:
            number = _DIGITS[c]
        else:
            total, number = total + (number or 1) * (10 if c == "十" else 100), 0
    return str(total + number)
