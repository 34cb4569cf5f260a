"""Times as rules compare them and as a reviewer reads them."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from hisbus import ConfigError
from hisbus_schemas import Chart


def whole(at: datetime) -> datetime:
    """Return a time cut to the second, which is how times are compared."""
    return at.replace(microsecond=0) if at.microsecond else at


def last_second(chart: Chart, at: datetime) -> datetime:
    """Return the last second of a time's day on the ward.

    Raises:
        ConfigError: as ``zone``.
    """
    return datetime.combine(local(chart, at).date(), time(23, 59, 59), zone(chart)).astimezone(at.tzinfo)


def local(chart: Chart, at: datetime) -> datetime:
    """Return a time as the clock on the ward showed it: in the zone of the stay's connector.

    Raises:
        ConfigError: the connector's zone is unknown here.
    """
    return at.astimezone(zone(chart))


def zone(chart: Chart) -> ZoneInfo:
    """Return the zone of the stay's connector.

    Raises:
        ConfigError: it is unknown here.
    """
    try:
        return ZoneInfo(chart.timezone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError("the connector's timezone is not an IANA zone known on this machine") from error


def shown(chart: Chart, at: datetime) -> str:
    """Return a time for a sentence, seconds only where there are some; the last second of a day is its 24:00."""
    there = local(chart, at)
    if there.time() == time(23, 59, 59):
        return f"{there:%Y-%m-%d} 24:00"
    return there.strftime("%Y-%m-%d %H:%M:%S" if there.second else "%Y-%m-%d %H:%M")
