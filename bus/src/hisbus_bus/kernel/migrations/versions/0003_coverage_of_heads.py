"""Each agent's last assessment of a stay says by which coverage it was judged."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go on to this revision."""
    op.add_column("assessment_heads", sa.Column("coverage", sa.Integer(), server_default="0", nullable=False))
