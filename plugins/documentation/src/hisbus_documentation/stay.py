"""Facts of the stay in words: who, when, diagnoses, operations, orders."""

from collections.abc import Iterator

from hisbus_documentation.grounding.facts import age
from hisbus_documentation.phrases import Language, say, when, word
from hisbus_documentation.source import Source, at, entry
from hisbus_documentation.subject import Subject
from hisbus_documentation.template import Feed
from hisbus_schemas import Chart, ChartOrder, ChartProcedure


def admission(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield when the patient came, and where."""
    if chart.admitted is None:
        return
    text = say("admission", language, time=when(chart.admitted), department=chart.department)
    proof = [at("admitted", chart.stay("admitted"))]
    reads = [chart.stay_ref("admitted")]
    if chart.department:
        proof.append(at("department", chart.department))
        reads.append(chart.stay_ref("department"))
    yield Source(text, tuple(proof), tuple(reads))


def discharge(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield when the patient left, and after how many days."""
    if chart.discharged is None:
        return
    proof = [at("discharged", chart.stay("discharged"))]
    reads = [chart.stay_ref("discharged")]
    days = 0
    if chart.admitted is not None:
        days = (chart.discharged.local().date() - chart.admitted.local().date()).days
        proof.append(at("admitted", chart.stay("admitted")))
        reads.append(chart.stay_ref("admitted"))
    text = say("discharge", language, time=when(chart.discharged), days=str(days) if days > 0 else "")
    yield Source(text, tuple(proof), tuple(reads))


def person(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield sex, and age on admission."""
    patient = chart.patient
    if patient is None:
        return
    sex = word("sex", patient.sex, language)
    born = patient.birth_date
    years = age(born, chart.admitted.local().date()) if born and chart.admitted else None
    names = (["sex"] if sex else []) + (["birth_date"] if years is not None else [])
    if names:
        yield Source(
            say("person", language, sex=sex, age="" if years is None else str(years)),
            tuple(at(f"patient/{name}", chart.stay(f"patient.{name}")) for name in names),
            tuple(chart.stay_ref(f"patient.{name}") for name in names),
        )


def diagnoses(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield the diagnoses of the first type that there is, one to a sentence, the principal one first."""
    for type in feed.types:
        found = sorted(
            (item for item in chart.diagnoses if item.status == type), key=lambda item: (item.rank or 99, item.id)
        )
        for item in found:
            name, code = item.code.text or item.code.code, item.code.code if item.code.text else ""
            if name:
                text = say("diagnosis", language, name=name, code=code)
                yield Source(text, (entry("diagnoses", item, name),), (item.ref,))
        if found:
            return


def operation(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield the operation that the document is about."""
    if subject.operation is not None:
        yield _operated(subject.operation, language)


def operations(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield every operation that the document covers, in the order of time."""
    found = [item for item in chart.procedures if item.operation and item.start and subject.covers(item.start.at)]
    for item in sorted(found, key=lambda item: (item.start.at if item.start else chart.now, item.id)):
        yield _operated(item, language)


def orders(chart: Chart, feed: Feed, subject: Subject, language: Language) -> Iterator[Source]:
    """Yield the orders that stand, the newest ones, in the order of time."""
    standing = [
        item
        for item in chart.orders
        if item.status != "cancelled"
        and (item.what.text or item.what.code)
        and subject.covers(item.time.at if item.time else None)
    ]
    for item in sorted(standing, key=_ordered)[-feed.most :]:
        what = item.what.text or item.what.code
        yield Source(
            say("order", language, time=when(item.time), what=what), (entry("orders", item, what),), (item.ref,)
        )


def _ordered(item: ChartOrder) -> tuple[str, str]:
    return (item.time.at.isoformat() if item.time else "", item.id)


def _operated(item: ChartProcedure, language: Language) -> Source:
    name = item.code.text or item.code.code
    surgeon = item.surgeon.name if item.surgeon else ""
    text = say("operation", language, name=name, start=when(item.start), end=when(item.end), surgeon=surgeon)
    proof = [entry("procedures", item, name)]
    proof += [
        entry("procedures", item, moment.isoformat(), field)
        for field, moment in (("start", item.start), ("end", item.end))
        if moment is not None
    ]
    return Source(text, tuple(proof), (item.ref,))
