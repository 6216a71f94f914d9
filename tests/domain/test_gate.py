"""The gate: decides from numbers alone, and closes on everything that does not fit."""

import copy
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taxiops.domain.gate import (
    Policy,
    check_age,
    decide,
    parse_comparison,
    parse_policy,
    verdict_of,
)
from taxiops.errors import EvidenceError, ExitCode, UsageError

from .conftest import comparison_of, figures, measured_of, paths_in

RANKS = {"not_improved": 0, "inconclusive": 1, "improved": 2}


def decided(document: Mapping[str, Any], policy: dict[str, Any] | None = None) -> str:
    return decide(parse_comparison(document), parse_policy(policy or {})).verdict


def metrics_with(**mae: float) -> dict[str, Any]:
    return {**comparison_of()["metrics"], "mae": {**figures("mae", 2.0, 2.5, 0.1), **mae}}


def measured_with(candidate: float, baseline: float, half_width: float) -> dict[str, Any]:
    """This MAE, and an RMSE that is possible with it and tells nothing."""
    mae = figures("mae", candidate, baseline, half_width)
    rmse = figures("rmse", candidate + 1, baseline + 1, 1_000.0)
    return measured_of({**metrics_with(), "mae": mae, "rmse": rmse})


def test_a_better_candidate_passes(comparison: dict[str, Any]) -> None:
    verdict = decide(parse_comparison(comparison), Policy())
    assert (verdict.passed, verdict.verdict) == (True, "improved")
    assert "20.0% better" in verdict.reasons[0]
    assert "2.5000 USD" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("candidate", "baseline", "half_width", "expected"),
    [
        (2.5, 2.5, 0.0, "not_improved"),
        (2.6, 2.5, 0.05, "not_improved"),
        (2.49, 2.5, 0.001, "not_improved"),
        (2.45, 2.5, 0.1, "inconclusive"),
        (2.49, 2.5, 0.009, "not_improved"),
        (2.475, 2.5, 0.02, "improved"),
        (0.0, 2.5, 0.1, "improved"),
        (0.0, 0.0, 0.0, "not_improved"),
    ],
)
def test_the_verdict_follows_interval_and_least_gain(
    candidate: float, baseline: float, half_width: float, expected: str
) -> None:
    verdict = decide(parse_comparison(comparison_of(candidate, baseline, half_width)), Policy())
    assert (verdict.verdict, verdict.passed) == (expected, expected == "improved")


def test_more_is_better_for_r2() -> None:
    policy = {"primary_metric": "r2", "guard_metrics": []}
    document = comparison_of(0.9, 0.8, 0.01, policy)
    document["metrics"]["r2"] = figures("r2", 0.9, 0.8, 0.01)
    assert decided(document, policy) == "improved"
    metrics = {**document["metrics"], "r2": figures("r2", 0.8, 0.9, 0.01)}
    assert verdict_of(measured_of(metrics), parse_policy(policy)).verdict == "not_improved"


def test_an_edited_flag_is_noticed() -> None:
    document = comparison_of(2.6, 2.5)
    document["improved"] = True
    with pytest.raises(EvidenceError, match=r"improved: is true, but the numbers say") as caught:
        decided(document)
    assert caught.value.exit_code == ExitCode.GATE_REFUSED
    document["verdict"] = "improved"
    with pytest.raises(EvidenceError):
        decided(document)


