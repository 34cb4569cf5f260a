"""The agent ``qc``: runs every enabled rule over a stay."""

from hisbus import Case
from hisbus_qc.memory import Memory
from hisbus_qc.record import Record
from hisbus_qc.rulebook import QC, book
from hisbus_qc.rulefiles import KINDS
from hisbus_qc.together import together
from hisbus_schemas import Assessment, Chart, Finding, Wake


class Agent:
    """Judges the record of an inpatient stay by rules, without a model."""

    name = "qc"
    version = "2"
    kinds = KINDS
    grants = frozenset(
        {"patient", "documents", "diagnoses", "procedures", "orders", "results", "vitals", "charges", "allergies"}
    )
    latest_only = True
    needs = QC.needs
    rules = QC.named

    def __init__(self) -> None:
        self.memory = Memory()
        """What its rules said of late."""

    async def assess(self, case: Case) -> Assessment:
        """Judge a case by every enabled rule.

        A stay that is neither an inpatient's nor one of a day, or was cancelled, owes nothing: all rules count as
        evaluated, so that what was found earlier closes. So do those that do not concern the stay's class, department
        or day of admission.

        Raises:
            ConfigError: the settings or a rule file are wrong; the message names the key.
        """
        rules = book(case.settings)
        said: list[Finding | Wake] = []
        if is_judged(case.chart):
            record = Record(case.chart, case.now, case.terms, case.coverage)
            lacking, answers = rules.lacking(record), self.memory.answers(record, rules)
            for number in range(len(rules.judges)):
                if number not in lacking:
                    said += answers.of(number, record)
        return Assessment(
            evaluated=rules.ids,
            proposals=together((item for item in said if isinstance(item, Finding)), rules.together),
            wakes=[item for item in said if isinstance(item, Wake)],
        )


def is_judged(chart: Chart) -> bool:
    """Tell whether a stay owes a record: an inpatient's, or one of a day, that was not cancelled."""
    return chart.patient_class in {"inpatient", "day"} and chart.status != "cancelled"
