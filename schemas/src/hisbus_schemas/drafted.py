"""What a draft holds: the payload of a ``Draft``, from the agent that writes it to the document that leaves."""

from typing import Literal

from hisbus_schemas.assessment import Text
from hisbus_schemas.contract import Contract
from hisbus_schemas.event import Code


class DraftedSentence(Contract):
    """A sentence, and what in the record it rests on."""

    text: str
    sources: list[int] = []
    """Places in the proposal's ``evidence``. Empty: a person wrote it."""


class DraftedSection(Contract):
    """A section of a drafted document."""

    code: str
    """Name of the section in the hospital's record (HL7 v2 OBX-3)."""
    title: Text
    loinc: str = ""
    element: str = ""
    """Data element of WS/T 363 that the section's text is (WS/T 500 names it): ``DE06.00.296.00`` ...."""
    required: bool = False
    """Without it the document must not leave."""
    written: Literal["assembled", "model"] = "assembled"
    sentences: list[DraftedSentence] = []
    """Empty: the record says nothing of it."""

    def says_something(self) -> bool:
        """Tell whether there is a letter or a figure in it, and not signs alone."""
        return any(sign.isalnum() for sentence in self.sentences for sign in sentence.text)


class Drafted(Contract):
    """A drafted document."""

    template: str
    form: Literal["document", "transcript"] = "document"
    """``transcript``: what was said, sorted by what it is about. It is for reading, is no document and never leaves."""
    type: Code
    """WS/T 500 code of the document it is to become: ``C0049`` ...."""
    loinc: str = ""
    title: Text
    language: Literal["zh", "en"]
    written: Literal["assembled", "model", "mixed"] = "assembled"
    """``assembled``: without a model; ``mixed``: some sections with one."""
    sections: list[DraftedSection]
    removed: dict[str, int] = {}
    """Sentences that were taken out because nothing in the record bears them, by reason."""

    def lacking(self) -> list[DraftedSection]:
        """Return the sections that it must have and that say nothing: no letter and no figure, whatever signs."""
        return [one for one in self.sections if one.required and not one.says_something()]
