"""The agent ``documentation``: drafts every document that a stay owes and nobody has signed."""

from collections.abc import Mapping
from typing import Literal

from hisbus import Case
from hisbus_documentation.draft import UNUSABLE, draft
from hisbus_documentation.gather import gather, language_of
from hisbus_documentation.grounding import Facts
from hisbus_documentation.model import Memory, ModelWriter
from hisbus_documentation.settings import configured
from hisbus_documentation.subject import due
from hisbus_documentation.template import TEMPLATES, Template
from hisbus_documentation.writer import Assembler, Writer
from hisbus_schemas import Assessment, Draft, Need, RuleInfo, Unevaluated

_CHANGES = frozenset(
    {
        "encounter.registered",
        "encounter.class_changed",
        "encounter.transferred",
        "encounter.transfer_cancelled",
        "encounter.beds_swapped",
        "encounter.updated",
        "encounter.discharge_cancelled",
        "encounter.cancelled",
        "encounter.moved",
        "encounter.attending_changed",
        "patient.merged",
        "patient.updated",
        "document.filed",
        "document.amended",
        "document.withdrawn",
        "diagnosis.recorded",
        "procedure.started",
        "order.placed",
        "order.changed",
        "order.stopped",
        "order.cancelled",
        "result.reported",
        "vitals.recorded",
    }
)
"""What changes what a draft rests on."""


_CALLED_FOR: Mapping[str, Literal["admission", "operation", "discharge"]] = {
    "admission": "admission",
    "operation": "operation",
    "discharge": "discharge",
}
"""The facts of a stay that documents are due for, as ``Need.after`` has them."""


def _needs(template: Template) -> tuple[Need, ...]:
    """Return what must come, or a draft would wait for ever.

    Of a class that it is not for, a document is not owed. What a stay owes somebody signs in the HIS: where that never
    comes, each stay would seem to lack it. A note of a visit is owed to who recorded the visit.
    """
    its_class = [Need(item="class", after="admission")] if template.classes else []
    signed = Need(item=f"document:{template.type}", after=_CALLED_FOR.get(template.due, ""))
    return (*its_class, *([] if template.due == "transcript" else [signed]))


class Agent:
    """Drafts documents from the record, each sentence with its sources. A person finishes them."""

    name = "documentation"
    version = "1"
    kinds = _CHANGES | {event for template in TEMPLATES.values() for event in template.events}
    grants = frozenset({"patient", "documents", "diagnoses", "procedures", "orders", "results", "vitals"})
    latest_only = True
    asks = True
    needs = {id: _needs(template) for id, template in sorted(TEMPLATES.items()) if _needs(template)}
    rules = {id: RuleInfo(title=template.title) for id, template in TEMPLATES.items()}

    def __init__(self) -> None:
        self._memory = Memory()

    async def assess(self, case: Case) -> Assessment:
        """Draft every document that is due and not signed; nothing is drafted for a stay that was cancelled.

        What was said makes no document without a model: it is sorted by what it is about, and called a transcript.

        ``unevaluated`` names ``TEMPLATE.model`` where the model gave no usable answer for a document: it is assembled.

        Raises:
            RetryLater: the model is configured, wanted and down.
            ConfigError: the settings are wrong; the message names the key.
        """
        wanted = configured(case.settings)
        chart = case.chart
        writer: Writer = Assembler()
        if case.llm is not None and wanted.model:
            writer = ModelWriter(case.llm, chart, self._memory)
        facts, language = Facts.of(chart), wanted.language or language_of(chart)
        drafts: list[Draft] = []
        unusable: dict[str, Unevaluated] = {}
        for template in wanted.templates:
            if any(need.lacking(case.coverage, chart.department) for need in self.needs.get(template.id, ())):
                continue  # the bus says so; the model need not be asked
            for subject in due(template, chart, case.now, wanted.transcripts):
                material = gather(template, chart, subject, language)
                written = await writer.write(material)
                if any(section.model == "unusable" for section in written):
                    name = f"{template.id}.model"
                    unusable[name] = Unevaluated(rule=name, reason="model", text=UNUSABLE)
                item = draft(material, written, facts, chart, case.llm.model if case.llm else "")
                drafts += [item] if item else []
        return Assessment(
            evaluated=frozenset(template.id for template in wanted.templates),
            unevaluated=list(unusable.values()),
            proposals=drafts,
            unverified=sum(sum(item.payload["removed"].values()) for item in drafts),
        )
