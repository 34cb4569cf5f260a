"""What people with Docker start is what the bus is made of; no engine is needed to see that."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from hisbus.app import STEPS
from hisbus.settings import Settings
from hisbus.topics import TOPICS

OPS = Path(__file__).parents[1] / "ops"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((OPS / "compose.yaml").read_text())
    return loaded


def test_every_step_has_a_container(compose: dict[str, Any]) -> None:
    commands = {name: service.get("command") for name, service in compose["services"].items()}
    assert {name: commands[name] for name in STEPS} == {name: ["run", name] for name in STEPS}
    assert commands.keys() - STEPS == {"kafka", "postgres", "topics"}


def test_its_configuration_is_valid(compose: dict[str, Any]) -> None:
    settings = Settings(**tomllib.loads(compose["configs"]["hisbus"]["content"]))
    assert settings.log.single_broker


def test_its_broker_takes_the_largest_record(compose: dict[str, Any]) -> None:
    largest = compose["services"]["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]
    assert largest > max(topic.max_bytes for topic in TOPICS.values()) + 64 * 1024


def test_nothing_listens_to_another_machine(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_holds_every_member_of_the_product() -> None:
    recipe = (OPS / "Dockerfile").read_text()
    shelves = [path.parent for path in OPS.parent.glob("*/pyproject.toml")]
    shelves += [
        path.parent for shelf in ("connectors", "plugins") for path in OPS.parent.glob(f"{shelf}/*/pyproject.toml")
    ]
    assert all(f"./{member.relative_to(OPS.parent)}" in recipe for member in shelves)
