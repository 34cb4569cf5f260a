"""The tables of codes that a site has loaded, as the agents of this plugin begin with them."""

from dataclasses import dataclass

from hisbus import Case
from hisbus.terms import Release, Terms, opened
from hisbus_coding.retrieval import Retrieval
from hisbus_coding.settings import Settings
from hisbus_schemas import Chart, Text

NO_TERMS = Text(
    zh="未评估：未加载术语表（hisbus terms load）。",
    en="Not evaluated: no terminology is loaded (hisbus terms load).",
)


@dataclass(frozen=True, slots=True)
class Tables:
    """The table of diagnoses that is coded with, and that of procedures, where there is one."""

    terms: Terms
    diagnoses: Release
    procedures: Release | None

    @property
    def retrieval(self) -> Retrieval:
        """Finds codes of diagnoses."""
        return Retrieval(self.terms, self.diagnoses)


def tables(case: Case, its: Settings) -> Tables | Text:
    """Return the tables to code with; or why there are none.

    Raises:
        ConfigError: the file of terminologies is unreadable.
    """
    terms = opened(case.terms)
    if terms is None:
        return NO_TERMS
    diagnoses = its.release(terms, "diagnosis")
    if isinstance(diagnoses, Text):
        return diagnoses
    procedures = its.release(terms, "procedure")
    return Tables(terms, diagnoses, None if isinstance(procedures, Text) else procedures)


def is_coded(chart: Chart) -> bool:
    """Tell whether a stay is coded: that of an inpatient, not cancelled."""
    return chart.patient_class == "inpatient" and chart.status != "cancelled"
