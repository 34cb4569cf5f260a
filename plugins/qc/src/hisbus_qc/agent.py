"""The agent ``qc``: runs every enabled rule over a stay."""

from collections.abc import Mapping

from hisbus import Case
from hisbus_qc import copied, deadlines, frontpage, vitals
from hisbus_qc.clock import whole
from hisbus_qc.rule import Check, configured
from hisbus_schemas import Assessment, Chart, Finding, Wake

CHECKS: Mapping[str, Check] = {
    "R01": deadlines.since_admission,
    "R02": deadlines.since_admission,
    "R10": deadlines.since_operation,
    "R13": deadlines.since_discharge,
    "R27": vitals.impossible,
    "R45": copied.note,
    "R48": frontpage.identity,
}
"""The code of each rule in ``rules.toml``."""


class Agent:
    """Judges the record of an inpatient stay by rules, without a model."""

    name = "qc"
    version = "1"
    kinds = frozenset(
        {
            "encounter.admitted",
            "encounter.registered",
            "encounter.transferred",
            "encounter.updated",
            "encounter.discharged",
            "encounter.discharge_cancelled",
            "encounter.cancelled",
            "encounter.moved",
            "patient.merged",
            "patient.updated",
            "document.filed",
            "document.amended",
            "document.withdrawn",
            "procedure.started",
            "procedure.ended",
            "vitals.recorded",
            "result.reported",
            "frontpage.submitted",
        }
    )
    grants = frozenset({"documents", "procedures", "results", "vitals"})

    async def assess(self, case: Case) -> Assessment:
        """Judge a case by every enabled rule.

        A stay that is not of class I, or was cancelled, owes nothing: all rules count as evaluated, so that what was
        found earlier closes.

        Raises:
            ConfigError: the settings are wrong; the message names the key.
        """
        rules = configured(case.settings)
        said: list[Finding | Wake] = []
        if _is_judged(case.chart):
            for rule in rules:
                said += CHECKS[rule.id](rule, case.chart, whole(case.now))
        return Assessment(
            evaluated=frozenset(rule.id for rule in rules),
            proposals=[item for item in said if isinstance(item, Finding)],
            wakes=[item for item in said if isinstance(item, Wake)],
        )


def _is_judged(chart: Chart) -> bool:
    return chart.patient_class == "I" and chart.status != "cancelled"
