"""Quantiles of both models' absolute errors and their mean signed error, with paired intervals.

From counts by group and bin: one pass, fixed memory.

A quantile's influence function is (level - [error <= quantile]) / density (Hampel, The Influence
Curve and its Role in Robust Estimation, JASA 1974). One over the density is the slope of the
quantiles, taken over the bandwidth of Hall and Sheather (On the Distribution of a Studentized
Quantile, JRSS B 1988).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from taxiops.steps.statistics import MILLIONTHS, half_width

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
FINE_USD, FINE_BINS = 0.05, 4_000
# Fewer than there are blocks, so that counts by group and bin stay small.
GROUPS = 128
HALL_SHEATHER_ALPHA = 0.05
MODELS = ("candidate", "baseline")
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class ErrorQuantiles:
    """Counts of the errors seen so far, candidate first."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, GROUPS, FINE_BINS + 1), np.int64)
        self._signed = np.zeros((2, GROUPS), np.int64)

    def add(self, blocks: Counts, candidate: Floats, baseline: Floats) -> None:
        """The next trips' signed errors in USD, prediction minus fare, and their blocks."""
        groups = blocks % GROUPS
        starts, size = groups * (FINE_BINS + 1), GROUPS * (FINE_BINS + 1)
        for at, errors in enumerate((candidate, baseline)):
            bins = np.minimum(np.abs(errors) / FINE_USD, FINE_BINS).astype(np.int64)
            counted = np.bincount(starts + bins, minlength=size)
            self._counts[at] += counted.reshape(GROUPS, -1)
            whole = np.rint(errors * MILLIONTHS)
            self._signed[at] += np.bincount(groups, whole, GROUPS).astype(np.int64)

    def document(self, confidence: float) -> dict[str, Any]:
        """error_quantiles and bias_usd of samples.json."""
        rows = self._counts[0].sum(axis=1)
        used = rows > 0
        counts, signed, rows = self._counts[:, used], self._signed[:, used], rows[used]
        quantiles = [compared_quantile(counts, rows, level, confidence) for level in LEVELS]
        columns = [list(column) for column in zip(*quantiles, strict=True)]
        names = (*MODELS, "ci_low", "ci_high")
        return {
            "error_quantiles": {
                "levels": list(LEVELS),
                **dict(zip(names, columns, strict=True)),
            },
            "bias_usd": dict(
                zip(names, compared_bias(signed / MILLIONTHS, rows, confidence), strict=True)
            ),
        }


def compared_quantile(
    counts: Counts, rows: Counts, level: float, confidence: float
) -> tuple[float, ...]:
    """Both models' quantile in USD and the interval of the difference.

    counts: (model, group, bin). rows: (group,).
    """
    found, influences = [], []
    for model in counts:
        reached = np.concatenate([[0.0], np.cumsum(model.sum(axis=0))]) / rows.sum()
        quantile = quantile_at(reached, level)
        below = below_in(model, quantile)
        # To be read as trips by group that stay below, beyond what the level foretells.
        influences.append((level * rows - below) / rows.sum() * slope_at(reached, level, rows))
        found.append(quantile)
    return with_interval(found[0], found[1], influences[0] - influences[1], confidence)


def compared_bias(signed: Floats, rows: Counts, confidence: float) -> tuple[float, ...]:
    """Both models' mean signed error in USD and the interval of the difference."""
    total = rows.sum()
    ours, theirs = signed.sum(axis=1) / total
    difference = signed[0] - signed[1]
    influence = (difference - rows * (ours - theirs)) / total
    return with_interval(ours, theirs, influence, confidence)


def with_interval(
    ours: float, theirs: float, influence: Floats, confidence: float
) -> tuple[float, ...]:
    half = half_width(influence, confidence) if len(influence) > 1 else 0.0
    change = ours - theirs
    return tuple(round(float(each), 4) for each in (ours, theirs, change - half, change + half))


def quantile_at(reached: Floats, level: float) -> float:
    """The error in USD below which that part of the trips stays, within its bin by proportion.

    reached: the part of the trips below each edge of the bins, from 0 to 1.
    """
    last = int(np.clip(np.searchsorted(reached, level, side="left"), 1, len(reached) - 1))
    low, high = reached[last - 1], reached[last]
    within = (level - low) / (high - low) if high > low else 1.0
    return float((last - 1 + np.clip(within, 0, 1)) * FINE_USD)


def below_in(model: Counts, quantile: float) -> Floats:
    """How many trips of each group stay below the quantile, its bin by proportion."""
    whole = int(min(quantile / FINE_USD, FINE_BINS))
    within = quantile / FINE_USD - whole
    below: Floats = model[:, :whole].sum(axis=1) + within * model[:, whole]
    return below


def slope_at(reached: Floats, level: float, rows: Counts) -> float:
    """USD by part of the trips: how fast the quantile rises with the level."""
    normal = ndtri(level)
    density = np.exp(-(normal**2) / 2) / np.sqrt(2 * np.pi)
    curve = (1.5 * density**2 / (2 * normal**2 + 1)) ** (1 / 3)
    width = rows.sum() ** (-1 / 3) * ndtri(1 - HALL_SHEATHER_ALPHA / 2) ** (2 / 3) * curve
    width = min(width, level, 1 - level)
    rise = quantile_at(reached, level + width) - quantile_at(reached, level - width)
    return float(rise / (2 * width))
