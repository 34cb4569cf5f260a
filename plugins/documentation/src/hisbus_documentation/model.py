"""The writer that asks a model, section by section. What it answers is checked like everything else."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hisbus import NotEvaluated
from hisbus.agent import LLM
from hisbus_documentation.cited import Cited
from hisbus_documentation.gather import Material
from hisbus_documentation.sentences import split
from hisbus_documentation.source import Source
from hisbus_documentation.template import SectionTemplate
from hisbus_documentation.writer import Section, Sentence, assembled
from hisbus_schemas import Chart

_SYSTEM = """\
Draft one section of a document: {title}. Write in {language}, in the manner of such documents.
Each sentence names the entries of the record that it rests on by their labels, such as D1 or R3, and by "stay" what \
is said of the stay. Write only what they say. Copy numbers, units, dates, doses, sides, negations and names of \
diagnoses, drugs and operations as they stand there. Call nothing normal or absent that no entry calls so. If the \
record says nothing for the section, return no sentence."""
_QUESTION = "The section: {title} ({code}). What it is made from, above all: {labels}."
_LANGUAGES = {"zh": "Chinese", "en": "English"}
_MOST = 16
_REMEMBERED = 256
"""Documents."""


class Said(BaseModel):
    """A sentence of the model."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    text: Annotated[str, Field(min_length=1, max_length=300)]
    labels: Annotated[list[Annotated[str, Field(max_length=8)]], Field(max_length=8, description="Such as D1, stay")]


class Answer(BaseModel):
    """What the model is asked for: one section."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sentences: Annotated[list[Said], Field(max_length=_MOST)]


class Memory:
    """What the model wrote of late, so that an event which changes nothing that a document rests on asks nothing."""

    def __init__(self) -> None:
        self._written: OrderedDict[tuple[str, str], list[Section]] = OrderedDict()

    def get(self, encounter: str, fingerprint: str) -> list[Section] | None:
        """Return what was written from just this; None where nothing is remembered of it."""
        return self._written.get((encounter, fingerprint))

    def keep(self, encounter: str, fingerprint: str, written: list[Section]) -> None:
        """Remember what was written, and forget what is oldest."""
        self._written[encounter, fingerprint] = written
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)


class ModelWriter:
    """Asks a model for each section that has sources; assembles those to which it gives no usable answer."""

    def __init__(self, llm: LLM, chart: Chart, memory: Memory) -> None:
        """Write with this model from this chart."""
        self._llm, self._chart, self._memory = llm, chart, memory

    async def write(self, material: Material) -> list[Section]:
        """Return every section of the template, in its order; each says what came of asking.

        Raises:
            RetryLater: the model is down; nothing is written without it, for what it writes would never be shown.
            ConfigError: the model cannot be asked as the operator configured it.
        """
        encounter, fingerprint = self._chart.encounter, material.fingerprint
        written = self._memory.get(encounter, fingerprint)
        if written is None:
            cited = Cited(material, self._chart)
            asked = (self._section(cited, section, sources, material) for section, sources in material.sections)
            # All are waited for: nobody would take the answer to one that goes on after another has failed.
            done = await asyncio.gather(*asked, return_exceptions=True)
            written = [_returned(item) for item in done]
            self._memory.keep(encounter, fingerprint, written)
        return written

    async def _section(
        self, cited: Cited, section: SectionTemplate, sources: tuple[Source, ...], material: Material
    ) -> Section:
        if not sources:
            return assembled(section.code, sources)
        try:
            answer = await self._ask(cited, section, sources, material)
        except NotEvaluated:
            return assembled(section.code, sources, "unusable")
        sentences = (
            Sentence(text, cited.bearing(text, said.labels))
            for said in answer.sentences
            for text in (said.text[begin:end] for begin, end in split(said.text))
        )
        return Section(section.code, tuple(sentences), "model", "answered")

    async def _ask(
        self, cited: Cited, section: SectionTemplate, sources: tuple[Source, ...], material: Material
    ) -> Answer:
        """Ask with the whole record, which other agents have it read as well; where it is too long, with a part."""
        title = section.title.zh if material.language == "zh" else section.title.en
        system = _SYSTEM.format(title=material.template.title.en, language=_LANGUAGES[material.language])
        question = _QUESTION.format(title=title, code=section.code, labels=", ".join(cited.labels(sources)))

        async def ask(only: Collection[str] | None) -> Answer:
            answer: Answer = await self._llm.ask(system=system, question=question, answer=Answer, only=only)
            return answer

        try:
            return await ask(None)
        except NotEvaluated as error:
            if error.code != "prompt_too_long":
                raise
            return await ask(cited.ids)


def _returned(item: Section | BaseException) -> Section:
    if isinstance(item, BaseException):
        raise item
    return item
