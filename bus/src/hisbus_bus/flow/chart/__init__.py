"""The chart step: every event in once, each chart a pure fold of its events."""

from hisbus_bus.flow.chart.step import ChartStep

__all__ = ["ChartStep"]
