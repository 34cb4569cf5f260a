"""What holds for the patient whatever a source says."""

from dataclasses import dataclass
from datetime import date

from hisbus_documentation.plain import plain
from hisbus_schemas import Chart


@dataclass(frozen=True, slots=True)
class Facts:
    """The patient and the stay, as the chart codes them."""

    sex: str = ""
    """``M`` or ``F``; empty: not known, and not judged."""
    ages: frozenset[int] = frozenset()
    """Whole years that the patient had during the stay. Empty: not known, and not judged."""
    coded: tuple[str, ...] = ()
    """Names of coded diagnoses and procedures, plain."""

    @classmethod
    def of(cls, chart: Chart) -> "Facts":
        """Return what a chart says of its patient."""
        patient = chart.patient
        sex = patient.sex if patient and patient.sex in {"male", "female"} else ""
        born = patient.birth_date if patient else None
        begin = (chart.admitted.local() if chart.admitted else chart.now).date()
        end = (chart.discharged.local() if chart.discharged else chart.now).date()
        ages = frozenset() if born is None else frozenset(range(age(born, begin), age(born, max(begin, end)) + 1))
        names = [*(item.code.text for item in chart.diagnoses), *(item.code.text for item in chart.procedures)]
        return cls(sex, ages, tuple(plain(name) for name in names if name))


def age(born: date, day: date) -> int:
    """Return whole years on a day."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
