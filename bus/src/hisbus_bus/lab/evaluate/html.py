"""The report for reading: one file, Chinese and English, without a script and without a network."""

from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hisbus_bus.lab import plots
from hisbus_bus.lab.evaluate.coding import CodingReport
from hisbus_bus.lab.evaluate.compare import Change, Comparison
from hisbus_bus.lab.evaluate.documents import OTHER
from hisbus_bus.lab.evaluate.indicators import IndicatorsReport
from hisbus_bus.lab.evaluate.report import LabelFigures, Rate, Report
from hisbus_bus.lab.plots import Row

MOST_ROWS = 40
"""Labels and cases that a plot or table shows; all of them are in the JSON."""
MOST_ITEMS = 200
"""Sentences and labels of one list."""

FIGURES: Mapping[str, tuple[str, str]] = {
    "f1": ("F1", "F1"),
    "captured": ("事实记录率", "Facts captured"),
    "accurate": ("事实准确率", "Facts accurate"),
    "unsupported": ("无依据语句率", "Unsupported sentences"),
    "omitted": ("遗漏语句率", "Omitted sentences"),
    "contradictions": ("矛盾数", "Contradictions"),
    "copied": ("照抄比例", "Copied text"),
    "edit_distance": ("修改距离", "Edit distance"),
    "points": ("评分", "Points"),
}
"""What figures are called, in Chinese and English."""
DIMENSIONS: Mapping[str, tuple[str, str]] = {
    "contradiction": ("与参考文书矛盾", "Contradictions with the reference"),
    "unsupported": ("无病历依据的语句", "Sentences without support in the record"),
    "omitted": ("参考文书有而草稿遗漏的语句", "Sentences of the reference that the draft lacks"),
    "captured": ("未记录的事实", "Facts of the reference that were not captured"),
    "accurate": ("不准确的事实", "Facts that neither reference nor record has"),
    "copied": ("照抄病历的语句", "Sentences copied from the record"),
}
"""In the order in which their items are listed."""


def page(report: Report) -> str:
    """Return the page of one run."""
    return _environment().get_template("report.html").render(
        report=report,
        labels=_shown(report),
        mistakes=[item for item in report.label_items if item.outcome in {"fp", "fn"}],
        items={
            dimension: [item for item in report.document_items if item.dimension == dimension and not item.good]
            for dimension in DIMENSIONS
        },
        label_plot=_label_plot(_shown(report)),
        section_plot=_section_plot(report),
        seconds_plot=plots.histogram(
            [case.seconds for case in report.cases if not case.failed], "每例耗时（秒） / Seconds per case", " s"
        ),
        overlap_plot=plots.histogram(
            [item.tokens for item in report.label_items if item.tokens is not None],
            "证据重合度 / Evidence overlap", most=1.0,
        ),
    )  # fmt: skip


def comparison_page(comparison: Comparison) -> str:
    """Return the page of two runs."""
    moved = sorted(
        (one for one in comparison.labels if one.gained or one.lost),
        key=lambda one: (-len(one.gained) - len(one.lost), one.name),
    )
    rows = [(one.name, len(one.gained), len(one.lost)) for one in moved[:MOST_ROWS]]
    return _environment().get_template("comparison.html").render(
        comparison=comparison,
        moved=moved[:MOST_ROWS],
        hidden=max(0, len(moved) - MOST_ROWS),
        plot=plots.changes(rows, "各规则或编码的变化病例数 / Cases that changed, by label"),
        verdict=verdict(comparison.cases),
    )  # fmt: skip


def coding_page(report: CodingReport) -> str:
    """Return the page of how right proposed codes are."""
    title = "可信度校准 / Calibration of confidence"
    plot = [plots.calibration([(one.name, one.mean, one.right) for one in half.steps], title) for half in report.halves]
    halves = list(zip(report.halves, plot, strict=True))
    return _environment().get_template("coding.html").render(report=report, halves=halves)


def indicators_page(report: IndicatorsReport) -> str:
    """Return the page of how well indicators were told."""
    return _environment().get_template("indicators.html").render(report=report)


def verdict(cases: Change | None) -> tuple[str, str] | None:
    """Return in Chinese and English what the paired test over whole cases says; None where there is none."""
    if cases is None:
        return None
    gained, lost = len(cases.gained), len(cases.lost)
    zh, en = (
        f"仅第二次正确{gained}例，仅第一次正确{lost}例",
        f"The second alone is right in {gained} cases, the first alone in {lost}",
    )
    if cases.p < 0.05:
        better = ("第二次", "second") if gained > lost else ("第一次", "first")
        return f"{zh}：{better[0]}更好（p = {cases.p:.2g}）。", f"{en}: the {better[1]} is better (p = {cases.p:.2g})."
    return f"{zh}：差异可能出于偶然（p = {cases.p:.2g}）。", f"{en}: that may be chance (p = {cases.p:.2g})."


def _shown(report: Report) -> Sequence[LabelFigures]:
    """Return the labels that are shown: those that say most."""
    each = report.labels.each if report.labels is not None else []
    busiest = sorted(each, key=lambda one: (-(one.tp + one.fp + one.fn), one.name))[:MOST_ROWS]
    return sorted(busiest, key=lambda one: one.name)


def _label_plot(labels: Sequence[LabelFigures]) -> Markup | None:
    shown = [one for one in labels if one.tp + one.fp + one.fn]
    if not shown:
        return None
    rows = [Row(one.name, (one.precision, one.recall, one.f1)) for one in shown]
    return plots.intervals(rows, "查准率、查全率、F1 及 95% 区间 / Precision, recall and F1 with 95 % intervals")


def _section_plot(report: Report) -> Markup:
    sections = report.documents.sections if report.documents is not None else []
    rows = [
        Row(one.title or "全部 / All", (one.captured, one.accurate, one.unsupported, one.omitted))
        for one in sections
        if one.name != OTHER
    ]
    return plots.intervals(
        rows, "各章节的记录、准确、无依据、遗漏 / Captured, accurate, unsupported and omitted by section"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"


def _interval(rate: Rate) -> str:
    return "" if rate.low is None or rate.high is None else f"{rate.low * 100:.1f}–{rate.high * 100:.1f}"


def _rate(rate: Rate) -> str:
    """Return a rate with its interval."""
    return f"{_percent(rate.value)} ({_interval(rate)})" if _interval(rate) else _percent(rate.value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _brief(value: float | None) -> str:
    """Return a value to three digits, however small."""
    return "–" if value is None else f"{value:.3g}"


def _number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}".rstrip("0").rstrip(".")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("hisbus_bus.lab.evaluate", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(
        rate=_rate, interval=_interval, brief=_brief, duration=_duration, percent=_percent, number=_number
    )
    made.globals.update(key=plots.key, FIGURES=FIGURES, DIMENSIONS=DIMENSIONS, OTHER=OTHER, MOST=MOST_ITEMS)
    return made
