"""Text of the record as a model is shown it: what a person sees, with nothing in it that the model would obey.

Hidden characters are removed, and the few that could pass for a delimiter of ours or for a control token of a model
are replaced, one for one. So every place in what is shown is a place in the source.
"""

import re
from collections.abc import Sequence

_SHAPELESS = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Controls, and what Unicode calls default ignorable: zero-width and bidirectional marks, fillers, selectors, tags."""
_HIDDEN = re.compile(rf"\r(?=\n)|[{_SHAPELESS}]")
_ENDS = str.maketrans(dict.fromkeys("\r\v\f\x85\u2028\u2029", "\n"))
_OURS = str.maketrans({"⟦": "〔", "⟧": "〕"})
_CONTROL = re.compile(r"<(?![\s\d.=≤]|$)|\[(?=/?[A-Za-z_]{2})")
"""What begins the control tokens of the models in use (``<|im_start|>``, ``</s>``, ``[INST]``); ``<140`` does not."""
_SHOWN = {"<": "‹", "[": "［"}
_SAME = str.maketrans({"〔": "[", "〕": "]", "⟦": "[", "⟧": "]", "‹": "<", "［": "["})


def visible(text: str) -> str:
    """Return a text as the model is shown it."""
    plain = _HIDDEN.sub("", text).translate(_ENDS).translate(_OURS)
    return _CONTROL.sub(lambda found: _SHOWN[found[0]], plain)


def comparable(text: str) -> str:
    """Return a text with what is hidden removed and what ``visible`` replaces made alike, to be compared."""
    return _HIDDEN.sub("", text).translate(_ENDS).translate(_SAME)


def places(text: str) -> Sequence[int]:
    """Return where in the source each character stands that is shown."""
    hidden = {at for found in _HIDDEN.finditer(text) for at in range(*found.span())}
    return [at for at in range(len(text)) if at not in hidden] if hidden else range(len(text))
