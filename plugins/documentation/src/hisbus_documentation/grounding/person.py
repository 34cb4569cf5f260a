"""The patient is the same in every sentence: sex and age."""

import re
from collections.abc import Sequence

from hisbus_documentation.grounding.facts import Facts

_RELATIVE = re.compile(
    r"父|母|兄|弟|姐|妹|儿子|女儿|子女|儿女|配偶|丈夫|妻|家属|亲属|亲戚|同事|男友|女友|朋友|陪护|护士|医师|医生|婴|胎|新生儿|产妇"
    r"|\b(?:mother|father|mom|dad|wife|husband|spouse|son|daughter|sister|brother|sibling|parents?|aunt|uncle|cousin"
    r"|grand\w+|family|friend|nurse|doctor|dr|baby|newborn|infant|child|children|partner)\b"
)
_MALE = re.compile(
    r"男性|男(?=[,，、。;]|患|$)|男童|前列腺|睾丸|阴茎|阴囊|附睾|精索"
    r"|\b(?:male|man|gentleman|boy|he|his|him|himself|mr|prostate|testic\w+|scrot\w+|penile)\b"
)
_FEMALE = re.compile(
    r"女性|女(?=[,，、。;]|患|$)|女童|月经|停经|绝经|妊娠|怀孕|孕妇|子宫|卵巢|宫颈|阴道|输卵管"
    r"|\b(?:female|woman|lady|girl|she|her|hers|herself|mrs|ms|pregnan\w+|menstrua\w+|menopaus\w+|uter(?:us|ine)"
    r"|ovar\w+|vagin\w+)\b"
)
_AGE = re.compile(r"(?<![\d.])(\d{1,3}) ?(?:岁(?!时|起|开始|左右|以|前|后)|-? ?years?[ -]old|-? ?y/?o\b)")


def same_sex(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether a text speaks of a patient of the chart's sex. A sentence that names somebody else is not judged."""
    if not facts.sex or _RELATIVE.search(text):
        return True
    return not (_FEMALE if facts.sex == "male" else _MALE).search(text)


def same_age(text: str, sources: Sequence[str], facts: Facts) -> bool:
    """Tell whether an age is the patient's during the stay. A sentence that names somebody else is not judged."""
    if not facts.ages or _RELATIVE.search(text):
        return True
    return all(int(match[1]) in facts.ages for match in _AGE.finditer(text))
