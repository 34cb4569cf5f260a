"""Entries say by which version of their stay they changed, so that who knows one version reads what came since."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Go on to this revision."""
    op.add_column("entries", sa.Column("version", sa.Integer(), server_default="0", nullable=False))
    op.create_index("entries_version", "entries", ["encounter", "version"])
    op.add_column("encounters", sa.Column("refolded", sa.Integer(), server_default="0", nullable=False))
