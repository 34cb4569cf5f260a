"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Go on to this revision."""
    op.create_table(
        "assessment_heads",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("release", sa.String(), nullable=False, server_default=""),
        sa.Column("evaluated", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opinions", sa.Text(), nullable=False, server_default=""),
        sa.Column("notes", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("encounter", "agent", "shadow"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("audit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("sealed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("audit"),
    )
    op.create_table(
        "charted_messages",
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("hand", sa.String(), nullable=True),
        sa.Column("hand_order", sa.String(), server_default="", nullable=False),
        sa.Column("hand_by", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("message"),
    )
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "codes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("common", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("table", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("word", sa.String(), nullable=True),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("answered", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "codes_pending",
        "codes",
        ["id"],
        unique=False,
        sqlite_where=sa.text("pending"),
        postgresql_where=sa.text("pending"),
    )
    op.create_index(
        "codes_open",
        "codes",
        ["seen", "id"],
        unique=False,
        sqlite_where=sa.text("word IS NULL"),
        postgresql_where=sa.text("word IS NULL"),
    )
    op.create_table(
        "controls",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("wanted", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "signals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "signals_lasting",
        "signals",
        ["part", "kind"],
        unique=True,
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("proposal", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("decided", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False, server_default="stands"),
        sa.Column("release", sa.String(), nullable=False, server_default=""),
        sa.Column("shadow", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decisions_proposal"), ["proposal"], unique=False)
        batch_op.create_index(
            "decisions_standing",
            ["proposal"],
            unique=True,
            sqlite_where=sa.text("state = 'stands'"),
            postgresql_where=sa.text("state = 'stands'"),
        )

    op.create_table(
        "encounters",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("counter", sa.String(), server_default="", nullable=False),
        sa.Column("patient", sa.String(), nullable=True),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("lanes", sa.Text(), server_default="[]", nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("now", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("begins", sa.String(), nullable=True),
        sa.Column("ends", sa.String(), nullable=True),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("named", sa.Text(), nullable=False),
        sa.Column("assigned", sa.Text(), nullable=False),
        sa.Column("lies", sa.Text(), server_default="{}", nullable=False),
        sa.Column("stay", sa.Text(), nullable=False),
        sa.Column("past", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("live", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "encounters_past",
        "encounters",
        ["live"],
        unique=False,
        sqlite_where=sa.text("past"),
        postgresql_where=sa.text("past"),
    )
    with op.batch_alter_table("encounters", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_encounters_number"), ["number"], unique=False)
        batch_op.create_index(batch_op.f("ix_encounters_patient"), ["patient"], unique=False)
        batch_op.create_index(batch_op.f("ix_encounters_status"), ["status"], unique=False)

    op.create_table(
        "entries",
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("entry", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("last", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("encounter", "entry"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=True),
        sa.Column("visit", sa.String(), nullable=True),
        sa.Column("encounter", sa.String(), nullable=True),
        sa.Column("hand", sa.String(), nullable=True),
        sa.Column("flag", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), server_default="", nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("order", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), server_default="", nullable=False),
        sa.Column("touched", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("events_patient", ["patient", "visit"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_encounter"), ["encounter"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_message"), ["message"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_visit"), ["visit"], unique=False)

    op.create_index(
        "events_by_hand",
        "events",
        ["hand"],
        unique=False,
        sqlite_where=sa.text("hand IS NOT NULL"),
        postgresql_where=sa.text("hand IS NOT NULL"),
    )
    op.create_index(
        "events_unassigned",
        "events",
        ["message"],
        unique=False,
        sqlite_where=sa.text("flag != ''"),
        postgresql_where=sa.text("flag != ''"),
    )
    op.create_table(
        "lookups",
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("common", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("message", "code"),
    )
    op.create_index("lookups_code", "lookups", ["code", "answer"], unique=False)
    op.create_index("lookups_common", "lookups", ["common", "answer"], unique=False)
    op.create_table(
        "merges",
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("prior", sa.String(), nullable=True),
        sa.Column("patient", sa.String(), nullable=True),
        sa.Column("visit", sa.String(), nullable=True),
        sa.Column("order", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("event"),
    )
    with op.batch_alter_table("merges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_merges_patient"), ["patient"], unique=False)
        batch_op.create_index(batch_op.f("ix_merges_prior"), ["prior"], unique=False)
        batch_op.create_index(batch_op.f("ix_merges_visit"), ["visit"], unique=False)

    op.create_table(
        "messages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("control_id", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mapping", sa.String(), nullable=False),
        sa.Column("answers", sa.String(), nullable=False, server_default=""),
        sa.Column("backfill", sa.String(), nullable=False, server_default=""),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("unmapped", sa.Text(), nullable=False),
        sa.Column("losses", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ack", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_messages_control_id"), ["control_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_messages_received"), ["received"], unique=False)
        batch_op.create_index(batch_op.f("ix_messages_status"), ["status"], unique=False)
        batch_op.create_index("messages_first", ["message", "first"], unique=False)

    op.create_table(
        "offsets",
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("group", "topic", "partition"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "parked",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("stack", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("parked", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("step", "topic", "partition", "offset"),
    )
    with op.batch_alter_table("parked", schema=None) as batch_op:
        batch_op.create_index("parked_encounter", ["encounter", "step"], unique=False)
        batch_op.create_index("parked_open", ["status", "step"], unique=False)
        batch_op.create_index("parked_message", ["message"], unique=False)

    op.create_index(
        "parked_waiting",
        "parked",
        ["parked", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'parked'"),
        postgresql_where=sa.text("status = 'parked'"),
    )
    op.create_table(
        "patients",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("survivor", sa.String(), nullable=False),
        sa.Column("numbers", sa.Integer(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("patients", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patients_number"), ["number"], unique=False)
        batch_op.create_index(batch_op.f("ix_patients_survivor"), ["survivor"], unique=False)

    op.create_table(
        "places",
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connector"),
    )
    op.create_table(
        "proposal_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("proposal", sa.String(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("proposal_history", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_proposal_history_proposal"), ["proposal"], unique=False)

    op.create_table(
        "proposals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("agent_version", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("points", sa.Float(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("rectified", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("opened", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False, server_default=""),
        sa.Column("shadow", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("identity", "revision"),
    )
    with op.batch_alter_table("proposals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_proposals_encounter"), ["encounter"], unique=False)
        batch_op.create_index(batch_op.f("ix_proposals_identity"), ["identity"], unique=False)
        batch_op.create_index(batch_op.f("ix_proposals_opened"), ["opened"], unique=False)
        batch_op.create_index(batch_op.f("ix_proposals_status"), ["status"], unique=False)

    op.create_table(
        "releases",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("made_from", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("evaluation", sa.Text(), nullable=False),
        sa.Column("approvals", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "name", "hash"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_user"), ["user"], unique=False)

    op.create_table(
        "users",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("full_name", sa.String(), nullable=False, server_default=""),
        sa.Column("department", sa.String(), nullable=False, server_default=""),
        sa.Column("title", sa.String(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tokens_user"), ["user"], unique=False)

    op.create_table(
        "staff_numbers",
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("authority", "number"),
    )
    with op.batch_alter_table("staff_numbers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_staff_numbers_user"), ["user"], unique=False)

    op.create_table(
        "staff",
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("head", sa.Boolean(), nullable=False),
        sa.Column("left", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("authority", "number"),
    )
    with op.batch_alter_table("staff", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_staff_department"), ["department"], unique=False)

    op.create_table(
        "wake_heads",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("encounter", "agent"),
    )
    op.create_table(
        "wakes",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("clock", sa.String(), nullable=False),
        sa.Column("fired", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("encounter", "agent", "name", "due"),
    )
    with op.batch_alter_table("wakes", schema=None) as batch_op:
        batch_op.create_index("wakes_due", ["fired", "clock", "due"], unique=False)

    op.create_table(
        "writebacks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("proposal", sa.String(), nullable=False),
        sa.Column("encounter", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease", sa.String(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("control_id", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("resolved_by", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("decision"),
    )
    with op.batch_alter_table("writebacks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_writebacks_document"), ["document"], unique=False)
        batch_op.create_index(batch_op.f("ix_writebacks_encounter"), ["encounter"], unique=False)
        batch_op.create_index(batch_op.f("ix_writebacks_proposal"), ["proposal"], unique=False)
        batch_op.create_index(batch_op.f("ix_writebacks_status"), ["status"], unique=False)

    op.create_index(
        "writebacks_undecided",
        "writebacks",
        ["created", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'undecided'"),
        postgresql_where=sa.text("status = 'undecided'"),
    )


def downgrade() -> None:
    """Go back."""
    with op.batch_alter_table("writebacks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_writebacks_status"))
        batch_op.drop_index(batch_op.f("ix_writebacks_proposal"))
        batch_op.drop_index(batch_op.f("ix_writebacks_encounter"))
        batch_op.drop_index(batch_op.f("ix_writebacks_document"))

    op.drop_table("writebacks")
    with op.batch_alter_table("wakes", schema=None) as batch_op:
        batch_op.drop_index("wakes_due")

    op.drop_table("wakes")
    op.drop_table("wake_heads")
    op.drop_table("staff")
    op.drop_table("staff_numbers")
    op.drop_table("tokens")
    op.drop_table("users")

    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sessions_user"))

    op.drop_table("sessions")
    op.drop_table("releases")
    with op.batch_alter_table("proposals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_proposals_status"))
        batch_op.drop_index(batch_op.f("ix_proposals_opened"))
        batch_op.drop_index(batch_op.f("ix_proposals_identity"))
        batch_op.drop_index(batch_op.f("ix_proposals_encounter"))

    op.drop_table("proposals")
    with op.batch_alter_table("proposal_history", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_proposal_history_proposal"))

    op.drop_table("proposal_history")
    with op.batch_alter_table("patients", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_patients_survivor"))
        batch_op.drop_index(batch_op.f("ix_patients_number"))

    op.drop_table("patients")
    with op.batch_alter_table("parked", schema=None) as batch_op:
        batch_op.drop_index("parked_open")
        batch_op.drop_index("parked_encounter")

    op.drop_table("parked")
    op.drop_table("outbox")
    op.drop_table("offsets")
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_index("messages_first")
        batch_op.drop_index(batch_op.f("ix_messages_status"))
        batch_op.drop_index(batch_op.f("ix_messages_received"))
        batch_op.drop_index(batch_op.f("ix_messages_control_id"))

    op.drop_table("messages")
    with op.batch_alter_table("merges", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_merges_visit"))
        batch_op.drop_index(batch_op.f("ix_merges_prior"))
        batch_op.drop_index(batch_op.f("ix_merges_patient"))

    op.drop_table("merges")
    op.drop_index("lookups_common", table_name="lookups")
    op.drop_index("lookups_code", table_name="lookups")
    op.drop_table("lookups")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_events_visit"))
        batch_op.drop_index(batch_op.f("ix_events_message"))
        batch_op.drop_index(batch_op.f("ix_events_encounter"))
        batch_op.drop_index("events_patient")

    op.drop_table("events")
    op.drop_table("entries")
    with op.batch_alter_table("encounters", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_encounters_status"))
        batch_op.drop_index(batch_op.f("ix_encounters_patient"))
        batch_op.drop_index(batch_op.f("ix_encounters_number"))

    op.drop_index("encounters_past", table_name="encounters")
    op.drop_table("encounters")
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.drop_index("decisions_standing")
        batch_op.drop_index(batch_op.f("ix_decisions_proposal"))

    op.drop_table("decisions")
    op.drop_index("codes_pending", table_name="codes")
    op.drop_table("codes")
    op.drop_index("signals_lasting", table_name="signals")
    op.drop_table("signals")
    op.drop_table("controls")
    op.drop_table("clock")
    op.drop_table("charted_messages")
    op.drop_table("audit_seals")
    op.drop_table("audit")
    op.drop_table("assessment_heads")
