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


def signature(document: ChartDocument) -> list[Evidence]:
    """Return when a document was signed, and the words it begins with where it has any."""
    signed = document.signed.isoformat() if document.signed else ""
    opening = [
        span(document, index, 0, min(len(section.text), _OPENING))
        for index, section in enumerate(document.sections)
        if section.text.strip()
    ]
    return [at(f"documents/{document.id}/signed", signed), *opening[:1]]
