"""What vendors import from ``hisbus``: there when it is asked for, and not before."""

import subprocess
import sys

import pytest

import hisbus
from hisbus import connector, errors, hookspecs


def test_every_name_is_that_of_its_home() -> None:
    for name in hisbus.__all__:
        assert getattr(hisbus, name) is not None
    assert hisbus.Connector is connector.Connector
    assert hisbus.RetryLater is errors.RetryLater
    assert hisbus.hookimpl is hookspecs.hookimpl
    assert set(hisbus.__all__) <= set(dir(hisbus))


def test_a_name_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        hisbus.no_such_name  # noqa: B018
    with pytest.raises(ImportError):
        from hisbus import no_such_name as no_such_name


def test_who_needs_an_error_does_not_wait_for_the_contracts() -> None:
    shown = "import sys; from hisbus import ConfigError; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    assert not {"hisbus_schemas", "pydantic", "pluggy"} & set(done.stdout.split())
