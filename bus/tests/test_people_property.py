"""Whatever is done to users, in whatever order: nobody who may not, may."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from argon2 import PasswordHasher
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from hisbus.errors import Refused
from hisbus_bus.kernel import database, people, tables
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.people import User, errors, may, passwords
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys

NAMES = ("ann", "ben", "cid")
names = st.sampled_from(NAMES)
roles = st.sampled_from(people.ROLES)
START = "2026-01-05T12:00:00+00:00"


class Someone:
    """What a user should be: the model that the tables are compared with."""

    def __init__(self, role: str) -> None:
        self.role, self.disabled, self.password = role, False, "password-0"
        self.cookies: set[str] = set()
        self.tokens: dict[str, int] = {}
        """Days from the start until it ends, by token."""

    def shut(self) -> None:
        self.cookies.clear()
        self.tokens.clear()


class PeopleMachine(RuleBasedStateMachine):
    """Three users, who change each other and are changed by a command, log in, make tokens, and leave."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.patch = pytest.MonkeyPatch()
        self.clock = time_machine.travel(START, tick=False)
        self.day, self.changes = 0, 0
        self.ever: list[tuple[str, str, bool]] = []
        """Every cookie and token ever made: whose, what, whether it is a token."""

    @initialize()
    def open(self) -> None:
        self.traveller = self.clock.start()
        self.patch.setattr(database, "SQLITE_PRAGMAS", ("journal_mode=MEMORY", "synchronous=OFF"))
        self.patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.database = Database(f"sqlite:///{Path(self.folder.name)}/hisbus.db")
        log: Any = None
        self.site = Site(Settings(site="test"), Keys(b"test"), log, self.database)
        self.users = {name: Someone("admin" if name == "ann" else "viewer") for name in NAMES}
        self.runner.run(self._create())

    async def _create(self) -> None:
        async with self.database.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        for name, user in self.users.items():
            await people.add(self.database, name, user.role, user.password)

    # --- what should be -----------------------------------------------------------------------------------------------

    def administers(self, by: str) -> bool:
        return by == "command" or (self.users[by].role == "admin" and not self.users[by].disabled)

    def last(self, name: str) -> bool:
        return [one for one, user in self.users.items() if user.role == "admin" and not user.disabled] == [name]

    def tried(self, by: str, change: Any, allowed: bool) -> bool:
        """Try a change as ``command`` or as a user who says that they are an admin. Return whether it was made."""
        who: Any = by if by == "command" else User(by, "admin")
        try:
            self.runner.run(change(who))
            made = True
        except Refused:
            made = False
        assert made == allowed
        self.changes += made
        return made

    # --- what may happen ----------------------------------------------------------------------------------------------

    bys = st.sampled_from(("command", *NAMES))

    @rule(by=bys, name=names, role=roles)
    def give_role(self, by: str, name: str, role: str) -> None:
        allowed = self.administers(by) and by != name and (role == "admin" or not self.last(name))
        if self.tried(by, lambda who: people.change_role(self.database, name, role, by=who), allowed):
            self.users[name].role = role
            self.users[name].shut()

    @rule(by=bys, name=names)
    def disable(self, by: str, name: str) -> None:
        allowed = self.administers(by) and not self.last(name)
        if self.tried(by, lambda who: people.disable(self.database, name, by=who), allowed):
            self.users[name].disabled = True
            self.users[name].shut()

    @rule(by=bys, name=names)
    def enable(self, by: str, name: str) -> None:
        if self.tried(by, lambda who: people.enable(self.database, name, by=who), self.administers(by)):
            self.users[name].disabled = False

    @rule(by=bys, name=names, number=st.integers(0, 2))
    def change_password(self, by: str, name: str, number: int) -> None:
        given = f"password-{number}"
        change = lambda who: people.change_password(self.database, name, given, by=who)  # noqa: E731
        if self.tried(by, change, self.administers(by)):
            self.users[name].password = given
            self.users[name].shut()

    @rule(by=bys, name=names)
    def end_sessions(self, by: str, name: str) -> None:
        if self.tried(by, lambda who: people.end_sessions(self.database, name, by=who), self.administers(by)):
            self.users[name].cookies.clear()

    @rule(name=names, number=st.integers(0, 2))
    def log_in(self, name: str, number: int) -> None:
        user = self.users[name]
        session = self.runner.run(people.log_in(self.site, name, f"password-{number}"))
        right = user.password == f"password-{number}" and not user.disabled
        assert session is None or right
        if session is not None:
            user.cookies.add(session.cookie)
            self.ever.append((name, session.cookie, False))

    @rule(by=bys, name=names, days=st.integers(1, 5))
    def make_token(self, by: str, name: str, days: int) -> None:
        made: list[str] = []

        async def change(who: Any) -> None:
            made.append(await people.token(self.database, name, days=days, by=who))

        if self.tried(by, change, self.administers(by) and not self.users[name].disabled):
            self.users[name].tokens[made[0]] = self.day + days
            self.ever.append((name, made[0], True))

    @precondition(lambda self: any(user.tokens for user in self.users.values()))
    @rule(by=bys, data=st.data())
    def revoke(self, by: str, data: Any) -> None:
        held = [(name, token) for name, user in self.users.items() for token in user.tokens]
        name, token = data.draw(st.sampled_from(held))
        if self.users[name].tokens[token] <= self.day:
            return
        hash = passwords.digest(token)

        async def change(who: Any) -> None:
            async with self.database.read() as connection:
                id = await connection.scalar(select(tables.tokens.c.id).where(tables.tokens.c.hash == hash))
            await people.revoke(self.database, name, str(id), by=who)

        if self.tried(by, change, self.administers(by)):
            del self.users[name].tokens[token]

    @rule(days=st.integers(1, 3))
    def a_day_passes(self, days: int) -> None:
        self.day += days
        self.traveller.shift(timedelta(days=days))
        for user in self.users.values():
            user.cookies.clear()  # idle for too long

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def whoever_gets_in_may_and_as_what_they_are_now(self) -> None:
        for name, secret, is_token in self.ever:
            known = self.users[name]
            open_now = known.tokens.get(secret, 0) > self.day if is_token else secret in known.cookies
            of = people.of_token if is_token else people.of_session
            user = self.runner.run(of(self.site, secret))
            assert (user is not None) == open_now
            if user is not None:
                assert not known.disabled and (user.name, user.role) == (name, known.role)
                assert may(user, "administer") == (known.role == "admin")
                assert may(user, "decide") == (known.role != "viewer")

    @invariant()
    def somebody_is_left_to_administer(self) -> None:
        assert any(user.role == "admin" and not user.disabled for user in self.users.values())

    @invariant()
    def every_change_is_audited(self) -> None:
        async def count() -> int:
            async with self.database.read() as connection:
                actions = await connection.scalars(select(tables.audit.c.action))
                return sum(action.startswith("user.") and action != "user.added" for action in actions)

        assert self.runner.run(count()) == self.changes

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.runner.run(self.database.close())
            self.clock.stop()
        self.runner.close()
        self.patch.undo()
        self.folder.cleanup()


TestPeople = PeopleMachine.TestCase
TestPeople.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_refusals_are_what_the_property_takes_them_for() -> None:
    assert issubclass(errors.OwnRole, Refused) and issubclass(errors.LastAdmin, Refused)
