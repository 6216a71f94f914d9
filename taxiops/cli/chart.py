"""A small chart of gains and their intervals in plain characters, the same in every locale."""

import math
from collections.abc import Mapping
from typing import Any

COLUMNS = 33
# A gain beyond this many percent is drawn at the edge.
FARTHEST = 400.0
LEGEND = "gain over the baseline: | none, o measured, - its interval; right is better"


def gains_chart(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a metric of comparison.json; empty when none has figures that can be drawn."""
    rows = {name: gain for name, metric in metrics.items() if (gain := gain_percent(metric))}
    if not rows:
        return ""
    first = max(min(0.0, *(low for _, low, _ in rows.values())), -FARTHEST)
    last = min(max(0.0, *(high for _, _, high in rows.values())), FARTHEST)
    widest = max(map(len, rows))
    lines = [
        f"{name:<{widest}}  {gain[0]:>+8.1f} %  {drawn(gain, first, last)}"
        for name, gain in rows.items()
    ]
    return "\n".join((*lines, LEGEND))


def gain_percent(metric: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """The gain and its interval, lower end first, in percent of the baseline; more is better."""
    names = ("change", "ci_low", "ci_high", "baseline")
    try:
        change, low, high, baseline = (float(metric[name]) for name in names)
    except (KeyError, TypeError, ValueError):
        return None
    if not baseline or not all(map(math.isfinite, (change, low, high, baseline))):
        return None
    scale = 100 / abs(baseline)
    if metric.get("direction") == "lower_is_better":
        return -change * scale, -high * scale, -low * scale
    return change * scale, low * scale, high * scale


def drawn(gain: tuple[float, float, float], first: float, last: float) -> str:
    """The interval as dashes around its point, with a bar at no difference."""
    measured, low, high = (column(each, first, last) for each in gain)
    cells = [" "] * COLUMNS
    cells[low : high + 1] = "-" * (high + 1 - low)
    cells[column(0.0, first, last)] = "|"
    cells[measured] = "o"
    return "[" + "".join(cells) + "]"


def column(percent: float, first: float, last: float) -> int:
    part = (percent - first) / (last - first) if last > first else 0.5
    return round(min(max(part, 0.0), 1.0) * (COLUMNS - 1))
