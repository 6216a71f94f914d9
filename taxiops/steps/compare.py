"""The compare step: candidate and baseline on the same frozen test trips, in one pass."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.domain.comparison import Metric
from taxiops.domain.gate import Policy, parse_policy, verdict_of
from taxiops.domain.gate_rules import slice_confidence, slice_verdict
from taxiops.errors import UsageError
from taxiops.steps.columns import FARE, RIDE, rows_of
from taxiops.steps.digests import TripsDigest
from taxiops.steps.features import feature_matrix
from taxiops.steps.identity import BLOCKS, block_of
from taxiops.steps.literals import decode_literal
from taxiops.steps.model_files import Model, load_model
from taxiops.steps.naive import FEATURES as NAIVE_FEATURES
from taxiops.steps.naive import NAME as NAIVE_NAME
from taxiops.steps.naive import fit_naive
from taxiops.steps.prepare import FEWEST_TEST, read_prepared
from taxiops.steps.program import Arguments, run_program, say
from taxiops.steps.samples import Samples
from taxiops.steps.slices import NAMES, slice_positions
from taxiops.steps.statistics import (
    LARGEST_PREDICTION_USD,
    METRICS,
    Sums,
    compared,
    empty_sums,
    error_terms,
    is_defined,
    sums_by,
)

BATCH_ROWS = 65_536
WARM_UP, TIMED = 20, 200
KINDS = ("serving", "registry", "naive")
Floats = NDArray[np.float64]
Trips = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Baseline:
    """What the candidate must beat: `kind` serving, registry or naive, and which one it is."""

    model: Model
    kind: str
    name: str
    version: str


@dataclass
class Measured:
    """All that one pass over the test trips leaves behind."""

    slices: Sums
    whole: Sums
    digest: TripsDigest
    samples: Samples
    rows: int = 0
    row_latency_ms: float = 0.0


def predictions(model: Model, what: str, matrix: Floats) -> Floats:
    """Fares in USD. Raises UsageError when a prediction is no number or no fare."""
    fares = model.predict(matrix)
    if not (np.isfinite(fares).all() and (np.abs(fares) <= LARGEST_PREDICTION_USD).all()):
        raise UsageError(
            f"{what}: predicts a fare that is no number or over {LARGEST_PREDICTION_USD:.0f} USD.",
            hint="Train it again on clean trips.",
            code="model-implausible",
        )
    return fares


def measure(batches: Iterator[Trips], candidate: Model, baseline: Model) -> Measured:
    """One pass over the test trips; memory does not grow with their number."""
    result = Measured(
        empty_sums(len(NAMES)), empty_sums(1)[0], TripsDigest(), Samples(candidate.features)
    )
    for trips in batches:
        matrix = feature_matrix(trips, candidate.features)
        same = baseline.features == candidate.features
        other = matrix if same else feature_matrix(trips, baseline.features)
        ours = predictions(candidate, "candidate", matrix)
        theirs = predictions(baseline, "baseline", other)
        terms = error_terms(trips[FARE], ours, theirs)
        blocks = block_of(trips[RIDE])
        result.whole += sums_by(blocks, BLOCKS, terms)
        for positions in slice_positions(trips):
            first, last = int(positions.min()), int(positions.max())
            groups = (positions - first) * BLOCKS + blocks
            sums = sums_by(groups, (last - first + 1) * BLOCKS, terms)
            result.slices[first : last + 1] += sums.reshape(last - first + 1, BLOCKS, -1)
        result.digest.add(trips)
        result.samples.add(trips, matrix, ours, theirs)
        if not result.rows:
            result.row_latency_ms = row_latency_ms(candidate, matrix[:1])
        result.rows += rows_of(trips)
    if result.rows < FEWEST_TEST:
        raise UsageError(
            f"test trips: only {result.rows}; at least {FEWEST_TEST} are needed.",
            hint="Prepare more trips.",
            code="data-too-few",
        )
    return result


def naive_baseline(train_folder: Path) -> Baseline:
    """The naive fare model, fitted on the training trips."""
    _, batches = read_prepared(train_folder, BATCH_ROWS, "training trips")
    naive = fit_naive(batches)
    model = Model(naive, NAIVE_FEATURES, naive.metadata(), naive.sha256())
    return Baseline(model, "naive", NAIVE_NAME, "")


def sliced(measured: Measured, policy: Policy) -> dict[str, Any]:
    """The primary metric's figures in every slice, and the confidence of their intervals.

    Slices where it is not defined (no two trips to compare; for R² no two fares) stand apart.
    """
    metric = policy.primary_metric
    named = [
        (name, sums, int(sums[:, 0].sum()))
        for name, sums in zip(NAMES, measured.slices, strict=True)
    ]
    shown = [each for each in named if is_defined(metric, each[1])]
    names = {name for name, *_ in shown}
    confidence = slice_confidence(policy, sum(rows >= policy.min_slice_rows for *_, rows in shown))
    result = []
    for name, sums, rows in shown:
        figures = compared(metric, sums, confidence)
        verdict = slice_verdict(Metric(**figures), rows, policy)
        result.append({"slice": name, "rows": rows, **figures, "verdict": verdict})
    apart = [{"slice": name, "rows": rows} for name, _, rows in named if name not in names]
    return {"slice_confidence": confidence, "slices": result, "slices_uncompared": apart}


def row_latency_ms(model: Model, row: Floats) -> float:
    """The median time of scoring one trip, in milliseconds, once the model is warm."""
    for _ in range(WARM_UP):
        model.predict(row)
    times = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        model.predict(row)
        times.append(time.perf_counter() - begun)
    return round(1000 * statistics.median(times), 3)


def size_of(folder: Path) -> int:
    """The bytes of all of a model's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def job_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The pipeline job this runs in, from the variables Azure ML sets; empty outside of one."""
    name = environ.get("AZUREML_ROOT_RUN_ID") or environ.get("AZUREML_RUN_ID", "")
    return {"name": name, "workspace": environ.get("AZUREML_ARM_WORKSPACE_NAME", "")}


