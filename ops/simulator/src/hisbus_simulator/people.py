"""Patients and doctors, with names that are hard to send and identity cards that check."""

import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from random import Random
from typing import Any

PEOPLE: dict[str, Any] = tomllib.loads(resources.files(__package__).joinpath("people.toml").read_text("utf-8"))

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_RARE_SHARE = 0.25
"""Share of people with a rare character in their given name: far more than in a real ward, for they break readers."""


def check_digit(digits: str) -> str:
    """Return the 18th character of an identity card from its first 17 digits (GB 11643, ISO 7064 MOD 11-2)."""
    return _CHECKS[sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=True)) % 11]


def identity_card(area: str, birth: date, serial: int) -> str:
    """Return an identity card; the serial (0-999) is odd for a man, even for a woman."""
    digits = f"{area}{birth:%Y%m%d}{serial:03}"
    return digits + check_digit(digits)


def age_on(birth: date, day: date) -> int:
    """Return full years on a day."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody who comes to the hospital."""

    number: str
    family: str
    given: str
    male: bool
    birth: date
    card: str
    married: bool


@dataclass(frozen=True, slots=True)
class Doctor:
    """Somebody who signs."""

    id: str
    family: str
    given: str

    @property
    def name(self) -> str:
        """Return family and given name, joined."""
        return self.family + self.given


def _name(rng: Random, *, male: bool) -> tuple[str, str]:
    given: str = rng.choice(PEOPLE["male" if male else "female"])
    if rng.random() < _RARE_SHARE:
        given = given[:1] + rng.choice(PEOPLE["rare"])
    return rng.choice(PEOPLE["surnames"]), given


def doctor(id: str) -> Doctor:
    """Return a doctor: whoever asks, one number is one person's."""
    rng = Random(id)  # noqa: S311 - a name, not a secret
    return Doctor(id, *_name(rng, male=rng.random() < 0.5))


def patient(
    rng: Random,
    number: str,
    ages: tuple[int, int],
    day: date,
    birthday: date | None = None,
    *,
    male: bool | None = None,
) -> Patient:
    """Return a patient whose age on a day lies within `ages`; with `birthday` the year turns on that date.

    Args:
        male: where the plan asks for a man or a woman.
    """
    drawn = rng.random() < 0.5
    male = drawn if male is None else male
    age = rng.randint(*ages)
    if birthday is None:
        birth = day - timedelta(days=age * 365 + age // 4 + rng.randint(20, 330))
    else:
        birth = birthday.replace(year=birthday.year - age // 4 * 4)  # steps of four years: a 29 February has one
    serial = rng.randrange(499) * 2 + male
    card = identity_card(rng.choice(PEOPLE["areas"]), birth, serial)
    return Patient(number, *_name(rng, male=male), male, birth, card, married=age > 26)
