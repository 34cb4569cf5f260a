"""Evidence: a chart path with its value, or words of a document exactly as they stand there."""

from hisbus_schemas import ChartDocument, Evidence

_OPENING = 80
"""Characters of a document that are enough to recognise it."""


def at(path: str, value: str) -> Evidence:
    """Return a chart path with its value."""
    return Evidence(path=path, value=value)


def span(document: ChartDocument, section: int, begin: int, end: int) -> Evidence:
    """Return the words of a section from ``begin`` up to, and without, ``end``."""
    return Evidence(
        document=document.id,
        version=document.version,
        section=section,
        begin=begin,
        end=end,
        quote=document.sections[section].text[begin:end],
    )


def opening(document: ChartDocument) -> list[Evidence]:
    """Return the words that a document begins with; nothing where it has none."""
    words = (
        span(document, index, 0, min(len(section.text), _OPENING))
        for index, section in enumerate(document.sections)
        if section.text.strip()
    )
    return [item for _, item in zip(range(1), words, strict=False)]


def signature(document: ChartDocument) -> list[Evidence]:
    """Return when a document was signed, and the words it begins with where it has any."""
    signed = document.signed.isoformat() if document.signed else ""
    return [at(f"documents/{document.id}/signed", signed), *opening(document)]


def shown(document: ChartDocument) -> list[Evidence]:
    """Return what shows a document: its first words, else its type."""
    return opening(document) or [at(f"documents/{document.id}/type", document.type.text or document.type.code)]
