"""Writes the file of terminologies. A load makes a new file beside the old one and then takes its place."""

import fcntl
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hisbus.errors import ConfigError
from hisbus.terms.release import Release
from hisbus.terms.spans import parse, plain
from hisbus.terms.words import head, key, tokens, variants, words

FORMAT = 1
"""Of the file (its ``user_version``); one of another is refused."""

_SCHEMA = """
CREATE TABLE release (
    id INTEGER PRIMARY KEY, system TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, version TEXT NOT NULL,
    source TEXT NOT NULL, sha256 TEXT NOT NULL, loaded TEXT NOT NULL, licence TEXT NOT NULL,
    rows INTEGER NOT NULL, refused INTEGER NOT NULL, target TEXT NOT NULL);
CREATE TABLE concept (
    id INTEGER PRIMARY KEY, release INTEGER NOT NULL, code TEXT NOT NULL, plain TEXT NOT NULL, display TEXT NOT NULL,
    parent INTEGER, usable INTEGER NOT NULL, principal INTEGER NOT NULL, manifestation INTEGER NOT NULL,
    sex TEXT NOT NULL, least_age REAL, most_age REAL);
CREATE INDEX concept_plain ON concept (release, plain);
CREATE INDEX concept_parent ON concept (parent);
CREATE TABLE term (
    id INTEGER PRIMARY KEY, release INTEGER NOT NULL, concept INTEGER NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL, tokens TEXT NOT NULL);
CREATE TABLE lookup (
    release INTEGER NOT NULL, key TEXT NOT NULL, term INTEGER NOT NULL, exact INTEGER NOT NULL,
    PRIMARY KEY (release, key, term)) WITHOUT ROWID;
CREATE TABLE start (
    release INTEGER NOT NULL, head TEXT NOT NULL, longest INTEGER NOT NULL, PRIMARY KEY (release, head)) WITHOUT ROWID;
CREATE TABLE note (
    id INTEGER PRIMARY KEY, release INTEGER NOT NULL, concept INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX note_concept ON note (concept);
CREATE TABLE span (note INTEGER NOT NULL, low TEXT NOT NULL, high TEXT NOT NULL);
CREATE INDEX span_note ON span (note);
CREATE TABLE seventh (release INTEGER NOT NULL, concept INTEGER NOT NULL, character TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (concept, character)) WITHOUT ROWID;
CREATE TABLE crosswalk (release INTEGER NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    PRIMARY KEY (release, source, target)) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (
    tokens, content='term', content_rowid='id', tokenize='porter unicode61', columnsize=1);
"""
_PARTS = ("crosswalk", "seventh", "start", "lookup", "note", "term", "concept")


@dataclass(slots=True)
class Row:
    """One code with all that its system says of it."""

    code: str
    display: str
    parent: str = ""
    """Code of the row it hangs under, which comes earlier."""
    usable: bool = True
    """May be assigned: valid and, where the system says so, billable."""
    principal: bool = True
    """False: the table does not allow it as principal ("grey")."""
    manifestation: bool = False
    sex: str = ""
    """``female`` or ``male`` alone."""
    least_age: float | None = None
    """Years."""
    most_age: float | None = None
    terms: list[tuple[str, str]] = field(default_factory=list)
    """Further names: (``inclusion`` or ``synonym``, text)."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(``excludes1``, ``code_first``, ``use_additional`` ..., text); of a drug ``daily``, the most of a day."""
    seventh: dict[str, str] = field(default_factory=dict)
    """Seventh characters of the codes under it, and what they mean."""
    named: bool = True
    """False: a chapter or section, which nobody writes as a diagnosis."""


