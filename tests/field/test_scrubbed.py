"""What is made of a scrubbed capture has the shape of what is made of the original; and the command, as it is typed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.field.site import HIS, made
from typer.testing import CliRunner

from hisbus.disguise import Disguise
from hisbus.errors import ConfigError
from hisbus_bus.command.main import app
from hisbus_bus.host.registry import connectors, mappings
from hisbus_bus.kernel.topics import Keys
from hisbus_bus.lab import captures
from hisbus_bus.lab.tryout import Outcome, filled
from hisbus_bus.play import Stage, outcome
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_schemas.parts import LISTS

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "../shared/corpora/hl7v2"
CASES = sorted((ROOT / "tests/cases").glob("*.hl7"))
HL7 = Hl7v2Connector({**HIS, "authority": "HOSP"})


def stage() -> Stage:
    settings = made([{**HIS, "authority": "HOSP"}])
    (connector,) = connectors(settings)
    assert isinstance(connector, Hl7v2Connector)
    return Stage(settings, [connector], mappings([connector]), (), connector)


def shape(found: Outcome) -> Any:
    """Return what is no value: what became of each message, what it fills, and how many of what each stay has."""
    messages = [
        (one.number, one.type, one.status, one.reason, [(fact.kind, filled(fact)) for fact in one.facts], one.left)
        for one in found.messages
    ]
    stays = Counter(
        (chart.status, chart.patient_class, chart.died, *(len(getattr(chart, part.name)) for part in LISTS))
        for chart in found.charts.values()
    )
    waiting = Counter(placed.flag for one in found.messages for placed in one.placed)
    return messages, stays, waiting


async def shapes(files: list[bytes]) -> tuple[Any, Any]:
    on, disguise = stage(), Disguise()
    new = [disguised(file, disguise) for file in files]
    told = [[message for file in some for message in HL7.split(file)] for some in (files, new)]
    old, scrubbed = [shape(await outcome(on, messages, Keys(b"k" * 32))) for messages in told]
    return old, scrubbed


def disguised(file: bytes, disguise: Disguise) -> bytes:
    return HL7.scrub(file, disguise, keep=(), keep_text=False).file


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
async def test_a_conversation_makes_charts_of_the_same_shape(path: Path) -> None:
    old, new = await shapes([path.read_bytes()])
    assert new == old
    assert old[1], "there is a stay"


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
async def test_the_corpus_makes_charts_of_the_same_shape() -> None:
    old, new = await shapes([path.read_bytes() for path in sorted(CORPUS.glob("*.hl7"))])
    for one, other in zip(old[0], new[0], strict=True):
        assert other == one
    assert new == old


def test_the_command_writes_it_once_and_says_what_must_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hisbus.toml").write_text('site = "test"\n[[connectors]]\nname = "his"\ntype = "hl7v2"\n')
    capture = ROOT / "tests/field/inputs/local.hl7"
    result = CliRunner().invoke(app, ["capture", "scrub", str(capture), "shown.hl7", "--keep", "ZBX-3"])
    assert result.exit_code == 0, result.exception
    assert "ZBX-2 1" in result.output and "OBX-3 " in result.output and "ZBX-3" in result.output.split("replaced")[0]
    new = captures.content(Path("shown.hl7"))
    assert len(HL7.split(new)) == 3 and b"|W9" in new and b"LP1" not in new and b"LV1" not in new
    for out, capture_ in (("shown.hl7", capture), ("other.hl7", tmp_path / "hisbus.toml")):
        again = CliRunner().invoke(app, ["capture", "scrub", str(capture_), out])
        assert isinstance(again.exception, ConfigError)
    assert not Path("other.hl7").exists()
