"""What people with Docker start is what the bus is made of; no engine is needed to see that."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.rooms import members

from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.topics import STEPS, TOPICS

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
    found = re.search(r"\$\((find .*)\)", (OPS / "Dockerfile").read_text())
    assert found is not None
    finding = shlex.split(found[1])
    listed = subprocess.run(finding, cwd=OPS.parent, capture_output=True, text=True, check=True).stdout.split()
    wanted = {member.relative_to(OPS.parent).as_posix() for member in members()}
    assert {path.removeprefix("./") for path in listed} == {path for path in wanted if not path.startswith("ops/")}
