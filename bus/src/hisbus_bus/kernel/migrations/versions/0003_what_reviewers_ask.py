"""By which coverage each agent's last assessment was made, and who is to answer a draft."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go on to this revision."""
    op.add_column("assessment_heads", sa.Column("coverage", sa.Integer(), server_default="0", nullable=False))
    op.add_column("proposals", sa.Column("author", sa.String(), server_default="", nullable=False))
    proposals = sa.table("proposals", *(sa.column(name) for name in ("id", "kind", "body", "author")))
    drafts = sa.select(proposals.c.id, proposals.c.body).where(proposals.c.kind == "draft")
    for id, body in op.get_bind().execute(drafts).all():
        author = json.loads(body).get("author", "")
        op.execute(proposals.update().where(proposals.c.id == id).values(author=author))
