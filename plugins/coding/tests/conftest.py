"""Terminologies for tests, loaded once: ICD-10-CM, and a small made-up table in Chinese."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hisbus.terms import Release, Terms, store, table

DATA = Path(__file__).parent / "data"


def made_release(system: str, kind: str = "diagnosis", **more: Any) -> Release:
    facts = {"version": "1", "source": "made-up.csv", "sha256": "0" * 64, "loaded": "2026-03-01T00:00:00+00:00"}
    return Release(system, kind, **(facts | {"licence": "made up"} | more))


@pytest.fixture(scope="session")
def release_of_tests() -> Callable[..., Release]:
    """Make a release: ``release_of_tests(system, kind, ...)``."""
    return made_release


@pytest.fixture
def load_table() -> Callable[..., None]:
    """Load a table, written as CSV, into a file: ``load_table(file, system, text, kind=...)``."""

    def load(file: Path, system: str, text: str, kind: str = "diagnosis") -> None:
        read = table.read(text.encode())
        assert not read.broken
        store.load(file, made_release(system, kind), read.rows)

    return load


@pytest.fixture
def load_crosswalk() -> Callable[..., None]:
    """Load a crosswalk into a file: ``load_crosswalk(file, target, (from, to), ...)``."""

    def load(file: Path, target: str, *pairs: tuple[str, str]) -> None:
        store.load(file, made_release(f"X-{target}", "crosswalk", target=target), pairs=pairs)

    return load


@pytest.fixture(scope="session")
def made_up_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up table alone."""
    file = tmp_path_factory.mktemp("made-up") / "terms.db"
    read = table.read((DATA / "diagnoses.csv").read_bytes())
    assert not read.broken
    store.load(file, made_release("MADE-UP"), read.rows)
    return file


@pytest.fixture(scope="session")
def icd(icd_file: Path) -> Iterator[Terms]:
    terms = Terms(icd_file)
    yield terms
    terms.close()


@pytest.fixture(scope="session")
def made_up(made_up_file: Path) -> Iterator[Terms]:
    terms = Terms(made_up_file)
    yield terms
    terms.close()


@pytest.fixture(scope="session")
def file_of(icd_file: Path, made_up_file: Path) -> dict[str, Path]:
    return {"en": icd_file, "zh": made_up_file}
