"""A text cut into sentences, Chinese and English, each with its place."""

import re
from collections.abc import Iterator

_END = re.compile(r"[。！？!?]+[”’」』）)\"']*|\n+|\.(?=[\s”\"')\]]|$)[”\"')\]]*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|st|vs|no|approx|e\.g|i\.e|etc|q\.d|b\.i\.d|t\.i\.d|p\.o|i\.v|b\.p|[a-z])|(?:^|\n)\s*\d{1,2})$",
    re.IGNORECASE,
)
"""Before a full stop that ends no sentence: an abbreviation, an initial, the number of a list's item."""
_WORD = re.compile(r"[^\W\d_]")


def split(text: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each sentence, without the space around it. What has no letter in it is none."""
    begin = 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and _ABBREVIATION.search(text[begin : match.start()]):
            continue
        yield from _trimmed(text, begin, match.end())
        begin = match.end()
    yield from _trimmed(text, begin, len(text))


def _trimmed(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[begin:end]
    begin += len(piece) - len(piece.lstrip())
    end = begin + len(piece.strip())
    if _WORD.search(text[begin:end]):
        yield begin, end
