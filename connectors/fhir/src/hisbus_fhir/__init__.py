"""The fhir connector: FHIR R4B bundles in, over HTTP."""

from hisbus import RegisterConnector, hookimpl
from hisbus_fhir.connector import FhirConnector

__all__ = ["FhirConnector", "register_connectors"]


@hookimpl
def register_connectors(register: RegisterConnector) -> None:
    """Register the connector type ``fhir``."""
    register("fhir", FhirConnector)