def test_an_edited_verdict_is_noticed(comparison: dict[str, Any]) -> None:
    comparison["verdict"] = "inconclusive"
    with pytest.raises(EvidenceError, match="verdict: is inconclusive"):
        decided(comparison)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metrics.mae.change", -0.9),
        ("metrics.mae.relative_change", -0.5),
        ("metrics.rmse.candidate", 1.0),
        ("slices_uncompared", None),
        ("policy.max_report_age_days", -1),
        ("metrics.mae.direction", "higher_is_better"),
        ("metrics.mae.ci_low", math.nan),
        ("metrics.mae.ci_high", math.inf),
        ("metrics.mae.ci_low", None),
        ("metrics.mae.ci_low", "-0.6"),
        ("metrics.mae.ci_low", True),
        ("metrics.mae.ci_low", 10**400),
        ("metrics.mae.candidate", -2.0),
        ("metrics.r2.baseline", 1.5),
        ("test_data.rows", 0),
        ("test_data.rows", 1e3),
        ("test_data.sha256", "sha256:abc"),
        ("candidate.sha256", "0" * 64),
        ("candidate.path", ""),
        ("baseline.kind", "champion"),
        ("baseline.version", ""),
        ("policy.confidence", 0.1),
        ("policy_sha256", "sha256:" + "0" * 64),
        ("created_at", "yesterday"),
        ("created_at", "2026-02-30T00:00:00Z"),
        ("schema_version", 2),
        ("schema_version", True),
        ("reasons", "because"),
        ("branch", "\ud800"),
        ("confidence", 0.9),
        ("primary_metric", "rmse"),
        ("metrics.mae", []),
        ("slices", {}),
    ],
)
def test_a_broken_field_is_refused_by_its_path(
    comparison: dict[str, Any], path: str, value: object
) -> None:
    *parents, name = path.split(".")
    target = comparison
    for parent in parents:
        target = target[parent]
    target[name] = value
    with pytest.raises(EvidenceError) as caught:
        decided(comparison)
    named = path.rsplit(".", 1)[0] if path in ("metrics.rmse.candidate",) else path
    assert named in caught.value.what
    assert caught.value.exit_code == ExitCode.GATE_REFUSED


FIELDS = [path for path in paths_in(comparison_of()) if isinstance(path[-1], str)]


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_every_missing_field_is_refused(comparison: dict[str, Any], path: tuple[Any, ...]) -> None:
    target: Any = comparison
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    with pytest.raises(EvidenceError, match="is missing") as caught:
        decided(comparison)
    assert str(path[-1]) in caught.value.details["field"]


def test_a_broken_slice_is_refused_by_its_position(comparison: dict[str, Any]) -> None:
    comparison["slices"][0]["ci_low"] = None
    with pytest.raises(EvidenceError, match=r"slices\[0\]\.ci_low"):
        parse_comparison(comparison)
    comparison["slices"][0] = 7
    with pytest.raises(EvidenceError, match=r"slices\[0\]"):
        parse_comparison(comparison)


def test_a_change_outside_of_its_interval_is_refused(comparison: dict[str, Any]) -> None:
    comparison["metrics"]["mae"].update(ci_low=-0.9, ci_high=-0.8)
    with pytest.raises(EvidenceError, match=r"metrics\.mae\.ci_high"):
        decided(comparison)


def test_a_mean_above_the_root_mean_square_is_refused(comparison: dict[str, Any]) -> None:
    comparison["metrics"]["rmse"] = figures("rmse", 1.9, 3.5, 0.1)
    with pytest.raises(EvidenceError, match=r"metrics\.rmse\.candidate: is 1\.9, which is less"):
        decided(comparison)


def test_a_report_is_stale_after_the_days_that_the_policy_allows(
    comparison: dict[str, Any],
) -> None:
    parsed, made = parse_comparison(comparison), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for days, policy in ((30, {}), (400, {"max_report_age_days": 0})):
        check_age(parsed, parse_policy(policy), made + timedelta(days=days))
    check_age(parsed, Policy(), made - timedelta(minutes=14))
    for moment in (made + timedelta(days=30, seconds=1), made - timedelta(minutes=16)):
        with pytest.raises(EvidenceError, match="created_at") as caught:
            check_age(parsed, Policy(), moment)
        assert caught.value.details["field"] == "created_at"


def test_a_comparison_under_another_policy_is_refused(comparison: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError, match=r"min_relative_improvement was 0\.01, is 0\.3"):
        decided(comparison, {"min_relative_improvement": 0.3})


