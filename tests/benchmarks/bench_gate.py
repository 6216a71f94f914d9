"""How often the gate is wrong: coverage of its intervals, false passes and refusals, and power.

GATE_TRIALS=20000 python tests/benchmarks gate, for closer figures.
"""

import os
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.domain.comparison import Findings, Metric, Slice
from taxiops.domain.gate import verdict_of
from taxiops.domain.gate_rules import guard_breaches, slice_breaches, slice_confidence
from taxiops.domain.gate_rules import slice_verdict as verdict_on_slice
from taxiops.domain.policy import Policy
from taxiops.domain.sample_size import trips_needed
from taxiops.steps.identity import BLOCKS
from taxiops.steps.statistics import METRICS, SUMS, Sums, compared, error_terms, figures, sums_by

TRIALS = int(os.environ.get("GATE_TRIALS", "2000"))
ROWS = (5_000, 20_000)
TRUTH_ROWS, TRUTH_PARTS = 500_000, 40
CONFIDENCE = 0.95
NOMINAL = (1 - CONFIDENCE) / 2
COVERED = ("mae", "rmse", "r2")
EFFECTS = (0.005, 0.01, 0.02, 0.05)
# The parts of the trips in the slices of one family, the smallest of 200 trips in 20,000.
PARTS, FAMILIES = (0.5, 0.3, 0.15, 0.04, 0.01), 7
# How the sums of the one model are called when it is the other.
OTHER = {"c": "b", "b": "c"}
Floats = NDArray[np.float64]
Trips = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class World:
    """Trips with heavy tails. better: by how much of it the candidate's own error is smaller.

    astray: the part of the trips where the candidate errs twenty times as much. only_far: it
    differs from the baseline on the two percent of long trips alone.
    """

    better: float = 0.0
    astray: float = 0.0
    only_far: bool = False

    def trips(self, rows: int, random: np.random.Generator) -> Trips:
        """Fares in USD, and what candidate and baseline predict.

        Fares are lognormal with two percent of long Pareto trips; errors grow with the fare, most
        of them shared by both models.
        """
        short = np.exp(random.normal(2.45, 0.55, rows)) + 2.5
        far = np.minimum(52 + random.pareto(3.0, rows) * 15, 400)
        is_far = random.random(rows) < 0.02
        fares = np.round(np.where(is_far, far, short), 2)
        scale = 0.06 * fares
        shared = 0.8 * random.laplace(0, 1, rows)
        own, other = random.laplace(0, 1, (2, rows)) * 0.5
        ours, theirs = (shared + own) * (1 - self.better), shared + other
        if self.astray:
            ours = np.where(random.random(rows) < self.astray, 20 * ours, ours)
        if self.only_far:
            ours = np.where(is_far, ours, theirs)
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
    any_gain = Policy(min_relative_improvement=0.0)
    false_passes = {rows: passed_either_way(rows, any_gain) for rows in ROWS}
    promised, kept = promise()
    return {
        "trials": TRIALS,
        "coverage": coverage,
        "coverage_where_2_percent_of_trips_differ": {
            rows: covered(World(0.2, only_far=True), rows) for rows in ROWS
        },
        "coverage_where_1_trip_in_1000_goes_astray": {
            rows: covered(World(0.02, astray=0.001), rows) for rows in ROWS
        },
        "false_passes": false_passes,
        "false_passes_by_default": {rows: passed_either_way(rows, Policy()) for rows in ROWS},
        "false_refusals_at_20000_rows": false_refusals(ROWS[-1], Policy()),
        "power_at_20000_rows": {effect: passed(World(effect)) for effect in EFFECTS},
        "passes_though_1_trip_in_1000_goes_astray": {
            "guarded": passed(World(0.05, astray=0.001)),
            "without_guard": passed(World(0.05, astray=0.001), Policy(guard_metrics=())),
        },
        "sample_size": {"promised": 0.8, "trips": promised, "kept": kept},
        "within_limit": all(
            overlaps(share, 0.94, 0.96)
            for by_metric in coverage.values()
            for share in by_metric.values()
        )
        and all(overlaps(share, 0.0, NOMINAL) for share in false_passes.values()),
    }


@dataclass(frozen=True)
class Share:
    """A share of trials and its 95 % interval (Wilson, JASA 1927)."""

    share: float
    low: float
    high: float


