"""Where the rows of a code system came from."""

from dataclasses import dataclass

KINDS = ("diagnosis", "procedure", "item", "drug", "crosswalk")
"""What a release holds: codes of diagnoses, of procedures, of charged items with their limits, of drugs with the most
of a day, or a map of codes."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of one code system, as it was loaded."""

    system: str
    """Short name, ``ICD-10-CM``. One release of a system is held at a time."""
    kind: str
    """One of ``KINDS``."""
    version: str
    source: str
    """Name of the file, without its folder."""
    sha256: str
    """Of the file's bytes."""
    loaded: str
    """When, ISO 8601 in UTC."""
    licence: str
    """Who may use it, as the operator noted it."""
    rows: int = 0
    """Codes that were taken, or pairs of codes."""
    refused: int = 0
    """Rows of the file that were broken and left out."""
    target: str = ""
    """Crosswalk: the system it leads to; ``system`` names the pair."""
    id: int = 0
