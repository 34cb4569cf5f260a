"""A drafted document as a person reads and edits it: sections of sentences, each with its place in the record."""

from collections.abc import Mapping
from typing import Any

from hisbus_schemas import Drafted, DraftedSection, DraftedSentence

FIELD = "section-"
"""Name of the field of a form that holds a section's text, a sentence to a line; its place follows."""


def edited(draft: Drafted, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the changed part of the payload.

    A line that a person left as it was keeps its sources; one of their own has none. A section that the form does
    not hold stays as it is.
    """
    sections = [
        section if text is None else section.model_copy(update={"sentences": _sentences(section, text)})
        for section, text in ((section, fields.get(f"{FIELD}{n}")) for n, section in enumerate(draft.sections))
    ]
    return {"sections": [section.model_dump(mode="json") for section in sections]}


def typed(draft: Drafted, fields: Mapping[str, str]) -> Drafted:
    """Return a draft as a person has it in their form, so that nothing of theirs is lost where it was refused."""
    return Drafted.model_validate(draft.model_dump(mode="json") | edited(draft, fields))


def _sentences(section: DraftedSection, text: str) -> list[DraftedSentence]:
    known = {sentence.text: sentence for sentence in section.sentences}
    lines = (line.strip() for line in text.splitlines())
    return [known.get(line) or DraftedSentence(text=line) for line in lines if line]
