"""What every step is given: the site's settings, keys, log and database."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hisbus import topics
from hisbus.database import Database
from hisbus.log import Log
from hisbus.settings import Settings
from hisbus.topics import Keys


@dataclass(frozen=True)
class Site:
    """One site, opened."""

    settings: Settings
    keys: Keys
    log: Log
    database: Database

    @property
    def name(self) -> str:
        """The site's short name."""
        return self.settings.site

    def group(self, step: str) -> str:
        """Return a step's consumer group."""
        return topics.group_name(self.name, step)

    def headers(self, *, id: str, type: str, source: str, time: datetime, **more: Any) -> dict[str, str]:
        """Return a record's headers (``topics.headers``), recorded now."""
        return topics.headers(
            id=id,
            type=type,
            source=source,
            time=time,
            site=self.name,
            keyid=self.keys.id,
            recorded=datetime.now(UTC),
            **more,
        )
