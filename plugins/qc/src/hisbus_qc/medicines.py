"""What a medicine is called: its name without dose, salt and form, by which notes speak of it."""

import re

_BEFORE = re.compile(
    r"^(?:停用?|注射用|静滴|静推|口服|出院带药[:：]?|\d+(?:\.\d+)?%|重组人?|复方(?=[^，]{4})|[（(][^）)]*[）)]|\s)*"
    r"(?:盐酸|硫酸|马来酸|富马酸|枸橼酸|酒石酸|磷酸|苯磺酸|琥珀酸|甲磺酸|醋酸)?"
)
_FORMS = re.compile(r"(?:缓释|控释|肠溶|分散|咀嚼)?(?:片|胶囊|颗粒|注射液|口服液|混悬液|丸|散)?$")
_DOSE = re.compile(r"[\s\d(（:：].*$", re.DOTALL)
"""From the first dose, number or bracket on, it is no longer the medicine's name."""


def undosed(text: str) -> str:
    """Return a medicine's name without its dose."""
    return _DOSE.sub("", text.strip())


def core(name: str) -> str:
    """Return a medicine's name without salt and form, by which a record may call it."""
    bare = _FORMS.sub("", _BEFORE.sub("", name))
    return bare if len(bare) > 1 else name
