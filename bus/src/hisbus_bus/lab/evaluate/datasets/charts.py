"""A folder of charts: ``NAME.chart.json``, a chart as the contract has it, and ``NAME.expected.json``, its answer.

The answer is an ``Expected``. A document that somebody signed can be the reference of its draft: ``{"documents":
[{"rule": "discharge-record", "entry": "ID"}]}`` takes it out of the chart before the agent sees it. What the site of
the charts brings may stand in ``coverage.json`` (``Coverage``); without it everything is connected.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from hisbus.errors import ConfigError
from hisbus_bus.lab.evaluate.sample import EVERYTHING, DataSet, Expected, Reference, ReferenceSection, Sample, named_by
from hisbus_schemas import Chart, Coverage

T = TypeVar("T", Chart, Expected, Coverage)
CHART = ".chart.json"
EXPECTED = ".expected.json"
COVERAGE = "coverage.json"


def is_one(path: Path) -> bool:
    """Tell whether a folder holds such charts."""
    return path.is_dir() and any(path.glob(f"*{EXPECTED}"))


def read(path: Path) -> DataSet:
    """Read a folder.

    Raises:
        ConfigError: a file cannot be read; names it and the keys that are wrong.
    """
    names = sorted(file.name.removesuffix(EXPECTED) for file in path.glob(f"*{EXPECTED}"))
    coverage = _read(path / COVERAGE, Coverage) if (path / COVERAGE).exists() else EVERYTHING
    return DataSet(path.name, "charts", [_sample(path, name, coverage) for name in names])


def _sample(folder: Path, name: str, coverage: Coverage) -> Sample:
    chart = _read(folder / f"{name}{CHART}", Chart)
    expected = _read(folder / f"{name}{EXPECTED}", Expected)
    hidden = {reference.entry for reference in expected.documents if reference.entry}
    documents = [_with_text(folder / f"{name}{EXPECTED}", chart, reference) for reference in expected.documents]
    seen = [document for document in chart.documents if document.id not in hidden]
    known = expected.model_copy(update={"documents": documents})
    return Sample(name, chart.model_copy(update={"documents": seen}), known, coverage)


def _with_text(file: Path, chart: Chart, reference: Reference) -> Reference:
    """Return a reference with the sections of the document that it names."""
    if not reference.entry:
        return reference
    signed = next((document for document in chart.documents if document.id == reference.entry), None)
    if signed is None:
        raise ConfigError(f"{file}: documents: the chart has no document {reference.entry!r}.")
    sections = [ReferenceSection(name=part.name, title=part.title, text=part.text) for part in signed.sections]
    return reference.model_copy(update={"sections": sections})


def _read(file: Path, form: type[T]) -> T:
    try:
        return form.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read. A case is NAME{CHART} with NAME{EXPECTED}.") from error
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_context=False, include_url=False)
        raise ConfigError(f"{file}: {named_by(mistakes)}") from None
