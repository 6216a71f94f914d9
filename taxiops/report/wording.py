"""Figures and names as people read them; the one place that rounds."""

import re
from dataclasses import dataclass

from taxiops.domain.comparison import (
    IMPROVED,
    INCONCLUSIVE,
    NO_BASELINE,
    NOT_IMPROVED,
    Comparison,
    Metric,
)
from taxiops.domain.policy import LOWER, Policy

MINUS = "\N{MINUS SIGN}"
NAMES = {"mae": "MAE", "rmse": "RMSE", "r2": "R²", "mape": "MAPE"}
MEANINGS = {
    "mae": "mean absolute error of a fare",
    "rmse": "root mean squared error; large errors weigh more",
    "r2": "part of the fares' variance that is explained",
    "mape": "mean absolute error as a part of the fare",
}
VERDICTS = {
    IMPROVED: "The candidate is better",
    NOT_IMPROVED: "The candidate is not good enough",
    INCONCLUSIVE: "Not decided: more trips are needed",
    NO_BASELINE: "There is no released model to beat",
}
SYMBOLS = {IMPROVED: "✔", NOT_IMPROVED: "✘", INCONCLUSIVE: "?", NO_BASELINE: "?"}
SHORT = {IMPROVED: "better", NOT_IMPROVED: "worse", INCONCLUSIVE: "inconclusive"}
# Characters that no page, plot or comment can hold, or that turn the writing direction around.
UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


@dataclass(frozen=True)
class Gain:
    """The candidate's gain as a percentage of the baseline; above 0 is better, whatever metric."""

    percent: float
    low_percent: float
    high_percent: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low_percent > 0 or self.high_percent < 0


def gain_of(metric: Metric) -> Gain:
    """0 all over when the baseline is 0, for then no gain is defined."""
    scale = 100 / abs(metric.baseline) if metric.baseline else 0.0
    if metric.direction == LOWER:
        scale = -scale
    ends = sorted((metric.ci_low * scale, metric.ci_high * scale))
    return Gain(bounded(metric.change * scale), bounded(ends[0]), bounded(ends[1]))


def bounded(percent: float) -> float:
    """Far beyond what a chart shows, yet finite."""
    return min(max(percent, -1e6), 1e6)


def figure(metric: Metric, name: str, value: float, *, is_signed: bool = False) -> str:
    """A metric's figure with its unit: MAPE in percent, fares in USD."""
    if name == "mape":
        return f"{decimal(100 * value, 2, is_signed)} {'points' if is_signed else '%'}"
    if metric.unit == "USD":
        return f"{decimal(value, 3, is_signed)} USD"
    return decimal(value, 4, is_signed)


def decimal(value: float, digits: int, is_signed: bool = False) -> str:
    if abs(value) >= 1e9:
        return f"{value:.3g}".replace("-", MINUS)
    text = f"{value:{'+' if is_signed else ''}.{digits}f}"
    if not float(text):
        return f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def percent(value: float) -> str:
    """Such as `+4.2 %`."""
    return f"{decimal(value, 1, True)} %"


def count(number: int) -> str:
    return f"{number:,}"


def plain(text: str, longest: int = 300) -> str:
    """Text without characters that cannot be shown, on one line, cut when it is long."""
    shown = " ".join(UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text).split())
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def baseline_name(comparison: Comparison) -> str:
    """Which model was to beat, in words."""
    baseline = comparison.baseline
    if baseline.kind == "naive":
        return "the naive fare (fitted on the training trips)"
    where = "serving now" if baseline.kind == "serving" else "newest in the registry"
    return f"{plain(baseline.name, 100)} version {plain(baseline.version, 50)} ({where})"


def uncompared_slices(comparison: Comparison) -> str:
    """The slices without an interval and how many trips each has; empty when there are none."""
    named = [f"{plain(each.name, 60)} ({count(each.rows)})" for each in comparison.uncompared[:60]]
    return "; ".join(named)


def policy_rows(policy: Policy) -> list[tuple[str, str]]:
    """Every rule by the name it has in [tool.taxiops.gate], with what it says."""
    return [(name, plain(rule(value), 100)) for name, value in policy.document().items()]


def rule(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {limit:g}" for name, limit in value.items()) or "none"
    return str(value)
