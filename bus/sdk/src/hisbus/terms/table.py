"""National and insurance tables, and crosswalks, from a text file with a header row.

CSV or TSV, UTF-8 or GB18030 (an XLSX is saved as CSV first). The columns, by the headers they are known under; any
other header is named with ``--column FIELD=HEADER``:

==============  ==============================================================  =======================================
field           known headers                                                   meaning
==============  ==============================================================  =======================================
``code``        code, 编码, 代码, 疾病编码, 诊断编码, 诊断代码, 手术编码, 医保编码   required
``display``     display, name, 名称, 疾病名称, 诊断名称, 手术名称, 医保名称         required, but for crosswalks
``synonyms``    synonyms, 别名, 同义词                                            further names, between ``;`` or ``；``
``usable``      usable, 可用, 有效                                                no: may not be assigned
``principal``   principal, 可作主诊, 可作主要诊断                                  no: not as principal diagnosis
``grey``        grey, 灰码                                                       yes: not as principal diagnosis
``sex``         sex, 性别, 性别限制                                               M or 男, F or 女; empty: both
``least_age``   least_age, 最小年龄                                               whole years; empty: none
``most_age``    most_age, 最大年龄                                                whole years; empty: none
``daily``       daily, 日最大剂量, 最大日剂量                                       drugs: the most of a day
``unit``        unit, 剂量单位, 单位                                               drugs: its unit
``target``      target, 对应编码, 目标编码                                         crosswalk: the code it leads to
==============  ==============================================================  =======================================
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hisbus.errors import ConfigError
from hisbus.terms.store import Row

HEADERS: Mapping[str, tuple[str, ...]] = {
    "code": ("code", "编码", "代码", "疾病编码", "诊断编码", "诊断代码", "手术编码", "医保编码"),
    "display": ("display", "name", "名称", "疾病名称", "诊断名称", "手术名称", "医保名称"),
    "synonyms": ("synonyms", "别名", "同义词"),
    "usable": ("usable", "可用", "有效"),
    "principal": ("principal", "可作主诊", "可作主要诊断"),
    "grey": ("grey", "灰码"),
    "sex": ("sex", "性别", "性别限制"),
    "least_age": ("least_age", "最小年龄"),
    "most_age": ("most_age", "最大年龄"),
    "daily": ("daily", "日最大剂量", "最大日剂量"),
    "unit": ("unit", "剂量单位", "单位"),
    "target": ("target", "对应编码", "目标编码"),
}
_YES = {"1", "y", "yes", "true", "是", "√"}
_NO = {"0", "n", "no", "false", "否", "×"}
_SEX = {"": "", "m": "male", "男": "male", "f": "female", "女": "female"}
_AMOUNT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_BYTES_OF_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be taken."""

    line: int
    reason: str


@dataclass(slots=True)
class Table:
    """What was read from a file."""

    rows: list[Row] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


def read(content: bytes, *, crosswalk: bool = False, columns: Mapping[str, str] | None = None) -> Table:
    """Read a table. Broken rows are named, not taken; what to do about them is the caller's to decide.

    Args:
        content: the file.
        crosswalk: read pairs of ``code`` and ``target``.
        columns: header by field, where it is not one of ``HEADERS``.

    Raises:
        ConfigError: its encoding or its columns are not known.
    """
    text = _decoded(content)
    first = text[:_BYTES_OF_HEADER].partition("\n")[0]
    lines = _Lines(text, delimiter=max("\t,;", key=first.count))
    header = lines.header()
    required = ("code", "target") if crosswalk else ("code", "display")
    places = _places(header, columns or {}, required)
    table, seen = Table(), set[str]()
    for line, cells in lines.rows(table.broken):
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells where the header has {len(header)}")
            values = {name: cells[place].strip() for name, place in places.items()}
            for name in required:
                if not values[name]:
                    raise ValueError(f"no {name}")
            if crosswalk:
                table.pairs.append((values["code"], values["target"]))
                continue
            if values["code"] in seen:
                raise ValueError("its code came before")
            table.rows.append(_row(values))
            seen.add(values["code"])
        except ValueError as error:
            table.broken.append(Broken(line, str(error)))
    return table


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ConfigError("The table is neither UTF-8 nor GB18030. Save it as CSV in one of them.")


def _places(header: list[str], columns: Mapping[str, str], required: tuple[str, ...]) -> dict[str, int]:
    unknown = sorted(columns.keys() - HEADERS.keys())
    if unknown:
        raise ConfigError(f"There is no field {unknown[0]!r}. Fields: {', '.join(HEADERS)}.")
    missing = sorted(set(columns.values()) - set(header))
    if missing:
        raise ConfigError(f"The table has no column {missing[0]!r}. It has: {', '.join(header)}.")
    low = [name.casefold() for name in header]
    places = {}
    for name, known in HEADERS.items():
        names = [columns[name].casefold()] if name in columns else known
        found = [low.index(given) for given in names if given in low]
        if found:
            places[name] = found[0]
    for name in required:
        if name not in places:
            raise ConfigError(f"No column is known as {name}. Name it: --column {name}=HEADER.")
    return places


class _Lines:
    """The rows of a text as a spreadsheet writes them, with the line that each ends on, counted from 1."""

    def __init__(self, text: str, delimiter: str) -> None:
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    def header(self) -> list[str]:
        """Return the first row."""
        return [name.strip() for name in next(self._reader, [])]

    def rows(self, broken: list[Broken]) -> Iterator[tuple[int, list[str]]]:
        """Yield the other rows that are not empty; those that cannot be cut into cells are noted."""
        while True:
            try:
                cells = next(self._reader, None)
            except csv.Error:
                broken.append(Broken(self._reader.line_num, "its quotes do not close"))
                continue
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield self._reader.line_num, cells


def _row(values: Mapping[str, str]) -> Row:
    principal = _truth(values.get("principal", ""), "principal", default=True)
    grey = _truth(values.get("grey", ""), "grey", default=False)
    sex = values.get("sex", "").casefold()
    if sex not in _SEX:
        raise ValueError("sex is none of M, F, 男, 女")
    return Row(
        code=values["code"],
        display=values["display"],
        usable=_truth(values.get("usable", ""), "usable", default=True),
        principal=principal and not grey,
        manifestation=values["code"].endswith("*"),
        sex=_SEX[sex],
        least_age=_age(values.get("least_age", ""), "least_age"),
        most_age=_age(values.get("most_age", ""), "most_age"),
        terms=[
            ("synonym", name.strip())
            for name in values.get("synonyms", "").replace("；", ";").split(";")
            if name.strip()
        ],
        notes=_daily(values.get("daily", ""), values.get("unit", "")),
    )


def _daily(number: str, unit: str) -> list[tuple[str, str]]:
    """Return the most of a day as a note, ``4 g``; empty where the table says none."""
    if not number:
        return []
    if not _AMOUNT.fullmatch(number) or not float(number):
        raise ValueError("daily is no number above 0")
    if not unit or " " in unit:
        raise ValueError("daily has no unit")
    return [("daily", f"{number} {unit}")]


def _truth(value: str, name: str, *, default: bool) -> bool:
    low = value.casefold()
    if low and low not in _YES | _NO:
        raise ValueError(f"{name} is neither yes nor no")
    return low in _YES if low else default


def _age(value: str, name: str) -> float | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"{name} is no whole number of years")
    return float(value)