def share_of(count: int, trials: int = TRIALS) -> dict[str, float]:
    z, found = NormalDist().inv_cdf(0.975), count / trials
    middle = (found + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * (found * (1 - found) / trials + (z / (2 * trials)) ** 2) ** 0.5
    half /= 1 + z * z / trials
    return asdict(Share(round(found, 4), round(middle - half, 4), round(middle + half, 4)))


def overlaps(share: dict[str, float], low: float, high: float) -> bool:
    """Whether chance alone, of which half an interval more is left, may have put it outside: there
    are many shares, and one in twenty is beyond its own interval."""
    room = (share["high"] - share["low"]) / 4
    return share["low"] - room <= high and share["high"] + room >= low


def covered(world: World, rows: int) -> dict[str, dict[str, float]]:
    """The share of intervals that hold the true difference, by metric."""
    truth, random = world.truth(), np.random.default_rng(rows)
    hits = dict.fromkeys(COVERED, 0)
    for _ in range(TRIALS):
        sums = world.sums(rows, random)
        for name in COVERED:
            row = compared(name, sums, CONFIDENCE)
            hits[name] += row["ci_low"] <= truth[name] <= row["ci_high"]
    return {name: share_of(count) for name, count in hits.items()}


def passed(world: World, policy: Policy | None = None, rows: int = ROWS[-1]) -> dict[str, float]:
    """The share of trials in which the gate lets the candidate pass."""
    random = np.random.default_rng(rows + 1)
    rules = policy or Policy()
    return share_of(sum(passes(world.sums(rows, random), rules) for _ in range(TRIALS)))


def passed_either_way(rows: int, policy: Policy) -> dict[str, float]:
    """The same for two models that are alike: either may be the candidate, so each trial is two."""
    random, count = np.random.default_rng(rows + 2), 0
    swapped = [SUMS.index(f"{name[:-1]}{OTHER.get(name[-1], name[-1])}") for name in SUMS]
    for _ in range(TRIALS):
        sums = World().sums(rows, random)
        count += passes(sums, policy) + passes(sums[:, swapped], policy)
    return share_of(count, 2 * TRIALS)


def measured(sums: Sums, policy: Policy) -> dict[str, Any]:
    return {
        "metrics": {name: compared(name, sums, policy.confidence) for name in METRICS},
        "slices": [],
        "test_data": {"rows": int(sums[:, 0].sum())},
        "candidate": {"size_bytes": 1, "row_latency_ms": 0.0},
        "baseline": {"kind": "serving"},
    }


def passes(sums: Sums, policy: Policy) -> bool:
    return verdict_of(measured(sums, policy), policy).passed


def false_refusals(rows: int, policy: Policy) -> dict[str, dict[str, float]]:
    """How often two models that are alike are told apart: a guard, or any of 35 slices, says that
    the candidate is certainly worse; and how often a slice forbids it."""
    random = np.random.default_rng(rows + 3)
    counts = {"guard": 0, "any_slice_certainly_worse": 0, "slices_forbid": 0}
    for _ in range(TRIALS):
        terms = error_terms(*World().trips(rows, random))
        blocks = random.integers(0, BLOCKS, rows)
        slices = slices_of(terms, blocks, policy, random)
        whole = measured(sums_by(blocks, BLOCKS, terms), policy)["metrics"]
        metrics = {name: Metric(**row) for name, row in whole.items()}
        found = Findings(metrics, slices, rows, "serving", 1, 0.0)
        counts["guard"] += any(True for _ in guard_breaches(found, policy))
        counts["any_slice_certainly_worse"] += any(
            each.verdict == "not_improved" for each in slices
        )
        counts["slices_forbid"] += any(True for _ in slice_breaches(found, policy))
    return {name: share_of(count) for name, count in counts.items()}


def slices_of(
    terms: list[Floats], blocks: NDArray[np.int64], policy: Policy, random: np.random.Generator
) -> tuple[Slice, ...]:
    """The primary metric in families of slices that have nothing to do with the errors."""
    found = []
    confidence = slice_confidence(policy, FAMILIES * len(PARTS))
    for _ in range(FAMILIES):
        part = random.choice(len(PARTS), len(blocks), p=PARTS)
        sums = sums_by(part * BLOCKS + blocks, len(PARTS) * BLOCKS, terms)
        for each in sums.reshape(len(PARTS), BLOCKS, -1):
            figures_there = Metric(**compared(policy.primary_metric, each, confidence))
            rows = int(each[:, 0].sum())
            verdict = verdict_on_slice(figures_there, rows, policy)
            found.append(Slice("slice", rows, figures_there, verdict))
    return tuple(found)


def promise(
    world: World = World(0.02), few: int = 4_000, policy: Policy | None = None
) -> tuple[int, dict[str, float]]:
    """How many trips the gate would ask for if it knew the true difference, and how often the
    candidate then passes."""
    rules, random, rows = policy or Policy(), np.random.default_rng(9), 2_000_000
    exact = compared(rules.primary_metric, world.sums(rows, random), CONFIDENCE)
    wider = (rows / few) ** 0.5
    ends = {
        end: exact["change"] + wider * (exact[end] - exact["change"])
        for end in ("ci_low", "ci_high")
    }
    trips = round(trips_needed(Metric(**{**exact, **ends}), rules, few))
    return trips, passed(world, rules, trips)
