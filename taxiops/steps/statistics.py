"""Exact sums of paired errors by block, and from them metrics, differences and intervals.

Every trip belongs to one of BLOCKS blocks by a hash of its ride, and both models' errors of a block
travel together, so one pass over the trips is enough and memory is fixed. How much a block moves a
difference is its influence: the derivative of the difference by the sums, times the block's sums
(the infinitesimal jackknife: Jaeckel 1972; Efron, The Jackknife, the Bootstrap and Other Resampling
Plans, 1982, chapter 6). The interval is that of Student's t with the degrees of freedom that the
influences' kurtosis leaves (Satterthwaite 1946), so that few blocks that decide much, as heavy
tails make them, widen it. tests/benchmarks/bench_gate.py measures how often it covers the truth;
percentiles of a bootstrap over the same blocks covered R squared in 92 of 100 trials.

Errors are summed as whole millionths, so the sums are exact and no batch size or row order can
change a digit.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from taxiops.domain.policy import HIGHER, LOWER
from taxiops.steps.identity import BLOCKS

MILLIONTHS = 1e6
CENTS_SQUARED = 1e4
# MAPE divides by the fare, but never by less than this.
LEAST_DIVISOR_USD = 1.0
# Beyond this a prediction is no fare; the limit keeps every sum exact.
LARGEST_PREDICTION_USD = 10_000.0
DIGITS = 9
FEWEST_BLOCKS = 2

SUMS = ("rows", "fare", "fare_sq", "abs_c", "abs_b", "sq_c", "sq_b", "ape_c", "ape_b")
Sums = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """How a metric follows from the sums of one model; arrays of sums give arrays of figures.

    slopes: the derivative of candidate minus baseline by each sum that matters.
    """

    unit: str
    direction: str
    of: Callable[[Mapping[str, Any], str], Any]
    slopes: Callable[[Mapping[str, Any]], dict[str, float]]


def mae(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401 - scalar in, scalar out
    return sums[f"abs_{model}"] / MILLIONTHS / sums["rows"]


def rmse(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401
    return np.sqrt(sums[f"sq_{model}"] / MILLIONTHS / sums["rows"])


def r2(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401
    return 1 - sums[f"sq_{model}"] / MILLIONTHS / spread_of(sums)


def spread_of(sums: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The sum of squared distances of the fares from their mean, in USD squared."""
    return (sums["fare_sq"] - sums["fare"] * (sums["fare"] / sums["rows"])) / CENTS_SQUARED


