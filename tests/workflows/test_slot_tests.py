"""The judgement of a slot: each check fails for its own reason and blames the right one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taxiops.cloud.scoring import Answer, Blame
from taxiops.errors import UsageError
from taxiops.workflows.rollouts.limits import Limits, parse_limits
from taxiops.workflows.rollouts.slot_tests import (
    Probe,
    Target,
    check_accuracy,
    check_identity,
    check_parity,
    check_schema,
    error_check,
    latency_check,
    percentiles,
    read_probe,
)

DIGEST = f"sha256:{'a' * 64}"
PROBE = Probe([{}, {}], (10.0, 20.0), [{}, {}], (12.0, 18.0), 2.0)
TARGET = Target("green", DIGEST, "7", "blue")
GOOD = {
    "predictions": [10.0, 20.0],
    "model_sha256": DIGEST,
    "deployment": "green",
    "model_version": "7",
}


def answer(document: Mapping[str, Any], status: int = 200, latency_ms: float = 5.0) -> Answer:
    blame = Blame.NOBODY if status == 200 else Blame.PLATFORM
    return Answer(status, blame, latency_ms, document, "" if status == 200 else "refused")


def test_a_good_answer_passes_every_check() -> None:
    good, limits = answer(GOOD), Limits()
    checks = (
        check_schema(good, PROBE),
        check_identity(good, TARGET),
        check_parity(good, PROBE, limits),
        check_accuracy(good, PROBE, limits),
    )
    assert [check.passed for check in checks] == [True] * 4


@pytest.mark.parametrize(
    "predictions", [None, [], [10.0], [10.0, "20"], [10.0, float("nan")], [10.0, True], "1020"]
)
def test_predictions_must_be_one_finite_number_a_row(predictions: object) -> None:
    bad = answer({**GOOD, "predictions": predictions})
    assert check_schema(bad, PROBE).blame is Blame.MODEL
    assert not check_parity(bad, PROBE, Limits()).passed
    assert not check_accuracy(bad, PROBE, Limits()).passed


@pytest.mark.parametrize("name", ["model_sha256", "deployment", "model_version"])
def test_the_wrong_model_is_recognised_by_its_answer(name: str) -> None:
    check = check_identity(answer({**GOOD, name: "other"}), TARGET)
    assert (check.passed, check.blame) == (False, Blame.MODEL)
    assert name in check.detail


def test_a_served_prediction_off_by_a_cent_breaks_parity() -> None:
    check = check_parity(answer({**GOOD, "predictions": [10.0, 20.01]}), PROBE, Limits())
    assert (check.passed, check.blame) == (False, Blame.MODEL)


def test_worse_accuracy_than_offline_fails_and_equal_passes() -> None:
    worse = answer({**GOOD, "predictions": [10.0, 20.5]})
    assert check_accuracy(answer(GOOD), PROBE, Limits()).passed
    assert not check_accuracy(worse, PROBE, Limits()).passed
    assert check_accuracy(worse, PROBE, Limits(max_mae_increase_percent=50)).passed


def test_a_platform_failure_does_not_blame_the_model() -> None:
    broken = answer({}, status=500)
    for check in (check_schema(broken, PROBE), check_parity(broken, PROBE, Limits())):
        assert (check.passed, check.blame) == (False, Blame.PLATFORM)


def test_errors_are_counted_and_one_of_the_model_outweighs_many_of_the_platform() -> None:
    answers = [answer(GOOD)] * 8 + [answer({}, 500), Answer(424, Blame.MODEL, 1.0)]
    check = error_check(answers, Limits())
    assert (check.passed, check.blame) == (False, Blame.MODEL)
    assert check.figures["error_percent"] == 20.0
    assert error_check(answers, Limits(max_error_percent=20)).passed


def test_latency_is_held_against_the_incumbent_and_the_limit() -> None:
    own = [answer(GOOD, latency_ms=400.0)] * 20
    fast, slow = ([answer(GOOD, latency_ms=ms)] * 20 for ms in (50.0, 300.0))
    assert latency_check(own, [], Limits()).passed
    assert latency_check(own, slow, Limits()).passed
    assert not latency_check(own, fast, Limits()).passed
    assert not latency_check(own, slow, Limits(max_p95_ms=100)).passed


def test_percentiles_are_nearest_rank() -> None:
    found = percentiles([answer(GOOD, latency_ms=float(ms)) for ms in range(1, 101)])
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"rows": []}', '{"rows": [1]}', '{"rows": [{}], "predictions": []}'],
)
def test_a_model_without_usable_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "golden.json").write_text(text, encoding="utf-8")
    (tmp_path / "labelled.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"golden\.json"):
        read_probe(tmp_path)


def test_limits_have_defaults_and_refuse_what_they_do_not_know() -> None:
    assert parse_limits({}) == Limits()
    assert parse_limits({"max_p95_ms": 5}).max_p95_ms == 5.0
    for table in ({"max_p95": 1}, {"requests": "many"}, {"requests": 1.5}, {"max_p95_ms": -1}):
        with pytest.raises(UsageError):
            parse_limits(table)
