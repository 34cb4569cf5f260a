"""The command, as an operator types it, while ``hisbus up`` runs."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hisbus.errors import ConfigError
from hisbus_bus.kernel import people

pytestmark = pytest.mark.long

BAD = b"this is not HL7"


@pytest.fixture
def backbone(embedded: dict[str, Any]) -> dict[str, Any]:
    """The command is given the embedded files."""
    return embedded


@pytest.fixture
def hisbus(tmp_path: Path) -> Any:
    """Run the command against the site of the test; return exit code, output and complaint."""
    config = tmp_path / "hisbus.toml"
    config.write_text('site = "test"\n')
    environment = {
        **os.environ,
        "HISBUS_LOG__URL": f"sqlite:///{tmp_path}/log.db",
        "HISBUS_DATABASE__URL": f"sqlite:///{tmp_path}/hisbus.db",
        "HISBUS_CONNECTORS": json.dumps([{"name": "his", "type": "hl7v2", "listen": "127.0.0.1:0"}]),
        "COLUMNS": "200",
    }

    async def run(*arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hisbus_bus", "--config", str(config), *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complaint = await process.communicate()
        return process.returncode, said.decode(), complaint.decode()

    return run


async def test_users_parked_items_the_audit_and_a_check_while_it_runs(hospital: Any, hisbus: Any) -> None:
    async with hospital() as bus:
        await bus.send([BAD])
        await bus.idle()

        code, password, _ = await hisbus("user", "add", "alice", "--role", "viewer")
        assert (code, len(password.split())) == (0, 1)
        code, token, _ = await hisbus("user", "token", "alice")
        seen = await bus.api.get("/api/v1/messages", headers={"Authorization": f"Bearer {token.strip()}"})
        assert (code, seen.status_code) == (0, 200)

        (parked,) = await bus.everything("parked")
        code, listed, _ = await hisbus("parked")
        assert code == 0 and parked["id"] in listed and "not_hl7" in listed
        code, told, _ = await hisbus("replay", parked["id"])
        assert (code, told) == (1, f"{parked['id']}: refused still: not_hl7.\n")
        (still,) = await bus.everything("parked")
        assert (still["id"], still["status"]) == (parked["id"], "parked")

        assert (await hisbus("audit", "verify"))[0] == 0
        code, said, complaint = await hisbus("check")
        assert code == 0 and said.endswith("All is well.\n"), complaint
        assert "agents.coding: Not evaluated: no terminology is loaded (hisbus terms load)." in said
        code, said, complaint = await hisbus("up")
        assert code == 2 and str(os.getpid()) in complaint and "Traceback" not in complaint


async def test_whom_a_command_disables_a_running_bus_refuses_with_the_next_request(hospital: Any, hisbus: Any) -> None:
    async with hospital() as bus:
        database = bus.app.site.database
        await people.add(database, "ann", "reviewer", "a long enough password")
        session = await people.log_in(bus.app.site, "ann", "a long enough password")
        assert session is not None
        headers = {"Authorization": f"Bearer {await people.token(database, 'ann')}"}
        cookies = {"Cookie": f"hisbus_session={session.cookie}", "Authorization": ""}

        async def told() -> tuple[int, int]:
            program = await bus.api.get("/api/v1/messages", headers=headers)
            return program.status_code, (await bus.api.get("/findings", headers=cookies)).status_code

        assert await told() == (200, 200)
        assert (await hisbus("user", "disable", "ann"))[0] == 0
        assert await told() == (401, 303)


async def test_an_agent_is_held_and_goes_on_by_command(hospital: Any, hisbus: Any) -> None:
    async with hospital() as bus:

        async def until(now: str) -> None:
            while {one["now"] for one in (await bus.get("controls"))["items"]} != {now}:
                await asyncio.sleep(0.1)

        assert await hisbus("pause", "agent:qc", "step:chart", "--reason", "new rules") == (0, "", "")
        await until("paused")
        held = (await bus.api.get("/readyz")).json()["held"]
        assert {one["target"] for one in held} == {"agent:qc", "step:chart"}
        code, said, _ = await hisbus("controls")
        assert code == 0 and "new rules" in said and "paused" in said
        code, _, complaint = await hisbus("pause", "step:charts")
        assert (code, "Known: intake, translate, chart" in complaint) == (1, True)
        assert (await hisbus("resume", "agent:qc", "step:chart"))[0] == 0
        await until("running")
        code, said, _ = await hisbus("signals")
        assert code == 0 and "agent:qc" in said and "held" in said
        assert (await bus.api.get("/readyz")).json()["held"] == []


async def test_plugins_are_listed_without_a_site(hisbus: Any) -> None:
    code, said, _ = await hisbus("plugins")
    assert code == 0
    assert "hisbus-qc" in said and "hisbus-hl7v2" in said


async def test_a_wrong_configuration_never_starts_and_names_its_mistakes(tmp_path: Path, hisbus: Any) -> None:
    (tmp_path / "hisbus.toml").write_text('site = "test"\n\n[web]\nlisten = 8080\n')
    code, _, complaint = await hisbus("up")
    assert code == 2
    assert f"{tmp_path}/hisbus.toml:4: web.listen" in complaint


async def test_settings_that_an_agent_refuses_never_start(hospital: Any) -> None:
    with pytest.raises(ConfigError, match=r"agents\.qc\.settings: rules\.R01\.limit_hours"):
        async with hospital(agents={"qc": {"settings": {"rules": {"R01": {"limit_hours": "soon"}}}}}):
            pass


async def test_check_names_the_line_of_a_connector_s_mistake_and_what_an_agent_refuses(tmp_path: Path) -> None:
    config = tmp_path / "hisbus.toml"
    config.write_text(
        f'site = "test"\n[log]\nurl = "sqlite:///{tmp_path}/log.db"\n[database]\nurl = "sqlite:///{tmp_path}/h.db"\n'
        '[[connectors]]\nname = "his"\ntype = "hl7v2"\nsend = "127.0.0.1:1"\n'
        '[[connectors]]\nname = "lab"\ntype = "hl7v2"\ntimezone = "Asia/Shanghei"\n'
        '[agents.qc.settings.rules.R01]\nlimit_hours = "soon"\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hisbus_bus.command.main",
        "check",
        "--config",
        str(config),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 1
    assert f"{config}:13: connectors.lab.timezone" in said.decode()
    assert "agents.qc.settings: rules.R01.limit_hours" in said.decode()
