"""The tables of users, their tokens and log-ins, and of the hospital's staff: the kernel's own, as ``tables`` says."""

from sqlalchemy import Boolean, Column, Integer, String, Table

from hisbus_bus.kernel.columns import Instant, metadata

users = Table(
    "users",
    metadata,
    Column("name", String, primary_key=True),
    Column("role", String, nullable=False),  # viewer | reviewer | admin
    Column("password", String, nullable=False),  # argon2
    Column("active", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked_until", Instant, nullable=True),
    Column("full_name", String, nullable=False, server_default=""),
    Column("department", String, nullable=False, server_default=""),
    Column("title", String, nullable=False, server_default=""),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),  # what lists show and a revocation names
    Column("hash", String, nullable=False, unique=True),  # sha-256 of the bearer token
    Column("user", String, nullable=False, index=True),
    Column("purpose", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("revoked", Instant, nullable=True),
    Column("used", Instant, nullable=True),  # last, to the minute
)

staff_numbers = Table(
    "staff_numbers",
    metadata,
    Column("authority", String, primary_key=True),  # as the HIS sends it; often empty
    Column("number", String, primary_key=True),
    Column("user", String, nullable=False, index=True),
)

staff = Table(
    "staff",
    metadata,
    Column("authority", String, primary_key=True),  # as the HIS sends it; often empty
    Column("number", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("department", String, nullable=False, index=True),
    Column("title", String, nullable=False),
    Column("head", Boolean, nullable=False),  # of the department: whom what is overdue escalates to
    Column("left", Instant, nullable=True),  # since when the directory does not have them; null: it does
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),  # sha-256 of the cookie
    Column("user", String, nullable=False, index=True),
    Column("csrf", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("seen", Instant, nullable=False),
)