def test_a_policy_made_lenient_in_the_report_is_refused() -> None:
    lenient = {"min_relative_improvement": 0.0}
    with pytest.raises(EvidenceError, match="another policy"):
        decided(comparison_of(2.499, 2.5, 0.0005, lenient))


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        ({"primery_metric": "mae"}, "'primery_metric': unknown key", "'primary_metric'"),
        ({"zzz": 1}, "unknown key", "Known keys"),
        ({"primary_metric": "auc"}, "primary_metric: must be one of", ""),
        ({"min_relative_improvement": "1%"}, "min_relative_improvement: must be a number", ""),
        ({"min_relative_improvement": -0.1}, "between 0 and 1", ""),
        ({"confidence": 1.0}, "confidence", ""),
        ({"confidence": math.nan}, "confidence: must be a finite number", ""),
        ({"confidence": True}, "confidence: must be a number", ""),
    ],
)
def test_a_wrong_policy_is_refused(table: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(table)
    assert message in caught.value.what
    assert hint in caught.value.hint


def test_equal_policies_have_equal_digests() -> None:
    written_out = {"confidence": 0.95, "primary_metric": "mae", "min_relative_improvement": 0.01}
    assert parse_policy({}).sha256() == parse_policy(written_out).sha256()
    whole, decimal = ({"min_relative_improvement": zero} for zero in (0, 0.0))
    assert parse_policy(whole).sha256() == parse_policy(decimal).sha256()
    assert parse_policy(whole).sha256() != parse_policy({}).sha256()


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "1", [], True])
def test_the_compare_step_gets_no_verdict_on_a_figure_that_is_no_number(value: object) -> None:
    with pytest.raises(EvidenceError, match=r"metrics\.mae\.ci_low"):
        verdict_of(measured_of(metrics_with(ci_low=value)), Policy())  # type: ignore[arg-type]


SIZES = st.floats(0.01, 100, allow_nan=False)


@given(SIZES, SIZES, st.floats(0, 10), st.floats(0, 50), st.floats(0, 0.5))
def test_a_better_candidate_never_gets_a_worse_verdict(
    candidate: float, baseline: float, half_width: float, better_by: float, least: float
) -> None:
    policy = parse_policy({"min_relative_improvement": least})
    better = max(candidate - better_by, 0.0)
    verdicts = [
        verdict_of(measured_with(each, baseline, half_width), policy)
        for each in (candidate, better)
    ]
    assert RANKS[verdicts[0].verdict] <= RANKS[verdicts[1].verdict]


@given(SIZES, SIZES, st.floats(0, 10))
def test_both_ways_round_never_pass(one: float, other: float, half_width: float) -> None:
    passed = [
        verdict_of(measured_with(*pair, half_width), Policy()).passed
        for pair in ((one, other), (other, one))
    ]
    assert passed != [True, True]


@given(SIZES, SIZES, st.floats(0, 10), st.floats(0, 5), st.floats(0, 5))
def test_a_wider_interval_or_stricter_policy_never_passes_more(
    candidate: float, baseline: float, half_width: float, wider: float, stricter: float
) -> None:
    assume(stricter / 10 <= 0.5)
    metrics = measured_with(candidate, baseline, half_width + wider)
    narrow = measured_with(candidate, baseline, half_width)
    strict = parse_policy({"min_relative_improvement": 0.01 + stricter / 10})
    if verdict_of(metrics, Policy()).passed:
        assert verdict_of(narrow, Policy()).passed
    if verdict_of(narrow, strict).passed:
        assert verdict_of(narrow, Policy()).passed


def test_whatever_the_compare_step_writes_the_gate_agrees_with(comparison: dict[str, Any]) -> None:
    for candidate in (1.0, 2.4, 2.49, 2.5, 3.0):
        for half_width in (0.0, 0.05, 0.5):
            document = json.loads(json.dumps(comparison_of(candidate, 2.5, half_width)))
            assert decided(document) == document["verdict"]


def test_deciding_changes_nothing(comparison: dict[str, Any]) -> None:
    before = copy.deepcopy(comparison)
    decided(comparison)
    assert comparison == before