def mape(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401
    return sums[f"ape_{model}"] / MILLIONTHS / sums["rows"]


def mean_slopes(sums: Mapping[str, Any], term: str) -> dict[str, float]:
    """Of a difference of two means of `term`."""
    rows = sums["rows"]
    own, other = 1 / MILLIONTHS / rows, -1 / MILLIONTHS / rows
    change = (sums[f"{term}_c"] - sums[f"{term}_b"]) / MILLIONTHS / rows
    return {f"{term}_c": own, f"{term}_b": other, "rows": -change / rows}


def mae_slopes(sums: Mapping[str, Any]) -> dict[str, float]:
    return mean_slopes(sums, "abs")


def mape_slopes(sums: Mapping[str, Any]) -> dict[str, float]:
    return mean_slopes(sums, "ape")


def rmse_slopes(sums: Mapping[str, Any]) -> dict[str, float]:
    rows, ours, theirs = sums["rows"], rmse(sums, "c"), rmse(sums, "b")
    return {
        "sq_c": 1 / (2 * MILLIONTHS * rows * ours) if ours else 0.0,
        "sq_b": -1 / (2 * MILLIONTHS * rows * theirs) if theirs else 0.0,
        "rows": (theirs - ours) / (2 * rows),
    }


def r2_slopes(sums: Mapping[str, Any]) -> dict[str, float]:
    mean, spread = sums["fare"] / sums["rows"], spread_of(sums)
    # Both models share the spread of the fares, so its slope is that of the whole difference.
    by_spread = (sums["sq_c"] - sums["sq_b"]) / MILLIONTHS / spread**2 / CENTS_SQUARED
    return {
        "sq_c": -1 / MILLIONTHS / spread,
        "sq_b": 1 / MILLIONTHS / spread,
        "fare_sq": by_spread,
        "fare": -2 * by_spread * mean,
        "rows": by_spread * mean**2,
    }


METRICS = {
    "mae": Metric("USD", LOWER, mae, mae_slopes),
    "rmse": Metric("USD", LOWER, rmse, rmse_slopes),
    "r2": Metric("ratio", HIGHER, r2, r2_slopes),
    "mape": Metric("ratio", LOWER, mape, mape_slopes),
}


def error_terms(fares: Floats, candidate: Floats, baseline: Floats) -> list[Floats]:
    """What is summed, one array for each of SUMS, all whole numbers."""
    cents = np.rint(fares * 100)
    divisors = np.maximum(np.abs(fares), LEAST_DIVISOR_USD)
    off_c, off_b = np.abs(candidate - fares), np.abs(baseline - fares)
    return [
        np.ones(len(fares)),
        cents,
        cents * cents,
        *(np.rint(term * MILLIONTHS) for term in (off_c, off_b, off_c * off_c, off_b * off_b)),
        *(np.rint(term / divisors * MILLIONTHS) for term in (off_c, off_b)),
    ]


def sums_by(groups: NDArray[np.int64], count: int, terms: list[Floats]) -> Sums:
    """Sums of every term by group: shape (count, len(SUMS)). Exact, for the terms are whole."""
    return np.stack(
        [np.bincount(groups, term, minlength=count).astype(np.int64) for term in terms], axis=1
    )


def figures(sums: Sums) -> dict[str, Floats]:
    """SUMS by name along the last axis, as floats."""
    return {name: sums[..., at].astype(np.float64) for at, name in enumerate(SUMS)}


def is_defined(metric: str, blocks: Sums) -> bool:
    """Whether the metric has a value for these trips, and a spread: one block alone has none."""
    if np.count_nonzero(blocks[:, 0]) < FEWEST_BLOCKS:
        return False
    exact = figures(blocks.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [METRICS[metric].of(exact, model) for model in ("c", "b")]
    return bool(np.isfinite(values).all())


def influences(metric: str, blocks: Sums) -> Floats:
    """How much each block with trips moves the difference; they sum to nothing but rounding."""
    used = blocks[np.flatnonzero(blocks[:, 0])].astype(np.float64)
    slopes = METRICS[metric].slopes(figures(blocks.sum(axis=0)))
    moved: Floats = used @ np.array([slopes.get(name, 0.0) for name in SUMS])
    return moved


def half_width(influence: Floats, confidence: float) -> float:
    """Half of the interval around a difference, from the influences of the blocks."""
    count = len(influence)
    second = float(np.mean(influence**2))
    if not second:
        return 0.0
    kurtosis = float(np.mean(influence**4)) / second**2
    # The variance of a variance: exactly normal influences leave as many degrees as blocks.
    degrees = 2 * count / max(kurtosis - 1, 2 / count)
    error = math.sqrt(second * count * count / (count - 1))
    return error * float(stdtrit(degrees, (1 + confidence) / 2))


def compared(metric: str, blocks: Sums, confidence: float) -> dict[str, Any]:
    """The figures of one metric as comparison.json has them; it must be defined.

    change is candidate minus baseline; relative_change is change over the baseline's size; the
    interval is that of the paired change at this confidence.
    """
    spec = METRICS[metric]
    exact = figures(blocks.sum(axis=0))
    candidate, baseline = float(spec.of(exact, "c")), float(spec.of(exact, "b"))
    half = half_width(influences(metric, blocks), confidence)
    low, high = candidate - baseline - half, candidate - baseline + half
    candidate, baseline = rounded(candidate), rounded(baseline)
    change = rounded(candidate - baseline)
    return {
        "unit": spec.unit,
        "direction": spec.direction,
        "candidate": candidate,
        "baseline": baseline,
        "change": change,
        "relative_change": rounded(change / abs(baseline)) if baseline else 0.0,
        "ci_low": rounded(low),
        "ci_high": rounded(high),
    }


def rounded(number: float) -> float:
    """Nine digits after the point: far below a cent, far above what processors disagree on."""
    return round(number, DIGITS) + 0.0


def empty_sums(groups: int) -> Sums:
    return np.zeros((groups, BLOCKS, len(SUMS)), np.int64)
