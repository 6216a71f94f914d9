"""The same digits on every Python, on repeated runs and in batches of any size.

The trips and both models use whole numbers and the operations that IEEE 754 rounds exactly, so
what is pinned here holds on every machine; the model files of a training run record the Python
that made them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from taxiops.domain.evidence import digest_of_json
from taxiops.domain.gate import Policy, verdict_of
from taxiops.steps.columns import FARE, NUMBERS, PICKUP, RIDE, take
from taxiops.steps.compare import Trips, measure, sliced
from taxiops.steps.identity import mixed
from taxiops.steps.model_files import Model
from taxiops.steps.naive import FEATURES, NaiveFare
from taxiops.steps.statistics import METRICS, compared

ROWS = 3_000
TRIPS_SHA256 = "sha256:669a8d25a249eeb7c21b2cba390e0ee30534210774cb9c16826e418c19732a50"
DOCUMENT_SHA256 = "sha256:7a74adbceb0e2157b9cc0083bbf75dcb09d30c04d40113cc5a1c26049e9df7d1"


def trips() -> Trips:
    rides = mixed(np.arange(ROWS, dtype=np.uint64))
    parts = [(mixed(rides ^ np.uint64(at)) >> np.uint64(33)).astype(np.int64) for at in range(6)]
    thousandths, cents, seconds, riders, kind, zone = parts
    thousandths = 300 + thousandths % 4_000 + np.where(zone % 50 == 0, 17_000, 0)
    found: Trips = {name: np.full(ROWS, np.nan) for name in NUMBERS}
    found["trip_distance_miles"] = thousandths / 1e3
    found["passenger_count"] = (1 + riders % 5).astype(np.float64)
    found["payment_type"] = (1 + kind % 3).astype(np.float64)
    found["pickup_zone"] = (1 + zone % 263).astype(np.float64)
    found[FARE] = (300 + thousandths // 4 + cents % 301) / 100
    found[PICKUP] = np.datetime64("2025-01-06", "us") + (seconds % 2_419_200) * 1_000_000
    return {**found, RIDE: rides}


def model(initial_usd: float, per_mile_usd: float) -> Model:
    naive = NaiveFare(initial_usd, per_mile_usd, 1)
    return Model(naive, FEATURES, naive.metadata(), naive.sha256())


def document(batch: int) -> dict[str, Any]:
    """All that the compare step finds, but for how long scoring takes."""
    candidate, baseline = model(4.5, 2.5), model(5.0, 2.375)
    whole = trips()

    def batches() -> Iterator[Trips]:
        for at in range(0, ROWS, batch):
            yield take(whole, np.arange(at, min(at + batch, ROWS)))

    measured = measure(batches(), candidate, baseline)
    policy = Policy()
    found = {
        "metrics": {name: compared(name, measured.whole, policy.confidence) for name in METRICS},
        **sliced(measured, policy),
        "test_data": {"rows": measured.rows, "sha256": measured.digest.sha256()},
        "candidate": {"size_bytes": 1, "row_latency_ms": 0.0},
        "baseline": {"kind": "serving"},
    }
    verdict = verdict_of(found, policy)
    samples = measured.samples.document(candidate, baseline, policy.confidence)
    return {**found, "verdict": [verdict.verdict, *verdict.reasons], "samples": samples}


@pytest.mark.parametrize("batch", [ROWS, 1_024, 37])
def test_digests_metrics_and_verdict_are_those_of_every_machine_and_batch(batch: int) -> None:
    found = document(batch)
    assert found["test_data"] == {"rows": ROWS, "sha256": TRIPS_SHA256}
    mae = found["metrics"]["mae"]
    assert (mae["candidate"], mae["baseline"]) == (0.752893333, 0.79355275)
    assert found["verdict"][0] == "improved"
    assert digest_of_json(found) == DOCUMENT_SHA256
