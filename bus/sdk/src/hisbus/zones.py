"""Time zones by their IANA names. Initials such as CST name several, so they name none."""

import difflib
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_SEVERAL = {
    "AST": ("Asia/Riyadh", "America/Halifax"),
    "BST": ("Europe/London", "Asia/Dhaka"),
    "CST": ("Asia/Shanghai", "America/Chicago", "America/Havana"),
    "ECT": ("America/Guayaquil", "America/St_Lucia"),
    "IST": ("Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"),
    "PST": ("America/Los_Angeles", "Asia/Manila"),
    "SST": ("Asia/Singapore", "Pacific/Pago_Pago"),
    "WST": ("Australia/Perth", "Pacific/Apia"),
}
"""Initials, and the zones that people mean by them."""


class UnknownZoneError(ValueError):
    """There is no time zone of that name; the words say which is meant."""


def zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        UnknownZoneError: there is none of that name, or the name may mean several.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise UnknownZoneError(_which(name)) from error


def _which(name: str) -> str:
    meant = _SEVERAL.get(name.upper())
    if meant:
        return f"{name!r} may mean several zones. Write the one that is meant: {' or '.join(meant)}."
    near = difflib.get_close_matches(name, available_timezones(), 1, 0.8)
    instead = f"Did you mean {near[0]}?" if near else 'Write one such as "Asia/Shanghai".'
    return f"there is no IANA zone {name!r}. {instead}"
