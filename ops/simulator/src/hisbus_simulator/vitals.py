"""Vital signs over a stay: the story's course, stretched from admission to discharge, with a little noise."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from random import Random

from hisbus_simulator.facts import Reading

_SIGNS = {
    "temperature": ("8310-5", "体温", "Cel", 36.0, 37.3, 1, 0.1),
    "pulse": ("8867-4", "脉搏", "/min", 60, 100, 0, 2),
    "respiration": ("9279-1", "呼吸", "/min", 12, 20, 0, 0.5),
    "systolic": ("8480-6", "收缩压", "mmHg", 90, 139, 0, 3),
    "diastolic": ("8462-4", "舒张压", "mmHg", 60, 89, 0, 2),
    "oxygen": ("59408-5", "血氧饱和度", "%", 95, 100, 0, 0.4),
}
"""LOINC, name, unit, normal from and to, digits, spread."""
_ROUNDS = (time(6, 5), time(14, 10), time(20, 15))


def measured(
    course: Mapping[str, Sequence[float]], begun: datetime, left: datetime, rng: Random
) -> Iterator[tuple[datetime, dict[str, Reading]]]:
    """Yield when nurses measured and what: soon after admission, then three times a day."""
    moments = [begun + timedelta(minutes=6)]
    for day in range((left.date() - begun.date()).days + 1):
        for clock in _ROUNDS:
            at = datetime.combine(begun.date() + timedelta(days=day), clock, begun.tzinfo)
            moments.append(at + timedelta(seconds=rng.randrange(900)))
    for at in moments:
        if at == moments[0] or begun + timedelta(hours=2) < at < left:
            yield at, _readings(course, (at - begun) / (left - begun), rng)


def _readings(course: Mapping[str, Sequence[float]], progress: float, rng: Random) -> dict[str, Reading]:
    taken = {}
    for sign, (code, name, unit, low, high, digits, spread) in _SIGNS.items():
        points = course[sign]
        position = progress * (len(points) - 1)
        step = min(int(position), len(points) - 2)
        mean = points[step] + (points[step + 1] - points[step]) * (position - step)
        value = round(rng.gauss(mean, spread), digits)
        taken[sign] = Reading(code, name, min(value, 100) if sign == "oxygen" else value, unit, low, high, digits)
    return taken
