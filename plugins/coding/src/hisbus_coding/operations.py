"""Codes of the operations that were performed."""

from hisbus_coding.codes import Coded
from hisbus_coding.retrieval import SURE, Retrieval
from hisbus_schemas import Chart, Evidence


def operations(chart: Chart, retrieval: Retrieval) -> list[Coded]:
    """Return a code for each operation that has ended, as recorded where the table has it, else by its name."""
    coded = []
    done = [item for item in chart.procedures if item.operation and item.end is not None]
    for rank, item in enumerate(sorted(done, key=lambda item: (item.end.at if item.end else chart.now, item.id)), 1):
        recorded = retrieval.recorded(item.code.code) if item.code.code else None
        found = retrieval.candidates(item.code.text) if item.code.text else []
        first = recorded or next((candidate for candidate in found if candidate.score >= SURE), None)
        if first is None:
            continue
        coded.append(
            Coded(
                code=first.code,
                display=first.display,
                concept=first.concept,
                role="operation",
                rank=rank,
                evidence=(Evidence(path=f"procedures/{item.id}", value=item.code.text or item.code.code),),
                reads=frozenset({item.ref}),
                confidence=first.score,
                method=first.method,
                alternatives=tuple(other for other in found if other.code != first.code),
            )
        )
    return coded
