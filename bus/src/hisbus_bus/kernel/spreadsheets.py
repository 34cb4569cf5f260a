"""Tables that people keep in spreadsheets: CSV in UTF-8, with or without its mark, or in GB18030.

A cell that a spreadsheet would take for a formula is written behind an apostrophe, and read without it.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from hisbus.errors import ConfigError

MARK = "\ufeff"
"""Without it a spreadsheet takes UTF-8 for the encoding of its country."""
FORMULA = ("=", "+", "-", "@")
_BYTES_OF_HEADER = 4096


def rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with their numbers, as a spreadsheet counts them: the header is row 1.

    Raises:
        ConfigError: it is in no encoding that is known.
        csv.Error: its quotes do not close.
    """
    text = _decoded(content)
    first = text[:_BYTES_OF_HEADER].partition("\n")[0]
    return enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=max(",\t;", key=first.count), strict=True), 1)


def written(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table as text that a spreadsheet reads as it is meant."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_guarded(cell) for cell in line] for line in lines)
    return MARK + text.getvalue()


def plain(cell: str) -> str:
    """Return what a cell says: without blanks around it, and without the apostrophe that ``written`` puts in."""
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:2] in FORMULA else cell


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            row = text[: text.index("\0")].count("\n") + 1
            raise ConfigError(f"Row {row} holds a NUL character. Save the file as CSV in UTF-8 or GB18030.")
        return text
    raise ConfigError("The file is neither UTF-8 nor GB18030. Save it as CSV in one of them.")
