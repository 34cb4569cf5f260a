"""What a profile decides of write-backs: fields of the document that leaves, and what they may say."""

FIELDS = ("MSH-3", "MSH-4", "MSH-5", "MSH-6", "MSH-9", "MSH-12", "PID-3.5", "PID-8", "PV1-2", "TXA-2")
"""What a profile's ``[out]`` decides."""
TYPES = ("MDM^T02^MDM_T02", "MDM^T02")
"""What MSH-9 may say: a write-back is a new document with its content, and older receivers know no structure."""
VERSIONS = ("2.4", "2.5", "2.5.1")
"""What MSH-12 may say: in others the document that we write lacks what they require."""


def leaves(field: str, text: str) -> None:
    """Check a field of a profile's ``[out]``, and one text that it may say.

    Raises:
        ValueError: no write-back has it, or the text cannot stand there.
    """
    allowed = {"MSH-9": TYPES, "MSH-12": VERSIONS}.get(field)
    if field not in FIELDS:
        raise ValueError(f"no field of a write-back that a profile decides: those are {', '.join(FIELDS)}")
    if allowed is not None and text not in allowed:
        raise ValueError(f"it is one of {', '.join(allowed)}")
    if not text.isprintable():
        raise ValueError("it holds a character that cannot be seen")
