"""What edits judge: a set of codes with the patient, the stay and the front page it belongs to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hisbus.terms import Release, Terms, covers, plain
from hisbus_coding.codes import Coded
from hisbus_schemas import Chart, ChartDocument

_SEX = {"male": "male", "1": "male", "男": "male", "female": "female", "2": "female", "女": "female"}
_DAYS = 365.25


def inside(code: str, ranges: Iterable[str]) -> bool:
    """Tell whether a code lies in one of the ranges, written ``A00``, ``A00-B99`` or ``Z51.0-Z51.1``."""
    for one in ranges:
        low, _, high = one.partition("-")
        if covers((plain(low), plain(high or low)), code):
            return True
    return False


@dataclass(frozen=True)
class Claim:
    """One set of codes and what they are held against."""

    codes: Sequence[Coded]
    chart: Chart
    terms: Terms
    release: Release
    recorded: bool = False
    """Whether somebody recorded these codes; else they are proposed."""

    @cached_property
    def principal(self) -> Coded | None:
        """The diagnosis that stands first."""
        return next((coded for coded in self.diagnoses if coded.rank == 1), None)

    @cached_property
    def diagnoses(self) -> list[Coded]:
        """The codes without those of operations."""
        return [coded for coded in self.codes if coded.role != "operation"]

    @cached_property
    def page(self) -> ChartDocument | None:
        """The front page that was filed last."""
        pages = [item for item in self.chart.documents if item.counts and item.fields]
        return max(pages, key=lambda page: (page.filed.at, page.id), default=None)

    @property
    def sex(self) -> str:
        """``male`` or ``female``, from the patient, else from the front page; empty when unknown."""
        said = self.chart.patient.sex if self.chart.patient is not None else ""
        return _SEX.get(said or self.field("FP.SEX"), "")

    @property
    def age_days(self) -> int | None:
        """Days from birth to admission; None when one of them is unknown."""
        patient, admitted = self.chart.patient, self.chart.admitted
        if patient is None or patient.birth_date is None or admitted is None:
            return None
        return (admitted.local().date() - patient.birth_date).days

    @property
    def age_years(self) -> float | None:
        """The same, in years."""
        return None if self.age_days is None else self.age_days / _DAYS

    def field(self, name: str) -> str:
        """Return a field of the front page, without white space around it."""
        return self.page.fields.get(name, "").strip() if self.page is not None else ""

    def within(self, ranges: Iterable[str]) -> Iterator[Coded]:
        """Yield the diagnoses that lie in ranges."""
        kept = list(ranges)
        return (coded for coded in self.diagnoses if inside(coded.code, kept))
