"""Who sends, as MSH-3 and MSH-4 name him: what he may send, by his certificate, and whose numbers his are."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hisbus_hl7v2.message import Header


class Client(BaseModel):
    """One table ``[[connectors.clients]]``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    certificate: str = Field(min_length=1)
    """The CN of its subject, or one of its subjectAltNames."""
    senders: tuple[str, ...] = Field(min_length=1)
    """``APP^FACILITY``, the first components of MSH-3 and MSH-4; ``*`` for any."""
    types: tuple[str, ...] = ("*^*",)
    """``ADT^A01`` as in MSH-9; ``*`` for any part."""

    @field_validator("senders", "types")
    @classmethod
    def _are_pairs(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(value.count("^") != 1 for value in values):
            raise ValueError
        return values


def refusal(clients: tuple[Client, ...], names: frozenset[str], header: Header) -> str:
    """Return why who has a certificate with these names may not send what the header says; empty: he may."""
    application, facility = header.sender
    theirs = [
        client
        for client in clients
        if client.certificate in names and any(_fits(pattern, application, facility) for pattern in client.senders)
    ]
    if not theirs:
        return "sender_not_allowed"
    family, _, trigger = header.type.partition("^")
    allowed = any(_fits(pattern, family, trigger) for client in theirs for pattern in client.types)
    return "" if allowed else "type_not_allowed"


def authority_of(by_sender: Mapping[str, str], header: Header) -> str:
    """Return whose the bare numbers of a message are by who sent it; empty: nothing is said of him.

    Args:
        by_sender: authority by ``APP^FACILITY``, else by ``APP``.
        header: of the message.
    """
    application, facility = header.sender
    return by_sender.get(f"{application}^{facility}") or by_sender.get(application, "")


def _fits(pattern: str, *parts: str) -> bool:
    return all(wanted in ("*", part) for wanted, part in zip(pattern.split("^"), parts, strict=True))
