"""ACI-BENCH (Yim and others 2023): what was said in a visit, and the note that a person wrote of it.

The dialogue becomes a transcript; the draft of the visit note is compared with the reference in the four divisions that
the benchmark itself uses. Sections of a note are told by their headings, those of a draft by their LOINC codes.
"""

from collections.abc import Mapping
from pathlib import Path

from hisbus_bus.lab.evaluate.datasets import table
from hisbus_bus.lab.evaluate.datasets.made import chart, document
from hisbus_bus.lab.evaluate.sample import DataSet, Expected, Reference, ReferenceSection, Sample
from hisbus_schemas import Code

COLUMNS = ("dataset", "encounter_id", "dialogue", "note")
DRAFT = "visit-note"
"""Rule of the draft that is compared."""
_TRANSCRIPT = Code(code="TRANSCRIPT", text="Transcript")
_DIVISIONS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "subjective": (
        "主观资料 / Subjective",
        "chief complaint|cc|history of present illness|hpi|history of present illnes|review of systems|ros|"
        "social history|medical history|past history|past medical history|past surgical history|surgical history|"
        "family history|birth history|medications|current medications|allergies|history|interval history",
        ("10154-3", "10164-2", "11348-0", "10157-6", "29762-2", "48765-2", "10160-0", "10187-3"),
    ),
    "objective_exam": (
        "体格检查 / Examination",
        "physical exam|physical examination|exam|examination|vitals|vitals reviewed|vital signs|pe",
        ("29545-1", "8716-3"),
    ),
    "objective_results": (
        "检查结果 / Results",
        "results|procedure|procedures|labs|imaging|findings",
        ("30954-2", "18748-4", "11502-2"),
    ),
    "assessment_and_plan": (
        "评估与计划 / Assessment and plan",
        "assessment and plan|assessment|plan|impression|instructions|diagnosis|recommendations|a/p",
        ("29548-5", "51848-0", "18776-5", "51847-2", "69730-0"),
    ),
}
_DIVISION_OF = {name: division for division, (_, names, _) in _DIVISIONS.items() for name in names.split("|")}
_FIRST = "subjective"
"""Where what stands before the first heading belongs."""


def is_one(path: Path) -> bool:
    """Tell whether a file is of this form."""
    return table.header(path).issuperset(COLUMNS)


def read(path: Path) -> DataSet:
    """Read a file.

    Raises:
        ConfigError: it is not of this form.
    """
    return DataSet(path.name, "aci-bench", [_sample(row) for row in table.rows(path, COLUMNS)])


def divided(note: str) -> Mapping[str, str]:
    """Return the text of each division of a note, headings left out."""
    lines: dict[str, list[str]] = {division: [] for division in _DIVISIONS}
    at = _FIRST
    for line in note.splitlines():
        named = _DIVISION_OF.get(line.strip().rstrip(":").lower())
        if named is None:
            lines[at].append(line)
        else:
            at = named
    return {division: "\n".join(said).strip() for division, said in lines.items()}


def _sample(row: Mapping[str, str]) -> Sample:
    id = row["encounter_id"]
    sections = [
        ReferenceSection(name=division, title=_DIVISIONS[division][0], text=text, codes=list(_DIVISIONS[division][2]))
        for division, text in divided(row["note"]).items()
    ]
    expected = Expected(title=row["dataset"], documents=[Reference(rule=DRAFT, sections=sections)])
    return Sample(
        id, chart(id, [document("dialogue", _TRANSCRIPT, row["dialogue"])], patient_class="outpatient"), expected
    )
