"""The tables of codes that a site has loaded, as the agents of this plugin begin with them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hisbus import Case
from hisbus.terms import Release, Terms, opened
from hisbus_coding.retrieval import Retrieval
from hisbus_coding.settings import Settings
from hisbus_schemas import EVERY_OTHER, Chart, Code, Need, Text, Unevaluated

NO_TERMS = Text(
    zh="未评估：未加载术语表（hisbus terms load）。",
    en="Not evaluated: no terminology is loaded (hisbus terms load).",
)

NEEDS = {EVERY_OTHER: (Need(item="class", after="admission"),)}
"""Of another class a stay is not coded, and all would count as clean."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The table of diagnoses that is coded with, and that of procedures, where there is one."""

    terms: Terms
    diagnoses: Release
    procedures: Release | None
    settings: Settings
    usual: Release
    """The site's table, for recorded codes that name no system."""

    @property
    def retrieval(self) -> Retrieval:
        """Finds codes of diagnoses."""
        return Retrieval(self.terms, self.diagnoses)

    def owns(self, code: Code) -> bool:
        """Tell whether a recorded code is one of the table of diagnoses."""
        return self.settings.of(self.terms, code, self.usual) == self.diagnoses

    @property
    def settlement(self) -> "Tables | None":
        """The same for the settlement list: the insurance's table of diagnoses; None: none is named or loaded."""
        release = self.settings.settlement(self.terms)
        return None if release is None else replace(self, diagnoses=release, procedures=None)

    @property
    def crosswalk(self) -> Release | None:
        """The map from the table of diagnoses to the insurance's, where exactly one is loaded."""
        target = self.settings.settlement(self.terms)
        found = [
            one for one in self.terms.releases() if one.kind == "crosswalk" and target and one.target == target.system
        ]
        return found[0] if len(found) == 1 else None


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
    return Tables(terms, diagnoses, None if isinstance(procedures, Text) else procedures, its, diagnoses)


def unevaluated(reasons: Mapping[str, Text]) -> list[Unevaluated]:
    """Return rules that were not judged for want of what a text says."""
    return [Unevaluated(rule=rule, text=text) for rule, text in reasons.items()]


def is_coded(chart: Chart) -> bool:
    """Tell whether a stay is coded: that of an inpatient, not cancelled."""
    return chart.patient_class == "inpatient" and chart.status != "cancelled"