def model_path(job: Mapping[str, str], folder: Path) -> str:
    """Where the candidate is found afterwards: the pipeline's output, or the folder itself."""
    return f"azureml://jobs/{job['name']}/outputs/model" if job["name"] else str(folder)


def comparison(
    options: argparse.Namespace, environ: Mapping[str, str], now: datetime
) -> tuple[dict[str, Any], dict[str, Any]]:
    """comparison.json and samples.json. Raises UsageError on unusable input."""
    policy = parse_policy(policy_table(options.policy))
    candidate = load_model(options.candidate_model)
    baseline = baseline_of(options)
    source, batches = read_prepared(options.test_trips, options.batch_rows, "test trips")
    measured = measure(batches, candidate, baseline.model)
    job = job_of(environ)
    found = {
        "metrics": {name: compared(name, measured.whole, policy.confidence) for name in METRICS},
        **sliced(measured, policy),
        "test_data": {
            "rows": measured.rows,
            "sha256": measured.digest.sha256(),
            "source": source,
        },
        "candidate": {
            "sha256": candidate.sha256,
            "path": model_path(job, options.candidate_model),
            "size_bytes": size_of(options.candidate_model),
            "row_latency_ms": measured.row_latency_ms,
        },
        "baseline": {
            "kind": baseline.kind,
            "name": baseline.name,
            "version": baseline.version,
            "sha256": baseline.model.sha256,
        },
    }
    verdict = verdict_of(found, policy)
    document = {
        "schema_version": 1,
        "improved": verdict.passed,
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "primary_metric": policy.primary_metric,
        "confidence": policy.confidence,
        **found,
        "policy": policy.document(),
        "policy_sha256": policy.sha256(),
        "job": job,
        "commit": options.commit,
        "branch": options.branch,
        "created_at": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return document, measured.samples.document(candidate, baseline.model, policy.confidence)


def policy_table(text: str) -> dict[str, Any]:
    try:
        table = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(
            f"--policy is no JSON: {error}.",
            hint="Encode it as taxiops does.",
            code="policy-invalid",
        ) from error
    if not isinstance(table, dict):
        raise UsageError("--policy is no JSON object.", code="policy-invalid")
    return table


def baseline_of(options: argparse.Namespace) -> Baseline:
    """The given baseline model, or the naive one. Raises UsageError when kind and model differ."""
    if options.baseline_model is None:
        if options.baseline_kind != "naive":
            raise UsageError(
                f"--baseline-kind is {options.baseline_kind}, but no --baseline-model is given.",
                hint="Bind the input baseline_model, or leave the kind naive.",
                code="baseline-missing",
            )
        return naive_baseline(options.train_trips)
    if options.baseline_kind == "naive":
        raise UsageError(
            "--baseline-model is given, but --baseline-kind is naive.",
            hint="Say whether it is the serving or the registry one.",
            code="baseline-kind",
        )
    model = load_model(options.baseline_model)
    return Baseline(model, options.baseline_kind, options.baseline_name, options.baseline_version)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Written beside and moved into place, so that no half file is ever found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def arguments() -> Arguments:
    parser = Arguments("taxiops.steps.compare", "Compare a candidate with the baseline.")
    parser.add_argument("--train-trips", type=Path, required=True, help="fits the naive baseline")
    parser.add_argument("--test-trips", type=Path, required=True)
    parser.add_argument("--candidate-model", type=Path, required=True)
    parser.add_argument("--baseline-model", type=Path, help="without it: the naive fare model")
    parser.add_argument("--baseline-kind", choices=KINDS, default="naive")
    parser.add_argument("--baseline-name", type=decode_literal, default="")
    parser.add_argument("--baseline-version", type=decode_literal, default="")
    parser.add_argument("--policy", type=decode_literal, default="{}", help="gate policy as JSON")
    parser.add_argument("--commit", type=decode_literal, default="")
    parser.add_argument("--branch", type=decode_literal, default="")
    parser.add_argument("--batch-rows", type=int, default=BATCH_ROWS)
    parser.add_argument("--report", type=Path, required=True, help="folder to write")
    return parser


def run(options: argparse.Namespace) -> None:
    document, samples = comparison(options, os.environ, datetime.now(UTC))
    write_json(options.report / "metrics" / "samples.json", samples)
    write_json(options.report / "metrics" / "comparison.json", document)
    say(f"{document['test_data']['rows']} test trips from {document['test_data']['source']}")
    for name, row in document["metrics"].items():
        say(
            f"{name}: candidate {row['candidate']:.4f}, baseline {row['baseline']:.4f}, change "
            f"{row['change']:+.4f} [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}] {row['unit']}"
        )
    say(f"verdict: {document['verdict']}: {' '.join(document['reasons'])}")


if __name__ == "__main__":
    run_program(arguments(), run)
