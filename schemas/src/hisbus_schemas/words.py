"""The vocabulary of charts: ours, so that no agent meets a letter of a feed. ``""`` is: nothing said, or not known.

A connector that meets a code which it cannot say in these words leaves the word empty and lists the code in
``Fact.unknown``.
"""

from typing import Literal

PatientClass = Literal[
    "inpatient", "outpatient", "emergency", "day", "preadmit", "obstetric", "recurring", "commercial"
]
"""What kind of stay it is."""

Sex = Literal["male", "female", "other", "unknown"]

ResultStatus = Literal["preliminary", "final", "corrected", "withdrawn"]
"""How far a report or a reading is; ``withdrawn``: its source took it back."""

DiagnosisStatus = Literal["admitting", "working", "final"]
"""At which point of the stay a diagnosis was made."""

DIED = "died"
"""The disposition of a stay that ended with the patient's death; others stand as their source sent them."""
