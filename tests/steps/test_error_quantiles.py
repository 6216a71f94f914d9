"""Quantiles of errors and bias: those of numpy, and intervals like those of many repetitions."""

import numpy as np
import pytest

from taxiops.steps.error_quantiles import LEVELS, ErrorQuantiles
from taxiops.steps.identity import BLOCKS

ROWS = 4_000


def errors(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks and both models' signed errors, which go together."""
    random = np.random.default_rng(seed)
    shared = random.standard_t(4, rows)
    ours = shared + random.normal(0, 0.5, rows) + 0.1
    return random.integers(0, BLOCKS, rows), ours, 1.2 * shared + random.normal(0, 0.5, rows)


def document_of(*batches: tuple[np.ndarray, ...], confidence: float = 0.95) -> dict[str, dict]:
    found = ErrorQuantiles()
    for batch in batches:
        found.add(*batch)
    return found.document(confidence)


def test_quantiles_and_bias_are_those_of_the_errors() -> None:
    blocks, ours, theirs = errors(0)
    document = document_of((blocks, ours, theirs))
    for name, signed in (("candidate", ours), ("baseline", theirs)):
        exact = np.quantile(np.abs(signed), LEVELS)
        assert document["error_quantiles"][name] == pytest.approx(exact, abs=0.05)
        assert document["bias_usd"][name] == pytest.approx(signed.mean(), abs=1e-4)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    _, ours, theirs = errors(99, 2_000_000)
    truth = np.quantile(np.abs(ours), LEVELS) - np.quantile(np.abs(theirs), LEVELS)
    hits, bias_hits, trials = np.zeros(len(LEVELS)), 0, 300
    for seed in range(trials):
        document = document_of(errors(seed))
        found = document["error_quantiles"]
        hits += (np.array(found["ci_low"]) <= truth) & (truth <= np.array(found["ci_high"]))
        bias = document["bias_usd"]
        bias_hits += bias["ci_low"] <= (ours - theirs).mean() <= bias["ci_high"]
    # Five standard errors of a share of 300 around 95 %, and what bins of five cents cost.
    assert ((hits / trials > 0.88) & (hits / trials <= 1)).all(), hits / trials
    assert 0.88 < bias_hits / trials <= 1


def test_the_same_model_twice_differs_by_nothing() -> None:
    blocks, ours, _ = errors(1)
    found = document_of((blocks, ours, ours))
    assert found["error_quantiles"]["ci_low"] == found["error_quantiles"]["ci_high"]
    assert found["bias_usd"]["ci_low"] == found["bias_usd"]["ci_high"] == 0.0


def test_order_and_batches_change_nothing() -> None:
    values = errors(2)
    order = np.random.default_rng(3).permutation(ROWS)
    parts = [tuple(each[order[at::7]] for each in values) for at in range(7)]
    assert document_of(*parts) == document_of(values)


def test_swapping_the_models_mirrors_the_intervals() -> None:
    blocks, ours, theirs = errors(4)
    one, other = document_of((blocks, ours, theirs)), document_of((blocks, theirs, ours))
    mirrored = [-low for low in other["error_quantiles"]["ci_low"]]
    assert one["error_quantiles"]["ci_high"] == pytest.approx(mirrored, abs=1e-4)


@pytest.mark.parametrize("errors_usd", [[0.0], [0.0, 0.0], [5_000.0, -5_000.0, 0.01]])
def test_few_or_equal_or_enormous_errors_have_quantiles_too(errors_usd: list[float]) -> None:
    signed = np.array(errors_usd)
    found = document_of((np.arange(len(signed)), signed, signed))
    assert np.isfinite(found["error_quantiles"]["candidate"]).all()
