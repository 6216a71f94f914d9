"""Exact sums of paired errors by block, and from them metrics, differences and intervals.

The paired bootstrap resamples blocks of trips, not trips: every trip belongs to one of BLOCKS
blocks by a hash of its ride, both models' errors of a block travel together, and a replicate is a
weighted sum of block sums. So one pass over the trips is enough and memory is fixed, in the manner
of the bag of little bootstraps (Kleiner et al., JRSS B 2014) and of paired tests on shared test
sets (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).

Errors are summed as whole millionths, so the sums are exact and no batch size or row order can
change a digit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.domain.policy import HIGHER, LOWER
from taxiops.steps.identity import BLOCKS

REPLICATES = 2_000
MILLIONTHS = 1e6
# MAPE divides by the fare, but never by less than this.
LEAST_DIVISOR_USD = 1.0
# Beyond this a prediction is no fare; the limit keeps every sum exact.
LARGEST_PREDICTION_USD = 10_000.0
DIGITS = 9

SUMS = ("rows", "fare", "fare_sq", "abs_c", "abs_b", "sq_c", "sq_b", "ape_c", "ape_b")
Sums = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """How a metric follows from the sums of one model; arrays of sums give arrays of figures."""

    unit: str
    direction: str
    of: Callable[[Mapping[str, Any], str], Any]


def mae(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401 - scalar in, scalar out
    return sums[f"abs_{model}"] / MILLIONTHS / sums["rows"]


def rmse(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401
    return np.sqrt(sums[f"sq_{model}"] / MILLIONTHS / sums["rows"])


def r2(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401
    spread = (sums["fare_sq"] - sums["fare"] * (sums["fare"] / sums["rows"])) / 1e4
    return 1 - sums[f"sq_{model}"] / MILLIONTHS / spread


def mape(sums: Mapping[str, Any], model: str) -> Any:  # noqa: ANN401
    return sums[f"ape_{model}"] / MILLIONTHS / sums["rows"]


METRICS = {
    "mae": Metric("USD", LOWER, mae),
    "rmse": Metric("USD", LOWER, rmse),
    "r2": Metric("ratio", HIGHER, r2),
    "mape": Metric("ratio", LOWER, mape),
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


class Bootstrap:
    """Replicates of the test set: how often each block is drawn in each. Fixed by the seed."""

    def __init__(self, blocks: Sums, seed: int) -> None:
        self._used = np.flatnonzero(blocks[:, 0])
        random = np.random.Generator(np.random.PCG64(seed))
        chances = np.full(len(self._used), 1 / len(self._used))
        drawn = random.multinomial(len(self._used), chances, size=REPLICATES)
        self._drawn = drawn.astype(np.float64)

    def totals(self, blocks: Sums) -> dict[str, Floats]:
        """The sums of every replicate of these blocks (of all trips or of one slice)."""
        totals = self._drawn @ blocks[self._used].astype(np.float64)
        return {name: totals[:, at] for at, name in enumerate(SUMS)}


def is_defined(metric: str, blocks: Sums) -> bool:
    """Whether the metric has a value for these trips."""
    exact = figures(blocks.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [METRICS[metric].of(exact, model) for model in ("c", "b")]
    return bool(np.isfinite(values).all())


def compared(
    metric: str, blocks: Sums, replicates: Mapping[str, Floats], confidence: float
) -> dict[str, Any]:
    """The figures of one metric as comparison.json has them.

    change is candidate minus baseline; relative_change is change over the baseline's size; the
    interval is the percentile interval of the paired change at this confidence.
    """
    spec = METRICS[metric]
    exact = figures(blocks.sum(axis=0))
    candidate, baseline = float(spec.of(exact, "c")), float(spec.of(exact, "b"))
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = spec.of(replicates, "c") - spec.of(replicates, "b")
    # A replicate that drew no trip of a small slice, or one fare only, says nothing.
    changes = changes[np.isfinite(changes)]
    if not len(changes):
        changes = np.array([candidate - baseline])
    low, high = np.quantile(changes, [(1 - confidence) / 2, (1 + confidence) / 2])
    candidate, baseline = rounded(candidate), rounded(baseline)
    change = rounded(candidate - baseline)
    return {
        "unit": spec.unit,
        "direction": spec.direction,
        "candidate": candidate,
        "baseline": baseline,
        "change": change,
        "relative_change": rounded(change / abs(baseline)) if baseline else 0.0,
        "ci_low": rounded(float(low)),
        "ci_high": rounded(float(high)),
    }


def rounded(number: float) -> float:
    """Nine digits after the point: far below a cent, far above what processors disagree on."""
    return round(number, DIGITS) + 0.0


def empty_sums(groups: int) -> Sums:
    return np.zeros((groups, BLOCKS, len(SUMS)), np.int64)
