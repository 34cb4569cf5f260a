"""A rule that is judged in parts goes on without the part whose need the feeds do not bring."""

import pytest

from hisbus.frames import AgentInfo
from hisbus_bus.host.connected import lacks
from hisbus_schemas import Coverage, Need

CONSENT = Need(item="document:C0026", part="consent")
DISCUSSION = Need(item="document:C0047", part="discussion")
OPERATION = Need(item="procedure:operation")


@pytest.mark.parametrize(
    "brings, missing",
    [
        (("procedure:operation", "document:C0026", "document:C0047"), ()),
        (("procedure:operation", "document:C0026"), ()),
        (("procedure:operation",), ("document:C0026",)),
        (("document:C0026", "document:C0047"), ("procedure:operation",)),
    ],
    ids=["everything", "one part alone", "no part", "what all of it needs is missing"],
)
def test_a_rule_is_not_connected_when_no_part_of_it_is_left(brings: tuple[str, ...], missing: tuple[str, ...]) -> None:
    needs = {"R36": (OPERATION, CONSENT, DISCUSSION)}
    info = AgentInfo(name="qc", version="1", kinds=frozenset(), grants=frozenset(), needs=needs)
    assert lacks(info, "R36", Coverage(others=False, site=dict.fromkeys(brings, True)), "") == missing
