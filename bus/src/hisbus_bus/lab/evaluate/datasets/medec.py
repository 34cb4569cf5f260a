"""MEDEC (Ben Abacha and others 2025): clinical texts, some with one wrong sentence.

Each text becomes a signed admission record of an inpatient. The agent calls it wrong where one of its findings has
evidence in it; the evidence is compared with the wrong sentence.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.datasets import table
from hisbus_bus.lab.evaluate.datasets.made import chart, document
from hisbus_bus.lab.evaluate.sample import DataSet, Expected, Flagged, Sample, Span
from hisbus_schemas import Code

COLUMNS = ("Text ID", "Text", "Error Flag", "Error Type", "Error Sentence")
DOCUMENT = "text"
_RECORD = Code(code="C0034", text="Admission record", system="WS/T 500")


def is_one(path: Path) -> bool:
    """Tell whether a file is of this form."""
    return table.header(path).issuperset(COLUMNS)


def read(path: Path) -> DataSet:
    """Read a file.

    Raises:
        ConfigError: it is not of this form, or a wrong sentence does not stand in its text.
    """
    return DataSet(path.name, "medec", [_sample(path, row) for row in table.rows(path, COLUMNS)])


def _sample(path: Path, row: Mapping[str, str]) -> Sample:
    id, text, wrong = row["Text ID"], row["Text"], row["Error Flag"].strip() == "1"
    places = []
    if wrong:
        words = r"\s+".join(re.escape(word) for word in row["Error Sentence"].split())
        match = re.search(words, text) if words else None
        if match is None:
            raise ConfigError(f"{path}: {id}: the wrong sentence does not stand in the text.")
        places = [Span(document=DOCUMENT, begin=match.start(), end=match.end())]
    flagged = Flagged(document=DOCUMENT, wrong=wrong, evidence=places)
    expected = Expected(title=row["Error Type"] if wrong else "", flagged=flagged)
    return Sample(id, chart(id, [document(DOCUMENT, _RECORD, text)], patient_class="inpatient"), expected)