def load(file: Path, release: Release, rows: Iterable[Row] = (), pairs: Iterable[tuple[str, str]] = ()) -> Release:
    """Put a release into the file, in place of an earlier one of its system.

    Args:
        file: made where it does not exist.
        release: its provenance.
        rows: its codes.
        pairs: of a crosswalk, source and target.

    Raises:
        ConfigError: the file cannot be written, or another load is under way.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file):
            new.unlink(missing_ok=True)
            if file.exists():
                _check_ours(file)
                shutil.copyfile(file, new)
            with closing(sqlite3.connect(new)) as connection:
                loaded = _fill(connection, release, rows, pairs)
            new.replace(file)
    except (OSError, sqlite3.OperationalError) as error:
        raise ConfigError(f"{file} cannot be written. Check the folder, its owner and the space left.") from error
    return loaded


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"Another load writes {file}. Wait until it has ended.") from error
        yield


def _check_ours(file: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
                return
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{file} is no file of terminologies. Move it away, or name another.") from error
    raise ConfigError(f"{file} is no file of terminologies of this hisbus. Move it away, and load all tables again.")


def _fill(
    connection: sqlite3.Connection, release: Release, rows: Iterable[Row], pairs: Iterable[tuple[str, str]]
) -> Release:
    if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
        connection.executescript(f"PRAGMA user_version={FORMAT};{_SCHEMA}")
    connection.execute("BEGIN IMMEDIATE")
    _forget(connection, release.system)
    its = (release.system, release.kind, release.version, release.source, release.sha256, release.loaded)
    id = connection.execute(
        "INSERT INTO release (system, kind, version, source, sha256, loaded, licence, rows, refused, target)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        (*its, release.licence, release.refused, release.target),
    ).lastrowid
    count = _Filling(connection, id or 0).fill(rows)
    made = connection.executemany(
        "INSERT OR IGNORE INTO crosswalk VALUES (?, ?, ?)", ((id, plain(one), other) for one, other in pairs)
    ).rowcount
    count += max(made, 0)
    connection.execute("UPDATE release SET rows=? WHERE id=?", (count, id))
    connection.execute("INSERT INTO search (search) VALUES ('rebuild')")
    connection.execute("INSERT INTO search (search) VALUES ('optimize')")
    connection.commit()
    connection.execute("VACUUM")
    return Release(*its, release.licence, count, release.refused, release.target, id or 0)


def _forget(connection: sqlite3.Connection, system: str) -> None:
    earlier = connection.execute("SELECT id FROM release WHERE system=?", (system,)).fetchone()
    if earlier is None:
        return
    connection.execute("DELETE FROM span WHERE note IN (SELECT id FROM note WHERE release=?)", earlier)
    for part in _PARTS:
        connection.execute(f"DELETE FROM {part} WHERE release=?", earlier)  # noqa: S608 - our own names
    connection.execute("DELETE FROM release WHERE id=?", earlier)


class _Filling:
    """Writes the rows of one release."""

    def __init__(self, connection: sqlite3.Connection, release: int) -> None:
        self._connection = connection
        self._release = release
        self._ids: dict[str, int] = {}
        self._longest: dict[str, int] = {}

    def fill(self, rows: Iterable[Row]) -> int:
        """Write all rows and return how many of them are codes."""
        count = 0
        for row in rows:
            self._row(row)
            count += row.named
        self._connection.executemany(
            "INSERT INTO start VALUES (?, ?, ?)", ((self._release, *start) for start in self._longest.items())
        )
        return count

    def _row(self, row: Row) -> None:
        limits = (row.usable, row.principal, row.manifestation, row.sex, row.least_age, row.most_age)
        concept = self._insert(
            "concept (release, code, plain, display, parent,"
            " usable, principal, manifestation, sex, least_age, most_age)",
            (row.code, plain(row.code), row.display, self._ids.get(row.parent), *limits),
        )
        self._ids[row.code] = concept
        for kind, text in [("title", row.display), *row.terms] if row.named else ():
            self._term(concept, kind, text)
        for kind, text in row.notes:
            note = self._insert("note (release, concept, kind, text)", (concept, kind, text))
            self._connection.executemany(
                "INSERT INTO span VALUES (?, ?, ?)", [(note, low, high) for low, high in parse(text)]
            )
        self._connection.executemany(
            "INSERT INTO seventh VALUES (?, ?, ?, ?)",
            [(self._release, concept, character, text) for character, text in row.seventh.items()],
        )

    def _term(self, concept: int, kind: str, text: str) -> None:
        term = self._insert(
            "term (release, concept, kind, text, tokens)", (concept, kind, text, " ".join(tokens(text)))
        )
        written = key(text)
        for form in variants(text):
            self._connection.execute(
                "INSERT OR IGNORE INTO lookup VALUES (?, ?, ?, ?)", (self._release, form, term, form == written)
            )
            parts = words(form)
            start = head(parts, 0)
            self._longest[start] = max(self._longest.get(start, 0), len(parts))

    def _insert(self, table: str, values: Sequence[object]) -> int:
        marks = ", ".join("?" * (len(values) + 1))
        cursor = self._connection.execute(
            f"INSERT INTO {table} VALUES ({marks})",  # noqa: S608 - our own names
            (self._release, *values),
        )
        return cursor.lastrowid or 0
