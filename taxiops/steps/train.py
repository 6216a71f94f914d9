"""The train step: gradient boosting on the training trips, written as a model folder."""

import argparse
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from taxiops.errors import UsageError
from taxiops.steps.columns import (
    FARE,
    RIDE,
    concatenate,
    records_of,
    rows_of,
    take,
)
from taxiops.steps.digests import TripsDigest
from taxiops.steps.features import FEATURES, feature_matrix
from taxiops.steps.identity import sample_rank
from taxiops.steps.literals import decode_literal
from taxiops.steps.model_files import (
    GOLDEN_NAME,
    KIND,
    LABELLED_NAME,
    METADATA_NAME,
    load_model,
    write_estimator,
    write_json,
)
from taxiops.steps.prepare import read_prepared
from taxiops.steps.program import Arguments, run_program, say

GOLDEN_ROWS, LABELLED_ROWS = 20, 300
BATCH_ROWS = 65_536
Trips = dict[str, NDArray[Any]]


def useful_features(trips: Trips) -> list[str]:
    """The features that differ between any two of the trips; the others teach nothing."""
    return [
        name
        for name in FEATURES
        if len(np.unique(known_values(feature_matrix(trips, [name])[:, 0]))) > 1
    ]


def known_values(values: NDArray[Any]) -> NDArray[Any]:
    known: NDArray[Any] = values[np.isfinite(values)]
    return known


def fitted(
    trips: Trips, features: list[str], params: dict[str, Any]
) -> HistGradientBoostingRegressor:
    """The model; on one thread, because sums over several differ in the last bit.

    Raises UsageError naming the parameter that scikit-learn refuses.
    """
    estimator = HistGradientBoostingRegressor(
        loss="squared_error",
        categorical_features=None,
        early_stopping=False,
        random_state=0,
        **params,
    )
    try:
        with threadpool_limits(1):
            estimator.fit(feature_matrix(trips, features), trips[FARE])
    except ValueError as error:
        raise UsageError(
            f"training parameters {params}: {' '.join(str(error).split())[:300]}",
            hint="Give another --max-iter, --learning-rate or --max-leaf-nodes.",
            code="train-parameters",
        ) from error
    return estimator


def metadata_of(
    features: list[str], params: dict[str, Any], training: dict[str, Any], commit: str
) -> dict[str, Any]:
    packages = ("scikit-learn", "skops", "numpy", "pandas", "pyarrow")
    return {
        "schema_version": 1,
        "kind": KIND,
        "features": features,
        "params": params,
        "training": training,
        "versions": {
            "python": platform.python_version(),
            **{name.replace("-", "_"): version(name) for name in packages},
        },
        "created_from": {"commit": commit},
    }


def sampled(batches: Iterable[Trips], rows: int) -> Trips:
    """A fixed random sample: the trips of lowest rank, in that order."""
    best: Trips | None = None
    for batch in batches:
        both = concatenate([best, batch]) if best else batch
        best = take(both, np.argsort(sample_rank(both[RIDE]), kind="stable")[:rows])
    if best is None:
        raise UsageError("test trips: there are none.", code="data-too-few")
    return best


def write_examples(folder: Path, examples: Trips) -> None:
    """golden.json and labelled.json: held-out trips with this model's answers and true fares.

    The fares are those of the very files the model folder now holds, loaded back from them.
    """
    model = load_model(folder)
    fares = model.predict(feature_matrix(examples, model.features))
    records = records_of(examples)
    errors = np.abs(fares - examples[FARE])
    write_json(
        folder / GOLDEN_NAME,
        {
            "schema_version": 1,
            "rows": records[:GOLDEN_ROWS],
            "predictions": [float(fare) for fare in fares[:GOLDEN_ROWS]],
        },
    )
    write_json(
        folder / LABELLED_NAME,
        {
            "schema_version": 1,
            "rows": records,
            "fare_amount_usd": [float(fare) for fare in examples[FARE]],
            "offline_mae_usd": float(errors.mean()),
        },
    )


def train(
    train_folder: Path, test_folder: Path, output: Path, params: dict[str, Any], commit: str
) -> dict[str, Any]:
    """Fit on the training trips, write the model folder, return its metadata.

    The test trips are only taken samples of, for golden.json and labelled.json; the fit never
    sees them. Raises UsageError on folders that prepare did not write and on bad parameters.
    """
    _, batches = read_prepared(train_folder, BATCH_ROWS, "training trips")
    trips = concatenate(list(batches))
    digest = TripsDigest()
    digest.add(trips)
    features = useful_features(trips)
    estimator = fitted(trips, features, params)
    output.mkdir(parents=True, exist_ok=True)
    write_estimator(output, estimator)
    training = {"rows": rows_of(trips), "sha256": digest.sha256()}
    metadata = metadata_of(features, params, training, commit)
    write_json(output / METADATA_NAME, metadata)
    _, test_batches = read_prepared(test_folder, BATCH_ROWS, "test trips")
    write_examples(output, sampled(test_batches, LABELLED_ROWS))
    return metadata


def arguments() -> Arguments:
    parser = Arguments("taxiops.steps.train", "Train a gradient boosting model of taxi fares.")
    parser.add_argument("--train-trips", type=Path, required=True)
    parser.add_argument("--test-trips", type=Path, required=True)
    parser.add_argument("--max-iter", type=int, default=200, help="number of trees")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--max-leaf-nodes", type=int, default=31)
    parser.add_argument("--commit", type=decode_literal, default="")
    parser.add_argument("--model", type=Path, required=True, help="folder to write")
    return parser


def run(options: argparse.Namespace) -> None:
    params = {
        "max_iter": options.max_iter,
        "learning_rate": options.learning_rate,
        "max_leaf_nodes": options.max_leaf_nodes,
    }
    metadata = train(options.train_trips, options.test_trips, options.model, params, options.commit)
    say(f"trained {KIND} on {metadata['training']['rows']} trips with {params}")


if __name__ == "__main__":
    run_program(arguments(), run)
