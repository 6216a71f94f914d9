"""A comparison and samples as the compare step writes them, small and made by hand."""

import copy
from typing import Any

import pytest

from taxiops.domain.evidence import digest_of_bytes
from taxiops.domain.gate import parse_policy, verdict_of
from taxiops.domain.gate_rules import slice_confidence


def figures(name: str, candidate: float, baseline: float, half_width: float) -> dict[str, Any]:
    change = candidate - baseline
    return {
        "unit": "USD" if name in ("mae", "rmse") else "ratio",
        "direction": "higher_is_better" if name == "r2" else "lower_is_better",
        "candidate": candidate,
        "baseline": baseline,
        "change": change,
        "relative_change": change / abs(baseline) if baseline else 0.0,
        "ci_low": change - half_width,
        "ci_high": change + half_width,
    }


def comparison_of(candidate: float = 2.0, half_width: float = 0.1) -> dict[str, Any]:
    policy = parse_policy({"max_slice_regression": 0.25})
    metrics = {
        "mae": figures("mae", candidate, 2.5, half_width),
        "rmse": figures("rmse", candidate + 1, 3.5, 0.6),
        "r2": figures("r2", 0.9, 0.85, 0.01),
        "mape": figures("mape", 0.1, 0.12, 0.005),
    }
    rows = [
        ("distance: under 1 mile", 600, figures("mae", 1.0, 1.5, 0.1), "improved"),
        ("distance: 1 mile and more", 390, figures("mae", 3.0, 2.5, 0.1), "not_improved"),
        ("airport: yes", 10, figures("mae", 9.0, 2.5, 20.0), "inconclusive"),
    ]
    measured = {
        "metrics": metrics,
        "slices": [
            {"slice": name, "rows": count, **row, "verdict": word}
            for name, count, row, word in rows
        ],
        "test_data": {"rows": 1000, "sha256": digest_of_bytes(b"t"), "source": "trips.csv"},
        "candidate": {
            "sha256": digest_of_bytes(b"c"),
            "path": "azureml://jobs/j/outputs/model",
            "size_bytes": 2_000_000,
            "row_latency_ms": 1.5,
        },
        "baseline": {
            "kind": "serving",
            "name": "taxi-class-dev",
            "version": "3",
            "sha256": digest_of_bytes(b"b"),
        },
    }
    verdict = verdict_of(measured, policy)
    return {
        "schema_version": 1,
        "improved": verdict.passed,
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "primary_metric": "mae",
        "confidence": 0.95,
        "slice_confidence": slice_confidence(policy, 2),
        **measured,
        "slices_uncompared": [{"slice": "pickup: Staten Island", "rows": 1}],
        "policy": policy.document(),
        "policy_sha256": policy.sha256(),
        "job": {"name": "jolly_tree", "workspace": "mlwdevcc01"},
        "commit": "0123456789abcdef",
        "branch": "main",
        "created_at": "2026-01-02T03:04:05Z",
    }


SAMPLES: dict[str, Any] = {
    "schema_version": 1,
    "error_histogram": {
        "edges": [-2.0, -1.0, 0.0, 1.0, 2.0],
        "candidate": [100, 400, 400, 100],
        "baseline": [300, 200, 200, 300],
    },
    "error_quantiles": {
        "levels": [0.5, 0.95],
        "candidate": [0.5, 1.5],
        "baseline": [0.9, 1.9],
        "ci_low": [-0.5, -0.6],
        "ci_high": [-0.3, -0.2],
    },
    "bias_usd": {"candidate": -0.02, "baseline": 0.5, "ci_low": -0.6, "ci_high": -0.4},
    "predicted_vs_actual": {
        "actual": [5.0, 10.0, 52.0],
        "candidate": [5.5, 9.5, 51.0],
        "baseline": [7.0, 8.0, 40.0],
    },
    "worst_trips": [
        {
            "trip": {"pickup_datetime": "2016-01-01 00:00:00", "pickup_zone": None, "rate_code": 2},
            "actual": 52.0,
            "candidate": 20.0,
            "baseline": 50.0,
        }
    ],
    "features": {
        "trip_distance_miles": {
            **{"known": 1000, "missing": 0, "mean": 2.5},
            **{"sd": 1.5, "min": 0.1, "max": 30.0},
        }
    },
    "candidate_metadata": {
        "kind": "gradient_boosting",
        "features": ["trip_distance_miles", "pickup_hour"],
        "params": {"max_iter": 200, "learning_rate": 0.1},
        "training": {"rows": 5000, "sha256": digest_of_bytes(b"train")},
        "versions": {"python": "3.13.1"},
    },
    "baseline_metadata": {
        "kind": "gradient_boosting",
        "features": ["trip_distance_miles"],
        "params": {"max_iter": 20, "learning_rate": 0.1},
    },
}


@pytest.fixture
def comparison() -> dict[str, Any]:
    return comparison_of()


@pytest.fixture
def samples() -> dict[str, Any]:
    return copy.deepcopy(SAMPLES)
