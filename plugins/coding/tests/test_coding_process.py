"""The agent in the process that it runs in: it reads the file of terminologies there, and stays small."""

import sys
from pathlib import Path

from hisbus.testing import NOW, make_case, make_chart, make_document
from hisbus_bus.host.agents import AgentHost
from hisbus_bus.host.registry import Plugin
from hisbus_bus.kernel.settings import Settings

KIB_OF_THE_INDEX = 24 * 1024
"""What reading an index of 20 MB may add to the process: its cache, and the heads of its terms."""


def resident_kib(pid: int) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


async def test_the_child_reads_the_index_and_stays_small(icd_file: Path) -> None:
    host = AgentHost(Plugin("coding"), Settings(site="test", terms_file=icd_file))
    await host.start()
    try:
        assert host.state == "running", host.reason
        assert host.pid is not None
        await host.assess("coding", make_case(make_chart(patient_class="outpatient")), 30)
        before = resident_kib(host.pid)
        notes = ["acute renal failure", "left hip fracture", "community acquired pneumonia", "sepsis due to E. coli"]
        for note in notes:
            text = f"Discharge diagnosis: {note}. Hospital course: treated for gout and atrial fibrillation."
            chart = make_chart(documents=[make_document("C0049", text, signed=NOW)], discharged=NOW)
            answer = await host.assess("coding", make_case(chart), 30)
            assert next(proposal.kind for proposal in answer.proposals) == "codeset"
        assert resident_kib(host.pid) - before < KIB_OF_THE_INDEX
    finally:
        await host.close()
    assert "simple_icd_10_cm" not in sys.modules
