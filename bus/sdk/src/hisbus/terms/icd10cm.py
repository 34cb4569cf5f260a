"""ICD-10-CM from the data inside the distribution ``simple-icd-10-cm``: the tabular list of CDC and CMS.

The package itself is never imported (it takes 171 MB and 1.8 s); its XML is read once, element by element.
ICD-10-CM is a work of the United States government and in the public domain there.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

from hisbus.errors import ConfigError
from hisbus.terms.store import Row

SYSTEM = "ICD-10-CM"
LICENCE = "Public domain (CDC/NCHS and CMS, works of the US government)"

_NOTES = {
    "excludes1": "excludes1",
    "excludes2": "excludes2",
    "codeFirst": "code_first",
    "useAdditionalCode": "use_additional",
    "codeAlso": "code_also",
}
_MANIFESTATION = re.compile(r"\bclassified elsewhere\b", re.IGNORECASE)
_NOT_ELSEWHERE = re.compile(r"\bnot elsewhere classified\b", re.IGNORECASE)


def installed() -> Path:
    """Return the tabular list of the installed distribution.

    Raises:
        ConfigError: it is not installed, or holds none.
    """
    try:
        files = metadata.files("simple-icd-10-cm") or []
    except metadata.PackageNotFoundError as error:
        raise ConfigError("Install simple-icd-10-cm, whose data ICD-10-CM is read from.") from error
    found = [file for file in files if file.match("data/*tabular*.xml")]
    if not found:
        raise ConfigError("This version of simple-icd-10-cm holds no tabular list. Install the one in constraints.txt.")
    return Path(str(found[0].locate()))


def read(file: Path) -> tuple[str, list[Row]]:
    """Return the version and every chapter, section and code, parents first.

    Raises:
        ConfigError: it is no tabular list of ICD-10-CM.
    """
    try:
        root = ElementTree.parse(file).getroot()  # noqa: S314 - a file that the operator chose
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigError(f"{file.name} cannot be read as a tabular list of ICD-10-CM (XML).") from error
    if root.tag != "ICD10CM.tabular":
        raise ConfigError(f"{file.name} is no tabular list of ICD-10-CM.")
    rows: list[Row] = []
    for chapter in root.iter("chapter"):
        number = chapter.findtext("name", "").strip()
        rows += _below(chapter, f"chapter {number}", "")
    return root.findtext("version", "").strip(), rows


def _below(element: ElementTree.Element, code: str, parent: str) -> Iterator[Row]:
    diagnosis = element.tag == "diag"
    under = [child for child in element if child.tag in {"diag", "section"}]
    display = element.findtext("desc", "").strip()
    yield Row(
        code=code,
        display=display,
        parent=parent,
        usable=diagnosis and not under,
        manifestation=bool(_MANIFESTATION.search(_NOT_ELSEWHERE.sub("", display))),
        terms=[
            ("inclusion", note) for kind in ("inclusionTerm", "includes") for note in _notes(element, kind) if diagnosis
        ],
        notes=[(name, note) for kind, name in _NOTES.items() for note in _notes(element, kind)],
        seventh={part.get("char", ""): (part.text or "").strip() for part in element.findall("sevenChrDef/extension")},
        named=diagnosis,
    )
    for child in under:
        name = child.findtext("name", "").strip() if child.tag == "diag" else f"section {child.get('id', '')}"
        yield from _below(child, name, code)


def _notes(element: ElementTree.Element, kind: str) -> Iterator[str]:
    for block in element.findall(kind):
        yield from ((note.text or "").strip() for note in block.findall("note") if (note.text or "").strip())
