"""Files to begin with."""

from pathlib import Path

import pytest

from hisbus import ConfigError, load, new


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("hisbus", "hisbus"),
        ("qc", "hisbus-qc"),
        ("coding-rules", ""),
        ("schemas", "hisbus-schemas"),
        ("hl7v2", "hisbus-hl7v2"),
    ],
)
def test_a_name_that_an_installed_distribution_has_is_refused(name: str, owner: str, tmp_path: Path) -> None:
    if not owner:
        assert new.plugin(name, tmp_path)
        return
    with pytest.raises(ConfigError) as raised:
        new.plugin(name, tmp_path)
    assert str(raised.value) == f"The name {name} is taken: {owner} is installed here. Choose another."
    assert list(tmp_path.iterdir()) == []


def test_it_looks_where_plugins_and_connectors_are_found() -> None:
    assert (new.AGENTS, new.CONNECTORS) == (load.AGENTS, load.CONNECTORS)
