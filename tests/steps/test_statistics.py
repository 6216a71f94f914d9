"""Sums, metrics and paired intervals: exact, deterministic, and the same however trips arrive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from taxiops.steps.identity import BLOCKS
from taxiops.steps.statistics import (
    METRICS,
    SUMS,
    compared,
    error_terms,
    figures,
    half_width,
    is_defined,
    sums_by,
)

Trips = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def trips(rows: int = 4_000, seed: int = 0, edge: float = 0.0) -> Trips:
    """Blocks, fares, candidate and baseline; `edge` makes the candidate that much better."""
    random = np.random.default_rng(seed)
    fares = np.round(2.5 + random.lognormal(2, 0.6, rows), 2)
    shared = random.standard_t(4, rows)
    blocks = random.integers(0, BLOCKS, rows)
    return blocks, fares, fares + (1 - edge) * shared, fares + shared


def block_sums(blocks: np.ndarray, *values: np.ndarray) -> np.ndarray:
    return sums_by(blocks, BLOCKS, error_terms(*values))


def test_metrics_are_those_of_scikit_learn() -> None:
    blocks, fares, candidate, baseline = trips(edge=0.2)
    sums = figures(block_sums(blocks, fares, candidate, baseline).sum(axis=0))
    for model, predicted in (("c", candidate), ("b", baseline)):
        expected = {
            "mae": sk.mean_absolute_error(fares, predicted),
            "rmse": sk.root_mean_squared_error(fares, predicted),
            "r2": sk.r2_score(fares, predicted),
            "mape": sk.mean_absolute_percentage_error(fares, predicted),
        }
        for name, value in expected.items():
            assert METRICS[name].of(sums, model) == pytest.approx(value, abs=1e-6)


def test_mape_never_divides_by_less_than_a_dollar() -> None:
    zero = np.zeros(1)
    sums = figures(sums_by(zero.astype(int), 1, error_terms(zero, zero + 3, zero))[0])
    assert METRICS["mape"].of(sums, "c") == 3.0


@given(st.integers(1, 4_000), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_sums_do_not_depend_on_batches_or_order(batch: int, random: object) -> None:
    values = trips(1_000)
    whole = block_sums(*values)
    order = list(range(1_000))
    random.shuffle(order)  # type: ignore[attr-defined]
    parts = np.zeros_like(whole)
    for start in range(0, 1_000, batch):
        parts += block_sums(*(each[order[start : start + batch]] for each in values))
    assert (parts == whole).all()


def interval(values: Trips, metric: str = "mae", confidence: float = 0.95) -> dict[str, float]:
    sums = block_sums(*values)
    return compared(metric, sums, confidence)


def test_change_is_candidate_minus_baseline_and_lies_within_its_interval() -> None:
    for name in METRICS:
        row = interval(trips(edge=0.1), name)
        assert row["change"] == pytest.approx(row["candidate"] - row["baseline"], abs=1e-9)
        assert row["relative_change"] == pytest.approx(row["change"] / row["baseline"], abs=1e-9)
        assert row["ci_low"] <= row["change"] <= row["ci_high"]


def test_the_same_model_twice_differs_by_exactly_nothing() -> None:
    row = interval(trips(edge=0.0))
    assert (row["change"], row["ci_low"], row["ci_high"]) == (0.0, 0.0, 0.0)


def test_swapping_the_models_mirrors_every_interval() -> None:
    blocks, fares, candidate, baseline = trips(edge=0.1)
    for name in METRICS:
        one = interval((blocks, fares, candidate, baseline), name)
        other = interval((blocks, fares, baseline, candidate), name)
        assert one["ci_low"] == pytest.approx(-other["ci_high"], abs=1e-9)
        assert one["change"] == pytest.approx(-other["change"], abs=1e-9)


def test_pairing_finds_a_small_edge_that_two_separate_intervals_would_miss() -> None:
    row = interval(trips(edge=0.02))
    assert row["ci_high"] < 0
    assert row["ci_high"] - row["ci_low"] < 0.2 * abs(row["candidate"])


def test_more_confidence_makes_a_wider_interval() -> None:
    narrow, wide = interval(trips(edge=0.1), confidence=0.8), interval(trips(edge=0.1))
    assert wide["ci_low"] < narrow["ci_low"] <= narrow["ci_high"] < wide["ci_high"]


def test_the_interval_is_that_of_resampling_trips_one_by_one() -> None:
    blocks, fares, candidate, baseline = trips(edge=0.1)
    row = interval((blocks, fares, candidate, baseline))
    differences = np.abs(candidate - fares) - np.abs(baseline - fares)
    half = 1.96 * differences.std() / np.sqrt(len(differences))
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * half, rel=0.1)


@given(st.integers(0, 1_000), st.sampled_from(sorted(METRICS)))
@settings(max_examples=40, deadline=None)
def test_a_slope_is_what_a_little_more_of_a_sum_changes(seed: int, metric: str) -> None:
    exact = figures(block_sums(*trips(500, seed, edge=0.3)).sum(axis=0))
    slopes = METRICS[metric].slopes(exact)
    for name in SUMS:
        step = abs(exact[name]) * 1e-6
        ends = [{**exact, name: exact[name] + sign * step} for sign in (1, -1)]
        changes = [METRICS[metric].of(s, "c") - METRICS[metric].of(s, "b") for s in ends]
        expected = (changes[0] - changes[1]) / (2 * step)
        assert slopes.get(name, 0.0) == pytest.approx(expected, rel=1e-3, abs=1e-12 / step)


def test_few_blocks_that_decide_everything_widen_the_interval() -> None:
    even, heavy = np.tile([1.0, -1.0], 50), np.zeros(100)
    heavy[0] = 10.0
    assert half_width(heavy, 0.95) > 1.5 * half_width(even, 0.95)
    assert half_width(np.zeros(100), 0.95) == 0.0


def test_one_block_alone_has_no_interval() -> None:
    sums = sums_by(np.zeros(9, int), BLOCKS, error_terms(np.arange(9.0), np.ones(9), np.ones(9)))
    assert not is_defined("mae", sums)


def test_sums_are_named_in_the_order_of_their_terms() -> None:
    blocks, fares, candidate, baseline = trips(10)
    assert len(error_terms(fares, candidate, baseline)) == len(SUMS)
    assert block_sums(blocks, fares, candidate, baseline).sum(axis=0)[0] == 10
