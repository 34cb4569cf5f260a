"""The tables of coverage: what agents' rules need, what the stays have brought of it, and what was made of that."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text

from hisbus_bus.kernel.columns import Big, Instant, metadata

agent_rules = Table(
    "agent_rules",
    metadata,
    Column("agent", String, primary_key=True),
    Column("rule", String, primary_key=True),  # "*": every other
    Column("title", Text, nullable=False),  # in both languages, JSON; empty: the agent does not say it
    Column("source", Text, nullable=False),
    Column("needs", Text, nullable=False),  # JSON
    Column("enabled", Boolean, nullable=False),  # the agent goes by it under its settings
    Column("changed", Instant, nullable=False),  # of all rows of the agent at once
)

coverage = Table(
    "coverage",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("version", Integer, nullable=False),  # of the coverage since this was said
    Column("item", String, nullable=False),  # "*": whatever is named in no row
    Column("department", String, nullable=False),  # empty: the site
    Column("state", String, nullable=False),  # connected | not_connected | observed: an earlier word is taken back
    Column("who", String, nullable=False),  # step:chart: it was found
    Column("time", Instant, nullable=False),
)

coverage_stays = Table(
    "coverage_stays",
    metadata,
    Column("encounter", String, primary_key=True),
    Column("item", String, primary_key=True),
    Column("seen", Boolean, primary_key=True),  # it came; false: a fact of the stay called for it
    Column("department", String, nullable=False),  # of the stay at that time
    Index("coverage_stays_item", "item", "seen", "department"),
)
