"""The parts of a chart, named here and nowhere else.

Grants, evidence, prompts, the page, the API, the fold and the test kit go by this table, and ``tests/test_parts.py``
holds each of them to it.
"""

from dataclasses import dataclass

from hisbus_schemas.contract import Contract
from hisbus_schemas.entry import (
    ChartCharge,
    ChartDiagnosis,
    ChartDocument,
    ChartOrder,
    ChartProcedure,
    ChartReading,
    Entry,
    Patient,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a chart: what an agent is granted, or is not."""

    name: str
    """Of the grant, of the field of ``Chart``, and what chart paths of evidence begin with."""
    model: type[Contract]
    """What it holds: of a list, the model of its entries, which says how each is titled."""
    letter: str = ""
    """What the labels of its entries begin with where a model is shown them. Empty: it is no list."""
    bodies: tuple[str, ...] = ()
    """What facts carry of it: ``body`` of their data."""
    kind: str = ""
    """Set: a fact carries it only where it is of this kind; another part has the same body."""

    @property
    def entry(self) -> type[Entry] | None:
        """The model of its entries; None: it is no list."""
        return self.model if issubclass(self.model, Entry) else None


PARTS = (
    Part("patient", Patient, bodies=("merge", "move")),
    Part("documents", ChartDocument, "D", ("document",)),
    Part("diagnoses", ChartDiagnosis, "G", ("diagnoses",)),
    Part("procedures", ChartProcedure, "P", ("procedure",)),
    Part("orders", ChartOrder, "O", ("order",)),
    Part("results", ChartReading, "R", ("report",)),
    Part("vitals", ChartReading, "V", ("report",), kind="vitals.recorded"),
    Part("charges", ChartCharge, "C", ("charge",)),
)
"""In the order in which a model is shown them."""

GRANTS = tuple(part.name for part in PARTS)
"""Parts of a chart that an agent asks for by name. The stay itself (times, status, place) is always there."""

LISTS = tuple(part for part in PARTS if part.entry is not None)
"""The parts that are lists of entries."""


def part_of(kind: str, body: str) -> str | None:
    """Return the part that the data of a fact belongs to; None: nobody's record, as a wake.

    Args:
        kind: of the fact.
        body: of its data.
    """
    found = [part for part in PARTS if body in part.bodies and part.kind in ("", kind)]
    return max(found, key=lambda part: part.kind).name if found else None
