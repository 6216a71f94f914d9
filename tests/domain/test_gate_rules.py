"""The rules beside the primary metric, each alone: what breaches it, and what just does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.domain.comparison import Metric
from taxiops.domain.gate import (
    Verdict,
    decide,
    parse_comparison,
    parse_policy,
    verdict_of,
)
from taxiops.domain.gate_rules import slice_confidence, slice_verdict
from taxiops.errors import EvidenceError, UsageError

from .conftest import comparison_of, figures, measured_of

BETTER = {
    "mae": figures("mae", 2.0, 2.5, 0.1),
    "rmse": figures("rmse", 3.0, 3.5, 0.6),
    "r2": figures("r2", 0.9, 0.85, 0.01),
    "mape": figures("mape", 0.1, 0.12, 0.005),
}


def judged(
    policy: dict[str, Any] | None = None,
    slices: list[dict[str, Any]] | None = None,
    kind: str = "serving",
    candidate: dict[str, Any] | None = None,
    **metrics: dict[str, Any],
) -> Verdict:
    measured = measured_of({**BETTER, **metrics}, slices, kind)
    measured["candidate"] |= candidate or {}
    return verdict_of(measured, parse_policy(policy or {}))


def slice_of(candidate: float, rows: int = 400, half_width: float = 0.1) -> dict[str, Any]:
    row = figures("mae", candidate, 2.0, half_width)
    policy = parse_policy({})
    verdict = slice_verdict(Metric(**row), rows, policy)
    return {"slice": "airport: yes", "rows": rows, **row, "verdict": verdict}


def test_a_guard_refuses_what_is_certainly_worse_and_nothing_less() -> None:
    worse, unsure = figures("rmse", 3.6, 3.5, 0.05), figures("rmse", 3.6, 3.5, 0.2)
    refused = judged(rmse=worse)
    assert (refused.verdict, refused.passed) == ("not_improved", False)
    assert "RMSE must not be worse" in refused.reasons[-1]
    assert judged(rmse=unsure).passed
    assert judged({"guard_metrics": []}, rmse=worse).passed
    assert judged({"guard_metrics": ["r2"]}, rmse=worse).passed
    r2 = figures("r2", 0.8, 0.85, 0.01)
    assert judged(r2=r2).passed
    assert not judged({"guard_metrics": ["r2"]}, r2=r2).passed


def test_a_guard_that_is_much_worse_leaves_the_verdict_open_even_if_it_may_be_chance() -> None:
    astray = figures("rmse", 3.85, 3.5, 0.7)
    left_open = judged(rmse=astray)
    assert (left_open.verdict, left_open.passed) == ("inconclusive", False)
    assert left_open.reasons[-2:] == (
        "RMSE is 10.0% worse, which may be chance; the policy's max_guard_regression is 5%.",
        "About 7,200 more test trips would show it in 80 of 100 cases, if the difference stays.",
    )
    assert judged({"max_guard_regression": 0.1}, rmse=astray).passed
    assert judged({"guard_metrics": []}, rmse=astray).passed
    assert judged(rmse=figures("rmse", 3.4, 3.5, 2.0)).passed
    worse_anyway = judged(mae=figures("mae", 2.6, 2.5, 0.05), rmse=astray)
    assert worse_anyway.verdict == "not_improved"


def test_limits_are_ceilings_or_floors_by_what_is_better() -> None:
    assert judged({"metric_limits": {"mae": 2.0, "r2": 0.9}}).passed
    too_high = judged({"metric_limits": {"mae": 1.99}})
    assert "MAE is 2.0000; the policy allows at most 1.99." in too_high.reasons
    assert not too_high.passed
    too_low = judged({"metric_limits": {"r2": 0.91}})
    assert "R2 is 0.9000; the policy allows at least 0.91." in too_low.reasons
    assert not too_low.passed


def test_a_slice_refuses_when_it_is_certainly_worse_by_more_than_allowed() -> None:
    refused = judged(slices=[slice_of(2.3)])
    assert not refused.passed
    assert refused.reasons[-1] == (
        "Slice 'airport: yes' is 15.0% worse on 400 trips, and certainly worse; the policy "
        "allows 10%."
    )
    assert judged({"max_slice_regression": 0.15}, slices=[slice_of(2.3)]).passed
    assert judged(slices=[slice_of(2.19)]).passed
    assert judged(slices=[slice_of(2.3, half_width=0.4)]).passed
    assert judged(slices=[slice_of(2.3, rows=99)]).passed
    assert judged({"min_slice_rows": 401}, slices=[slice_of(2.3)]).passed


def test_of_many_bad_slices_the_worst_are_named_and_the_others_counted() -> None:
    slices = [{**slice_of(2.3 + at / 10), "slice": f"hour: {at}"} for at in range(5)]
    reasons = [each for each in judged(slices=slices).reasons if "lice" in each]
    named = [reason.split("'")[1] for reason in reasons[:-1]]
    assert (named, reasons[-1]) == (
        ["hour: 4", "hour: 3", "hour: 2"],
        "So are 2 more slices; see the report.",
    )
    assert judged(slices=slices[:4]).reasons[-1] == "So is 1 more slice; see the report."


def test_a_slice_that_was_perfect_may_not_be_worse_at_all() -> None:
    row = figures("mae", 0.2, 0.0, 0.1)
    perfect = {"slice": "airport: yes", "rows": 400, **row, "verdict": "not_improved"}
    assert not judged({"max_slice_regression": 10}, slices=[perfect]).passed


def test_the_model_s_size_and_latency_are_limited_only_when_asked() -> None:
    heavy = {"size_bytes": 2_000_001, "row_latency_ms": 1.5}
    assert judged(candidate=heavy).passed
    assert judged({"max_model_mb": 2.1, "max_row_latency_ms": 1.5}, candidate=heavy).passed
    assert judged({"max_model_mb": 2}, candidate=heavy).reasons[-1].startswith("The model has 2.00")
    slow = judged({"max_row_latency_ms": 1.4}, candidate=heavy)
    assert "Scoring one trip takes 1.50 ms; the policy allows 1.4 ms." in slow.reasons
    assert not slow.passed


def test_a_first_run_is_refused_where_the_policy_says_so() -> None:
    assert judged(kind="naive").passed
    refused = judged({"first_run": "refuse"}, kind="naive")
    assert (refused.verdict, refused.passed) == ("no_baseline", False)
    assert "first_run is 'refuse'" in refused.reasons[-1]
    assert judged({"first_run": "refuse"}).passed


@pytest.mark.parametrize(
    ("candidate", "half_width", "expected"),
    [
        # Half the gain of the width, and 80 % power: ((1.96 + 0.84) / 1.96 * 2)² times the trips.
        (2.4, 0.2, "About 7,200 more test trips would show that it is better in 80 of 100 cases"),
        # Certainly better, but by less than is demanded (0.025), which the interval reaches.
        (2.48, 0.01, "About 7,200 more test trips would show that it is not better enough"),
        # Above the demand by a hundredth of a cent, which chance takes away half the time.
        (2.4749, 0.03, "About 17,000,000 more test trips"),
        (2.475000001, 0.03, "too near to what is demanded"),
    ],
)
def test_an_inconclusive_verdict_says_how_many_more_trips(
    candidate: float, half_width: float, expected: str
) -> None:
    verdict = judged(mae=figures("mae", candidate, 2.5, half_width))
    assert verdict.verdict == "inconclusive"
    assert expected in verdict.reasons[-1]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"guard_metrics": ["rmes"]}, r"guard_metrics\[0\]"),
        ({"guard_metrics": "rmse"}, "guard_metrics"),
        ({"max_guard_regression": -0.1}, "max_guard_regression"),
        ({"max_report_age_days": 1e9}, "max_report_age_days"),
        ({"metric_limits": {"rmsee": 1}}, "Did you mean 'rmse'"),
        ({"metric_limits": {"rmse": "1"}}, r"metric_limits\.rmse"),
        ({"max_slice_regression": -0.1}, "max_slice_regression"),
        ({"min_slice_rows": 1}, "min_slice_rows"),
        ({"min_slice_rows": 30.5}, "min_slice_rows"),
        ({"first_run": "pass"}, "first_run"),
        ({"max_model_mb": float("nan")}, "max_model_mb"),
        ({"allow_override_in_prod": "yes"}, "allow_override_in_prod"),
    ],
)
def test_a_rule_that_says_nothing_sensible_is_an_error(
    policy: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parse_policy(policy)
    assert message.replace("\\", "") in f"{refused.value} {refused.value.hint}"


def test_equal_sets_of_guards_are_equal_policies() -> None:
    one, other = ({"guard_metrics": names} for names in (["r2", "rmse"], ["rmse", "r2", "r2"]))
    assert parse_policy(one).sha256() == parse_policy(other).sha256()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slice_confidence": 0.99}, "slice_confidence"),
        ({"slices": [{**comparison_of()["slices"][0], "verdict": "not_improved"}]}, "slices[0]"),
        ({"slices": [{**comparison_of()["slices"][0], "ci_high": -0.6}]}, "slices[0].ci_high"),
        ({"slices": comparison_of()["slices"] * 2}, "slice_confidence"),
    ],
)
def test_edited_slices_are_noticed(change: dict[str, Any], field: str) -> None:
    document = {**comparison_of(), **change}
    with pytest.raises(EvidenceError) as refused:
        decide(parse_comparison(document), parse_policy({}))
    assert field in str(refused.value)


def test_many_slices_together_are_as_sure_as_one_metric() -> None:
    policy = parse_policy({"confidence": 0.9})
    assert slice_confidence(policy, 0) == slice_confidence(policy, 1) == pytest.approx(0.9)
    assert slice_confidence(policy, 10) == pytest.approx(0.99)


FIGURE = st.floats(0.01, 100)
RANKS = {"no_baseline": 0, "not_improved": 0, "inconclusive": 1, "improved": 2}


@given(FIGURE, FIGURE, FIGURE, st.floats(0, 10), st.floats(0, 5), st.sampled_from(["rmse", "mae"]))
def test_a_better_guard_or_slice_never_turns_a_pass_into_a_refusal(
    candidate: float, baseline: float, slice_figure: float, half: float, by: float, guard: str
) -> None:
    policy = {"guard_metrics": [guard], "metric_limits": {"rmse": 50.0}}

    def rank(gain: float) -> int:
        # Never below the MAE, which no root mean square is.
        rmse = figures("rmse", 3 + max(candidate - gain, 0.0), 3 + baseline, half)
        one = slice_of(max(slice_figure - gain, 0.0), half_width=half)
        return RANKS[judged(policy, [one], rmse=rmse).verdict]

    assert rank(0.0) <= rank(by)


@given(FIGURE, FIGURE, st.floats(0, 10), st.integers(2, 1_000))
def test_a_slice_the_other_way_round_is_told_the_other_way_round(
    one: float, other: float, half_width: float, rows: int
) -> None:
    policy, mirror = parse_policy({}), {"improved": "not_improved", "not_improved": "improved"}
    there = slice_verdict(Metric(**figures("mae", one, other, half_width)), rows, policy)
    back = slice_verdict(Metric(**figures("mae", other, one, half_width)), rows, policy)
    assert back == mirror.get(there, there)
