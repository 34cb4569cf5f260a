"""What vendors test with: charts by hand, a run as the host would make it, a fake model, and the agents' contract.

Nothing here starts a process, opens a connection or imports a broker, a driver or a web framework::

    class TestContract(hisbus.testing.AgentContract):
        agent = Agent()
        patient_text = ["欧阳锋"]
        def cases(self): return [make_case(make_chart(documents=[make_document("C0037", "欧阳锋，男")]))]
"""

from hisbus.testing.charts import (
    LOINC,
    NOW,
    make_administration,
    make_allergy,
    make_case,
    make_charge,
    make_chart,
    make_coverage,
    make_diagnosis,
    make_document,
    make_event,
    make_move,
    make_operation,
    make_order,
    make_patient,
    make_result,
    make_unknown,
    make_vital,
    moment,
)
from hisbus.testing.contract import AgentContract
from hisbus.testing.running import FakeLLM, reasons, run

__all__ = [
    "LOINC",
    "NOW",
    "AgentContract",
    "FakeLLM",
    "make_administration",
    "make_allergy",
    "make_case",
    "make_charge",
    "make_chart",
    "make_coverage",
    "make_diagnosis",
    "make_document",
    "make_event",
    "make_move",
    "make_operation",
    "make_order",
    "make_patient",
    "make_result",
    "make_unknown",
    "make_vital",
    "moment",
    "reasons",
    "run",
]
