"""Documents of the contract that are right in every field; tests take them and break them."""

import copy
from typing import Any

import pytest

from taxiops.domain.comparison import Metric
from taxiops.domain.evidence import digest_of_bytes, digest_of_json, promotion_tags
from taxiops.domain.gate import parse_policy, verdict_of
from taxiops.domain.gate_rules import slice_confidence, slice_verdict

SHA = {name: digest_of_bytes(name.encode()) for name in ("candidate", "baseline", "trips")}


def figures(name: str, candidate: float, baseline: float, half_width: float) -> dict[str, Any]:
    """One metric's figures, consistent with one another."""
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


def measured_of(
    metrics: dict[str, Any], slices: list[dict[str, Any]] | None = None, kind: str = "serving"
) -> dict[str, Any]:
    """What the compare step measured, before anything is claimed of it."""
    version = "" if kind == "naive" else "3"
    return {
        "metrics": metrics,
        "slices": slices or [],
        "test_data": {"rows": 1000, "sha256": SHA["trips"], "source": "trips.csv"},
        "candidate": {
            "sha256": SHA["candidate"],
            "path": "azureml://jobs/j/outputs/model",
            "size_bytes": 2_000_000,
            "row_latency_ms": 1.5,
        },
        "baseline": {"kind": kind, "name": "m", "version": version, "sha256": SHA["baseline"]},
    }


def comparison_of(
    candidate: float = 2.0,
    baseline: float = 2.5,
    half_width: float = 0.1,
    policy: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """comparison.json with this MAE, its flag and verdict being what the numbers say."""
    rules = parse_policy(policy or {})
    metrics = {
        "mae": figures("mae", candidate, baseline, half_width),
        "rmse": figures("rmse", candidate + 1, baseline + 1, 0.1),
        "r2": figures("r2", 0.9, 0.85, 0.01),
        "mape": figures("mape", 0.1, 0.12, 0.005),
    }
    slices = [
        {
            "slice": "distance: under 1 mile",
            "rows": 400,
            **figures(rules.primary_metric, candidate, baseline, half_width),
        }
    ]
    for each in slices:
        row = {name: value for name, value in each.items() if name not in ("slice", "rows")}
        each["verdict"] = slice_verdict(Metric(**row), 400, rules)
    measured = measured_of(metrics, slices)
    verdict = verdict_of(measured, rules)
    return {
        "schema_version": 1,
        "improved": verdict.passed,
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "primary_metric": rules.primary_metric,
        "confidence": rules.confidence,
        "slice_confidence": slice_confidence(rules, 1),
        **measured,
        "slices_uncompared": [{"slice": "pickup: Staten Island", "rows": 1}],
        "policy": rules.document(),
        "policy_sha256": rules.sha256(),
        "job": {"name": "j", "workspace": "mlwdevcc01"},
        "commit": "0123456789abcdef",
        "branch": "main",
        "created_at": "2026-01-02T03:04:05Z",
    }


def promotion_of(comparison: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "registry": "mlrdevcc01",
        "name": "taxi-class-dev",
        "version": "4",
        "sha256": comparison["candidate"]["sha256"],
        "tags": promotion_tags(comparison, digest_of_json(comparison), "77"),
    }


MODEL = {"registry": "mlrdevcc01", "name": "taxi-class-dev", "version": "4", "sha256": SHA["trips"]}
EVENT = {"at": "2026-01-02T03:04:05.123Z", "event": "planned", "detail": "slot green"}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "comparison": comparison_of(),
    "verdict": {
        "schema_version": 1,
        "passed": True,
        "verdict": "improved",
        "reasons": ["MAE is lower."],
        "report_sha256": SHA["trips"],
        "policy_sha256": SHA["baseline"],
        "overridden_by": "",
        "override_reason": "",
        "created_at": "2026-01-02T03:04:05Z",
    },
    "promotion": promotion_of(comparison_of()),
    "deployment_state": {
        "schema_version": 1,
        "environment": "prod",
        "endpoint": "taxi-class-prod",
        "slot": "green",
        "phase": "canary",
        "first_deployment": False,
        "prior_traffic": {"blue": 100, "green": 0},
        "prior_mirror_traffic": {},
        "traffic": {"blue": 70, "green": 30},
        "model": MODEL,
        "commit": "0123456789abcdef",
        "run_id": "",
        "events": [EVENT, {**EVENT, "actor": "somebody"}],
    },
    "endpoint_report": {
        "schema_version": 1,
        "environment": "dev",
        "endpoint": "taxi-class-dev",
        "slot": "blue",
        "incumbent": "",
        "passed": False,
        "checks": [
            {"check": "liveness", "passed": True, "detail": "", "blame": "nobody", "figures": {}},
            {
                "check": "latency",
                "passed": False,
                "detail": "p95 is 900 ms",
                "blame": "capacity",
                "figures": {"p95_ms": 900.5},
            },
        ],
        "model": MODEL,
        "created_at": "2026-01-02T03:04:05Z",
    },
    "cleanup_report": {
        "schema_version": 1,
        "dry_run": True,
        "retain_versions": 2,
        "versions": [
            {"version": "3", "action": "kept", "reason": "one of the newest 2"},
            {"version": "1", "action": "would_delete", "reason": "2 newer versions"},
        ],
    },
    "cleanup_plan": {
        "schema_version": 1,
        "name": "taxi-class-dev",
        "place": "registry mlrdevcc01",
        "retain_versions": 1,
        "created_at": "2026-01-02T03:04:05Z",
        "created_by": "ada",
        "versions": [
            {
                "version": "3",
                "action": "kept",
                "reason": "one of the newest 1",
                "is_newest": True,
                "fingerprint": SHA["candidate"],
            },
            {
                "version": "1",
                "action": "would_delete",
                "reason": "1 newer versions, and nothing uses it",
                "is_newest": False,
                "fingerprint": SHA["candidate"],
            },
        ],
    },
}


def paths_in(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a JSON document, the document itself left out."""
    found = [path] if path else []
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    for key, inner in items:
        found += paths_in(inner, (*path, key))
    return found


@pytest.fixture(params=sorted(DOCUMENTS))
def example(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The name of each file and a fresh document of it."""
    return request.param, copy.deepcopy(DOCUMENTS[request.param])


@pytest.fixture
def comparison() -> dict[str, Any]:
    """A fresh comparison.json whose candidate is 20 % better."""
    return comparison_of()
