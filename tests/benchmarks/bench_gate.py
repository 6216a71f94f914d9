"""How often the gate is wrong: coverage of its intervals, false passes, and what it can see.

GATE_TRIALS=20000 python tests/benchmarks bench, or `make bench`, for closer figures.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.domain.gate import verdict_of
from taxiops.domain.policy import Policy
from taxiops.steps.identity import BLOCKS
from taxiops.steps.statistics import METRICS, SUMS, Sums, compared, error_terms, figures, sums_by

TRIALS = int(os.environ.get("GATE_TRIALS", "2000"))
ROWS = (5_000, 20_000)
TRUTH_ROWS, TRUTH_PARTS = 500_000, 40
CONFIDENCE = 0.95
COVERED = ("mae", "rmse", "r2")
EFFECTS = (0.005, 0.01, 0.02, 0.05)
# The sampling error of a share over the trials, three of it, on top of the limits.
SLACK = 3 * (CONFIDENCE * (1 - CONFIDENCE) / TRIALS) ** 0.5
# How the sums of the one model are called when it is the other.
OTHER = {"c": "b", "b": "c"}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Trips with heavy tails. better: by how much of it the candidate's own error is smaller."""

    better: float

    def trips(self, rows: int, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Fares in USD, and what candidate and baseline predict.

        Fares are lognormal with two percent of long Pareto trips; errors grow with the fare, most
        of them shared by both models.
        """
        short = np.exp(random.normal(2.45, 0.55, rows)) + 2.5
        far = np.minimum(52 + random.pareto(3.0, rows) * 15, 400)
        fares = np.round(np.where(random.random(rows) < 0.02, far, short), 2)
        scale = 0.06 * fares
        shared = 0.8 * random.laplace(0, 1, rows)
        own, other = random.laplace(0, 1, (2, rows)) * 0.5
        ours, theirs = (shared + own) * (1 - self.better), shared + other
        return fares, fares + scale * ours, fares + scale * theirs

    def sums(self, rows: int, random: np.random.Generator) -> Sums:
        terms = error_terms(*self.trips(rows, random))
        return sums_by(random.integers(0, BLOCKS, rows), BLOCKS, terms)

    def truth(self) -> dict[str, float]:
        """Each metric's difference over far more trips than any trial has."""
        random, total = np.random.default_rng(1), np.zeros(len(SUMS), np.int64)
        for _ in range(TRUTH_PARTS):
            total += self.sums(TRUTH_ROWS, random).sum(axis=0)
        exact = figures(total)
        return {
            name: float(spec.of(exact, "c") - spec.of(exact, "b")) for name, spec in METRICS.items()
        }


def measure() -> dict[str, Any]:
    """Shares of trials; coverage must lie in 94 to 96 percent, false passes below their rate."""
    coverage = {rows: covered(World(0.02), rows) for rows in ROWS}
    false_passes = {
        rows: passed_either_way(rows, Policy(min_relative_improvement=0.0)) for rows in ROWS
    }
    by_default = {rows: passed_either_way(rows, Policy()) for rows in ROWS}
    power = {effect: passed(World(effect), ROWS[-1], Policy()) for effect in EFFECTS}
    shares = [share for by_metric in coverage.values() for share in by_metric.values()]
    nominal = (1 - CONFIDENCE) / 2
    return {
        "trials": TRIALS,
        "coverage": coverage,
        "false_passes": false_passes,
        "false_passes_by_default": by_default,
        "power_at_20000_rows": power,
        "within_limit": all(0.94 - SLACK <= share <= 0.96 + SLACK for share in shares)
        and all(share <= nominal + SLACK for share in false_passes.values()),
    }


def covered(world: World, rows: int) -> dict[str, float]:
    """The share of intervals that hold the true difference, by metric."""
    truth, random = world.truth(), np.random.default_rng(rows)
    hits = dict.fromkeys(COVERED, 0)
    for _ in range(TRIALS):
        sums = world.sums(rows, random)
        for name in COVERED:
            row = compared(name, sums, CONFIDENCE)
            hits[name] += row["ci_low"] <= truth[name] <= row["ci_high"]
    return {name: count / TRIALS for name, count in hits.items()}


def passed(world: World, rows: int, policy: Policy) -> float:
    """The share of trials in which the gate lets the candidate pass."""
    random = np.random.default_rng(rows + 1)
    return sum(passes(world.sums(rows, random), policy) for _ in range(TRIALS)) / TRIALS


def passed_either_way(rows: int, policy: Policy) -> float:
    """The same for two models that are alike: either may be the candidate, so each trial is two."""
    random, count = np.random.default_rng(rows + 2), 0
    swapped = [SUMS.index(f"{name[:-1]}{OTHER.get(name[-1], name[-1])}") for name in SUMS]
    for _ in range(TRIALS):
        sums = World(0.0).sums(rows, random)
        count += passes(sums, policy) + passes(sums[:, swapped], policy)
    return count / (2 * TRIALS)


def passes(sums: Sums, policy: Policy) -> bool:
    measured = {
        "metrics": {name: compared(name, sums, policy.confidence) for name in METRICS},
        "slices": [],
        "test_data": {"rows": int(sums[:, 0].sum())},
        "candidate": {"size_bytes": 1, "row_latency_ms": 0.0},
        "baseline": {"kind": "serving"},
    }
    return verdict_of(measured, policy).passed
