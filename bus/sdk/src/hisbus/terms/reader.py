"""Reads the file of terminologies. Small: nothing is kept in memory but the heads of terms and SQLite's own cache."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hisbus.errors import ConfigError
from hisbus.terms.release import Release
from hisbus.terms.spans import Span, plain
from hisbus.terms.store import FORMAT
from hisbus.terms.words import Word, head, join, tokens

CACHE_KIB = 4096
_COLUMNS = 12
"""Of the table ``concept``."""
_WHOLE = 7
"""Characters of a code that has its seventh already."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A code of a system, as its table has it."""

    id: int
    code: str
    display: str
    parent: int | None
    usable: bool
    """May be assigned: valid and, where the system says so, billable."""
    principal: bool
    """False: the table does not allow it as principal ("grey")."""
    manifestation: bool
    sex: str
    least_age: float | None
    most_age: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A concept by one of its names."""

    concept: Concept
    kind: str
    """``title``, ``inclusion`` or ``synonym``."""
    text: str
    """The name."""
    exact: bool = True
    """False: without what stands in brackets, or without 'unspecified'."""
    score: float = 0.0
    """Search: BM25, higher is nearer."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a code or on one of its ancestors."""

    kind: str
    text: str
    owner: str
    """The code it stands at."""
    spans: tuple[Span, ...]
    """Codes that it names."""


