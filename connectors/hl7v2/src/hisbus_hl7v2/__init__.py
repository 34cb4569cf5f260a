"""The hl7v2 connector: HL7 v2 over MLLP, in and out."""

from hisbus import RegisterConnector, hookimpl
from hisbus_hl7v2.connector import Hl7v2Connector

__all__ = ["Hl7v2Connector", "register_connectors"]


@hookimpl
def register_connectors(register: RegisterConnector) -> None:
    """Register the connector type ``hl7v2``."""
    register("hl7v2", Hl7v2Connector)
