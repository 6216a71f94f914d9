"""The compare step: the report of the contract, from the same trips for both models."""

import itertools
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from taxiops.domain.gate import decide, parse_comparison, parse_policy
from taxiops.errors import UsageError
from taxiops.steps.columns import FARE, concatenate
from taxiops.steps.compare import arguments, comparison
from taxiops.steps.features import feature_matrix
from taxiops.steps.literals import encode_literal
from taxiops.steps.model_files import load_model
from taxiops.steps.naive import fit_naive
from taxiops.steps.prepare import prepare, read_prepared
from taxiops.steps.slices import FAMILIES, NAMES

from .conftest import StepRun, trained

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Compared = Callable[..., tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def compared(prepared: Path, tmp_path: Path) -> Compared:
    """Runs the comparison in this process with the options a component would pass."""

    def run(
        candidate: Path,
        *options: object,
        data: Path = prepared,
        environ: dict[str, str] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        given = ["--train-trips", data / "train", "--test-trips", data / "test"]
        given += ["--candidate-model", candidate, "--report", tmp_path / "report", *options]
        return comparison(arguments().parse_args([str(each) for each in given]), environ or {}, NOW)

    return run


def against(baseline: Path) -> list[object]:
    return ["--baseline-model", baseline, "--baseline-kind=serving", "--baseline-name=m"]


def test_a_better_model_is_improved(
    compared: Compared, strong_model: Path, weak_model: Path
) -> None:
    document, _ = compared(strong_model, *against(weak_model), "--baseline-version=4")
    assert (document["improved"], document["verdict"]) == (True, "improved")
    assert document["baseline"]["kind"] == "serving"
    assert (document["baseline"]["name"], document["baseline"]["version"]) == ("m", "4")
    assert document["baseline"]["sha256"] == load_model(weak_model).sha256
    assert document["candidate"]["sha256"] == load_model(strong_model).sha256


def test_a_worse_model_is_not(compared: Compared, strong_model: Path, weak_model: Path) -> None:
    document, _ = compared(weak_model, *against(strong_model))
    assert (document["improved"], document["verdict"]) == (False, "not_improved")


def test_the_same_model_again_is_not_improved(compared: Compared, strong_model: Path) -> None:
    document, _ = compared(strong_model, *against(strong_model))
    assert document["improved"] is False
    assert document["metrics"]["mae"]["change"] == 0.0


def test_without_a_baseline_the_naive_fare_is_the_one_to_beat(
    compared: Compared, prepared: Path, weak_model: Path
) -> None:
    document, samples = compared(weak_model)
    naive = fit_naive(read_prepared(prepared / "train", 10_000, "train")[1])
    assert document["baseline"]["kind"] == "naive"
    assert document["baseline"]["sha256"] == naive.sha256()
    assert samples["baseline_metadata"]["params"]["per_mile_usd"] == naive.per_mile_usd
    assert document["improved"] is True


def expected(data: Path, model: Path) -> tuple[np.ndarray, np.ndarray]:
    trips = concatenate(list(read_prepared(data / "test", 500, "test")[1]))
    loaded = load_model(model)
    return trips[FARE], loaded.predict(feature_matrix(trips, loaded.features))


def test_figures_of_real_trips_agree_with_scikit_learn(
    compared: Compared, real_data: Path, tmp_path: Path
) -> None:
    prepare(real_data, 0, 0, tmp_path / "train", tmp_path / "test")
    model = trained(tmp_path, tmp_path / "model", 60)
    document, _ = compared(model, data=tmp_path)
    fares, predicted = expected(tmp_path, model)
    figures = {name: row["candidate"] for name, row in document["metrics"].items()}
    assert figures == pytest.approx(
        {
            "mae": sk.mean_absolute_error(fares, predicted),
            "rmse": sk.root_mean_squared_error(fares, predicted),
            "r2": sk.r2_score(fares, predicted),
            "mape": sk.mean_absolute_percentage_error(fares, predicted),
        },
        abs=1e-6,
    )
    assert document["test_data"]["rows"] == len(fares) > 1_900
    assert document["test_data"]["source"] == (
        "nyc_green_taxi_2016_01.csv, nyc_yellow_taxi_2016_01.csv"
    )
    assert document["improved"] is True


@pytest.mark.parametrize("batch", [7, 97, 1_000])
def test_nothing_depends_on_the_batch_size(
    compared: Compared, strong_model: Path, weak_model: Path, batch: int
) -> None:
    options = against(weak_model)
    whole, samples = compared(strong_model, *options)
    in_batches, same_samples = compared(strong_model, *options, "--batch-rows", batch)
    for document in (whole, in_batches):
        assert document["candidate"].pop("row_latency_ms") > 0
    assert (in_batches, same_samples) == (whole, samples)


def test_the_document_has_the_fields_of_the_contract(
    compared: Compared, strong_model: Path, weak_model: Path
) -> None:
    document, _ = compared(
        strong_model,
        *against(weak_model),
        "--commit=abc",
        f"--branch={encode_literal('a b')}",
        environ={
            "AZUREML_RUN_ID": "child",
            "AZUREML_ROOT_RUN_ID": "root",
            "AZUREML_ARM_WORKSPACE_NAME": "mlwdevcc01",
        },
    )
    assert set(document) == {
        *("schema_version", "improved", "verdict", "reasons", "primary_metric", "confidence"),
        *("slice_confidence", "metrics", "slices", "slices_uncompared", "test_data", "candidate"),
        "baseline",
        *("policy", "policy_sha256", "job", "commit", "branch", "created_at"),
    }
    figures = {"unit", "direction", "candidate", "baseline", "change", "relative_change"}
    figures |= {"ci_low", "ci_high"}
    assert set(document["metrics"]) == {"mae", "rmse", "r2", "mape"}
    assert all(set(row) == figures for row in document["metrics"].values())
    assert all(set(row) == figures | {"slice", "rows", "verdict"} for row in document["slices"])
    assert document["job"] == {"name": "root", "workspace": "mlwdevcc01"}
    assert document["candidate"]["path"] == "azureml://jobs/root/outputs/model"
    assert (document["commit"], document["branch"]) == ("abc", "a b")
    assert document["created_at"] == "2026-01-02T03:04:05Z"
    json.dumps(document, allow_nan=False)


def test_the_slices_of_each_family_add_up_to_all_trips(
    compared: Compared, strong_model: Path
) -> None:
    document, _ = compared(strong_model)
    rows = {row["slice"]: row["rows"] for row in document["slices"]}
    assert set(rows) <= set(NAMES)
    for family in FAMILIES:
        total = sum(count for name, count in rows.items() if name.startswith(f"{family.name}: "))
        assert total == document["test_data"]["rows"]


def test_slices_with_few_trips_are_inconclusive_and_shown(
    compared: Compared, strong_model: Path
) -> None:
    document, _ = compared(strong_model)
    small = [row for row in document["slices"] if row["rows"] < 100]
    assert small
    assert {row["verdict"] for row in small} == {"inconclusive"}
    compared_names = [row["slice"] for row in document["slices"]]
    apart = [row["slice"] for row in document["slices_uncompared"]]
    assert sorted(compared_names + apart) == sorted(NAMES)
    assert all(row["rows"] < 3 for row in document["slices_uncompared"])


def test_the_policy_given_is_the_policy_used(compared: Compared, strong_model: Path) -> None:
    policy = json.dumps({"primary_metric": "rmse", "min_relative_improvement": 0.99})
    document, _ = compared(strong_model, f"--policy={encode_literal(policy)}")
    assert document["primary_metric"] == "rmse"
    assert document["improved"] is False
    assert {row["unit"] for row in document["slices"]} == {"USD"}


def test_the_gate_reads_the_report_of_every_primary_metric_and_decides_alike(
    compared: Compared, strong_model: Path, weak_model: Path
) -> None:
    for metric in ("mae", "rmse", "r2", "mape"):
        policy = encode_literal(json.dumps({"primary_metric": metric}))
        document, _ = compared(
            strong_model, *against(weak_model), "--baseline-version=1", f"--policy={policy}"
        )
        parsed = parse_comparison(json.loads(json.dumps(document, allow_nan=False)))
        verdict = decide(parsed, parse_policy({"primary_metric": metric}))
        assert verdict.verdict == document["verdict"]
        assert len(parsed.slices) >= 15


@pytest.mark.parametrize("policy", ["{", "[]", '{"primery_metric": "mae"}'])
def test_a_policy_that_cannot_be_read_is_refused(
    compared: Compared, strong_model: Path, policy: str
) -> None:
    with pytest.raises(UsageError):
        compared(strong_model, f"--policy={encode_literal(policy)}")


def test_samples_show_what_the_report_draws(compared: Compared, strong_model: Path) -> None:
    document, samples = compared(strong_model)
    rows = document["test_data"]["rows"]
    histogram = samples["error_histogram"]
    assert len(histogram["edges"]) == len(histogram["candidate"]) + 1
    assert sum(histogram["candidate"]) == sum(histogram["baseline"]) == rows
    points = samples["predicted_vs_actual"]
    assert len(points["actual"]) == len(points["candidate"]) == min(rows, 2_000)
    errors = [abs(trip["candidate"] - trip["actual"]) for trip in samples["worst_trips"]]
    assert len(errors) == 20
    assert all(one >= next_one - 0.02 for one, next_one in itertools.pairwise(errors))
    assert samples["worst_trips"][0]["trip"]["pickup_datetime"]
    assert set(samples["features"]) == set(samples["candidate_metadata"]["features"])
    json.dumps(samples, allow_nan=False)


def test_error_quantiles_and_bias_are_those_of_the_errors(
    compared: Compared, prepared: Path, strong_model: Path
) -> None:
    _, samples = compared(strong_model)
    fares, predicted = expected(prepared, strong_model)
    quantiles = samples["error_quantiles"]
    exact = np.quantile(np.abs(predicted - fares), quantiles["levels"], method="inverted_cdf")
    assert quantiles["candidate"] == pytest.approx(exact, abs=0.051)
    assert samples["bias_usd"]["candidate"] == pytest.approx((predicted - fares).mean(), abs=1e-5)


def test_a_kind_without_its_model_is_refused(compared: Compared, strong_model: Path) -> None:
    with pytest.raises(UsageError, match="no --baseline-model"):
        compared(strong_model, "--baseline-kind=serving")
    with pytest.raises(UsageError, match="kind is naive"):
        compared(strong_model, "--baseline-model", strong_model)


def test_the_step_writes_its_report_and_says_the_verdict(
    step: StepRun, prepared: Path, strong_model: Path, tmp_path: Path
) -> None:
    result = step(
        "compare",
        *("--train-trips", prepared / "train", "--test-trips", prepared / "test"),
        *("--candidate-model", strong_model, "--report", tmp_path),
    )
    assert result.returncode == 0, result.stderr
    assert "verdict: improved" in result.stdout
    names = sorted(path.name for path in (tmp_path / "metrics").iterdir())
    assert names == ["comparison.json", "samples.json"]


def test_the_step_refuses_a_foreign_model_in_one_line(
    step: StepRun, prepared: Path, strong_model: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(strong_model, tmp_path / "bad"))
    (bad / "model.skops").write_bytes(b"\x80\x04.")
    result = step(
        "compare",
        *("--train-trips", prepared / "train", "--test-trips", prepared / "test"),
        *("--candidate-model", bad, "--report", tmp_path),
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "model.skops" in result.stderr
