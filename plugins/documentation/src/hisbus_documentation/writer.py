"""Writers: sections of sentences from material, each sentence with the sources that it claims."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hisbus_documentation.gather import Material
from hisbus_documentation.source import Source

How = Literal["assembled", "model"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as its writer gave it: nothing has checked it yet."""

    text: str
    sources: tuple[Source, ...]
    """What it claims to rest on."""


@dataclass(frozen=True, slots=True)
class Section:
    """What a writer made of a section."""

    code: str
    sentences: tuple[Sentence, ...]
    how: How = "assembled"
    model: Literal["unasked", "answered", "unusable"] = "unasked"
    """What came of asking a model for it."""


class Writer(Protocol):
    """Writes a document from material."""

    async def write(self, material: Material) -> list[Section]:
        """Return every section of the template, in its order; empty where there is nothing to say.

        Raises:
            RetryLater: it cannot write now.
            ConfigError: it cannot be asked as the operator configured it.
        """
        ...


class Assembler:
    """Writes without a model: each source is a sentence, in the order of the template."""

    async def write(self, material: Material) -> list[Section]:
        """Return every section of the template, in its order."""
        return [assembled(section.code, sources) for section, sources in material.sections]


def assembled(
    code: str, sources: tuple[Source, ...], model: Literal["unasked", "answered", "unusable"] = "unasked"
) -> Section:
    """Return a section in which each source is a sentence."""
    return Section(code, tuple(Sentence(source.text, (source,)) for source in sources), model=model)