def opened(path: Path | None) -> "Terms | None":
    """Return a site's terminologies (``case.terms``), opened anew where they were loaded again; None: there are none.

    Raises:
        ConfigError: the file cannot be read, or is of another version of hisbus.
    """
    if path is None or not path.is_file():
        return None
    stat = path.stat()
    return _open(path, (stat.st_ino, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=2)
def _open(path: Path, stamp: tuple[int, int, int]) -> "Terms":
    return Terms(path)


class Terms:
    """One file of terminologies, open for reading. It never changes: a new load is a new file."""

    def __init__(self, file: Path) -> None:
        """Open the file.

        Raises:
            ConfigError: it cannot be read, or is of another version of hisbus.
        """
        try:
            uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            fits = self._connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT
        except sqlite3.Error as error:
            raise ConfigError(
                "The file of terminologies cannot be read. Load it again: `hisbus terms load`."
            ) from error
        if not fits:
            raise ConfigError("The file of terminologies is of another hisbus. Load it again: `hisbus terms load`.")
        self._read = lru_cache(maxsize=4096)(self._read_concept)
        self._starts: dict[int, dict[str, int]] = {}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def releases(self) -> list[Release]:
        """Return what is loaded, by system."""
        rows = self._connection.execute(
            "SELECT system, kind, version, source, sha256, loaded, licence, rows, refused, target, id FROM release"
            " ORDER BY system"
        )
        return [Release(*row) for row in rows]

    def release(self, system: str) -> Release | None:
        """Return one system's release, None where it is not loaded."""
        return next((release for release in self.releases() if release.system == system), None)

    # --- codes --------------------------------------------------------------------------------------------------------

    def concept(self, release: Release, code: str) -> Concept | None:
        """Return the concept of a code, however its point and marks are written."""
        return self._one("SELECT c.* FROM concept c WHERE c.release=? AND c.plain=?", release.id, plain(code))

    def parent(self, concept: Concept) -> Concept | None:
        """Return what a concept hangs under."""
        return None if concept.parent is None else self._read(concept.parent)

    def lineage(self, concept: Concept) -> Iterator[Concept]:
        """Yield a concept and all that it hangs under, nearest first."""
        at: Concept | None = concept
        while at is not None:
            yield at
            at = self.parent(at)

    def children(self, concept: Concept) -> list[Concept]:
        """Return what hangs under a concept, in the order of the table."""
        rows = self._connection.execute("SELECT c.* FROM concept c WHERE c.parent=? ORDER BY c.id", (concept.id,))
        return [_concept(row) for row in rows]

    def notes(self, concept: Concept, kind: str) -> list[Note]:
        """Return the notes of a kind on a concept and on all that it hangs under, nearest first."""
        return [note for at in self.lineage(concept) for note in self._notes(at, kind)]

    def sevenths(self, concept: Concept) -> dict[str, str]:
        """Return the seventh characters that a code must have one of, and their meanings; empty: none is needed."""
        if len(plain(concept.code)) >= _WHOLE:
            return {}
        for at in self.lineage(concept):
            rows = self._connection.execute("SELECT character, text FROM seventh WHERE concept=?", (at.id,)).fetchall()
            if rows:
                return dict(rows)
        return {}

    def mapped(self, crosswalk: Release, code: str) -> list[str]:
        """Return the codes that a crosswalk leads to."""
        rows = self._connection.execute(
            "SELECT target FROM crosswalk WHERE release=? AND source=? ORDER BY target", (crosswalk.id, plain(code))
        )
        return [target for (target,) in rows]

    # --- names --------------------------------------------------------------------------------------------------------

    def named(self, release: Release, key: str) -> list[Hit]:
        """Return the concepts that have a name, by its key (``words.key``); nearest kind of name first."""
        rows = self._connection.execute(
            "SELECT c.*, t.kind, t.text, l.exact FROM lookup l JOIN term t ON t.id=l.term"
            " JOIN concept c ON c.id=t.concept WHERE l.release=? AND l.key=?"
            " ORDER BY t.kind='title' DESC, l.exact DESC, length(t.text), c.id",
            (release.id, key),
        )
        return [Hit(_concept(row[:_COLUMNS]), row[12], row[13], bool(row[14])) for row in rows]

    def longest(self, release: Release, words: Sequence[Word], at: int) -> int:
        """Return how many words the longest name has that begins at a place of a text; 0: none does."""
        most = self._heads(release).get(head(words, at), 0)
        for count in range(min(most, len(words) - at), 0, -1):
            key = join(words[at : at + count])
            if self._connection.execute(
                "SELECT 1 FROM lookup WHERE release=? AND key=? LIMIT 1", (release.id, key)
            ).fetchone():
                return count
        return 0

    def search(self, release: Release, text: str, most: int) -> list[Hit]:
        """Return the names that share words with a text, by BM25, nearest first."""
        wanted = sorted(set(tokens(text)))
        if not wanted:
            return []
        query = " OR ".join(f'"{token}"' for token in wanted)
        rows = self._connection.execute(
            "SELECT c.*, t.kind, t.text, -f.score FROM"
            " (SELECT rowid, bm25(search) AS score FROM search WHERE search MATCH ?) f"
            " JOIN term t ON t.id=f.rowid AND t.release=? JOIN concept c ON c.id=t.concept"
            " ORDER BY f.score, c.id LIMIT ?",
            (query, release.id, most),
        )
        return [Hit(_concept(row[:_COLUMNS]), row[12], row[13], score=row[14]) for row in rows]

    def _heads(self, release: Release) -> dict[str, int]:
        if release.id not in self._starts:
            rows = self._connection.execute("SELECT head, longest FROM start WHERE release=?", (release.id,))
            self._starts[release.id] = dict(rows.fetchall())
        return self._starts[release.id]

    def _notes(self, at: Concept, kind: str) -> Iterator[Note]:
        rows = self._connection.execute(
            "SELECT id, text FROM note WHERE concept=? AND kind=? ORDER BY id", (at.id, kind)
        )
        for id, text in rows.fetchall():
            spans = self._connection.execute("SELECT low, high FROM span WHERE note=? ORDER BY rowid", (id,)).fetchall()
            yield Note(kind, text, at.code, tuple((low, high) for low, high in spans))

    def _read_concept(self, id: int) -> Concept | None:
        return self._one("SELECT c.* FROM concept c WHERE c.id=?", id)

    def _one(self, statement: str, *values: object) -> Concept | None:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else _concept(row)


def _concept(row: Sequence[object]) -> Concept:
    id, _, code, _, display, parent, usable, principal, manifestation, sex, least, most = row
    return Concept(
        id=int(str(id)),
        code=str(code),
        display=str(display),
        parent=None if parent is None else int(str(parent)),
        usable=bool(usable),
        principal=bool(principal),
        manifestation=bool(manifestation),
        sex=str(sex),
        least_age=None if least is None else float(str(least)),
        most_age=None if most is None else float(str(most)),
    )
