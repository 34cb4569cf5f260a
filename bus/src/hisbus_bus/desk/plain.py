"""Contract models as the API shows them: times as text in the offset of their source."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hisbus_schemas import Contract, Moment


def plain(value: Any) -> Any:
    """Return a contract model as JSON values; a moment becomes ISO 8601 text."""
    if isinstance(value, Moment):
        return value.isoformat()
    if isinstance(value, Contract):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, date) else value


def at_site(value: datetime, zone: str) -> str:
    """Return a time of our own as its site's clock shows it."""
    return value.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")


def moment(value: Moment | None) -> str | None:
    """Return a source time as text."""
    return None if value is None else value.isoformat()
