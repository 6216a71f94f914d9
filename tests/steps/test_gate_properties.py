"""From trips to verdict, whatever the trips: monotonic, mirrored, blind to order and batches."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from taxiops.domain.gate import Policy, Verdict, verdict_of
from taxiops.steps.identity import BLOCKS
from taxiops.steps.statistics import METRICS, Sums, compared, error_terms, sums_by

PRIMARY = st.sampled_from(sorted(METRICS))
SEEDS = st.integers(0, 2**32 - 1)
EDGES = st.floats(-0.2, 0.2)
RANKS = {"not_improved": 0, "inconclusive": 1, "improved": 2}
OFTEN = settings(max_examples=60, deadline=None)
Trips = dict[str, np.ndarray]


def trips_of(seed: int, edge: float) -> Trips:
    """Fares with heavy tails in blocks, two predictions above the fare; the candidate's error is
    smaller by about `edge` of it."""
    random = np.random.default_rng(seed)
    rows = int(random.integers(50, 600))
    fares = np.round(2.5 + random.lognormal(2, 1, rows), 2)
    shared, own, other = 1 + random.pareto(3, (3, rows))
    return {
        "blocks": random.integers(0, BLOCKS, rows),
        "fares": fares,
        "candidate": fares + (1 - edge) * shared + own / 4,
        "baseline": fares + shared + other / 4,
    }


def sums_of(trips: Trips) -> Sums:
    terms = error_terms(trips["fares"], trips["candidate"], trips["baseline"])
    return sums_by(trips["blocks"], BLOCKS, terms)


def rows_of(sums: Sums) -> dict[str, dict[str, Any]]:
    return {name: compared(name, sums, Policy().confidence) for name in METRICS}


def verdict_on(sums: Sums, primary: str) -> Verdict:
    measured = {
        "metrics": rows_of(sums),
        "slices": [],
        "test_data": {"rows": int(sums[:, 0].sum())},
        "candidate": {"size_bytes": 1, "row_latency_ms": 0.0},
        "baseline": {"kind": "serving"},
    }
    return verdict_of(measured, Policy(primary_metric=primary, guard_metrics=()))


@OFTEN
@given(SEEDS, EDGES, st.floats(0, 1))
def test_a_candidate_nearer_to_every_fare_never_gets_a_worse_verdict(
    seed: int, edge: float, nearer_usd: float
) -> None:
    """All errors are over a dollar here, so that each prediction can come so much nearer."""
    trips = trips_of(seed, edge)
    better = {**trips, "candidate": trips["candidate"] - nearer_usd}
    before, after = (verdict_on(sums_of(each), "mae") for each in (trips, better))
    assert RANKS[before.verdict] <= RANKS[after.verdict]


@OFTEN
@given(SEEDS, EDGES, PRIMARY)
def test_swapping_the_models_mirrors_every_interval_and_never_passes_both(
    seed: int, edge: float, primary: str
) -> None:
    trips = trips_of(seed, edge)
    swapped = {**trips, "candidate": trips["baseline"], "baseline": trips["candidate"]}
    there, back = sums_of(trips), sums_of(swapped)
    for one, other in zip(rows_of(there).values(), rows_of(back).values(), strict=True):
        mirrored = (one["ci_low"], one["ci_high"], one["change"])
        found = (-other["ci_high"], -other["ci_low"], -other["change"])
        # The last of nine digits, which rounding may take either way.
        assert np.allclose(mirrored, found, rtol=0, atol=2e-9)
    assert not (verdict_on(there, primary).passed and verdict_on(back, primary).passed)


@OFTEN
@given(SEEDS, EDGES, PRIMARY, st.integers(1, 700))
def test_order_and_batches_change_no_digit_and_no_word(
    seed: int, edge: float, primary: str, batch: int
) -> None:
    trips = trips_of(seed, edge)
    order = np.random.default_rng(seed).permutation(len(trips["fares"]))
    parts = sum(
        sums_of({name: values[order[at : at + batch]] for name, values in trips.items()})
        for at in range(0, len(order), batch)
    )
    whole = sums_of(trips)
    assert rows_of(parts) == rows_of(whole)
    assert verdict_on(parts, primary) == verdict_on(whole, primary)
