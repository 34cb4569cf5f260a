"""Corpora that are CSV files: rows by the names of their columns."""

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from hisbus.errors import ConfigError

MOST = 64 * 1024 * 1024
"""Characters of one field."""


def header(path: Path) -> frozenset[str]:
    """Return the columns of a CSV file; none of what is no such file."""
    if not path.is_file() or path.suffix.lower() != ".csv":
        return frozenset()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return frozenset(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return frozenset()


def rows(path: Path, columns: Collection[str]) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a CSV file in UTF-8.

    Raises:
        ConfigError: it cannot be read, or lacks one of the columns.
    """
    csv.field_size_limit(MOST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise ConfigError(f"{path} lacks the columns {', '.join(missing)}.")
            for row in reader:
                if not any(row.get(name) for name in columns):
                    continue  # spreadsheets leave blank rows behind
                if any(row[name] is None for name in columns):
                    raise ConfigError(f"{path}: the row that ends in line {reader.line_num} is too short.")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read. It must be CSV in UTF-8.") from error
