from pathlib import Path

import pytest

from hisbus_schemas.__main__ import schemas

FOLDER = Path(__file__).parents[1] / "json"


@pytest.mark.parametrize("name, text", schemas().items())
def test_a_contract_changes_only_when_its_exported_schema_was_reviewed(name: str, text: str) -> None:
    kept = (FOLDER / name).read_text(encoding="utf-8")
    assert kept == text, "review the change, then: .venv/bin/python -m hisbus_schemas schemas/json"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == schemas().keys()
