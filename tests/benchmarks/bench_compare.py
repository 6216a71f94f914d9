"""What comparing costs beyond the two predict calls, and whether memory grows with the trips.

Each size runs in a process of its own, one comparison of all its trips; the time inside of the two
models' `predict` is measured during that very run.
"""

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq

from taxiops.steps import prepare, train
from taxiops.steps.columns import RIDE, concatenate, to_table
from taxiops.steps.compare import BATCH_ROWS, arguments, comparison
from taxiops.steps.model_files import Model
from taxiops.steps.prepare import FILE_NAME, read_prepared

SMALL, LARGE = 1_000_000, 10_000_000
LARGEST_RATIO, LARGEST_GROWTH = 1.15, 1.05
GENERATED, ITERATIONS = 300_000, {"candidate": 200, "baseline": 180}


def measure() -> dict[str, Any]:
    """Seconds, seconds in predict, their ratio and peak memory for both sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(folder)
        results = {}
        for rows in (SMALL, LARGE):
            make_trips(folder, rows)
            program = [sys.executable, __file__, str(folder)]
            done = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)
            results[f"{rows:_}_trips"] = json.loads(done.stdout)
    small, large = results.values()
    growth = large["peak_mb"] / small["peak_mb"]
    return {
        **results,
        "peak_growth": round(growth, 3),
        "largest_ratio": LARGEST_RATIO,
        "within_limit": large["ratio"] <= LARGEST_RATIO and growth <= LARGEST_GROWTH,
    }


def make_models(folder: Path) -> None:
    """Training and test trips, and two models as the train step makes them."""
    with contextlib.redirect_stdout(sys.stderr):
        prepare.prepare(None, GENERATED, 1, folder / "train", folder / "some")
        for name, iterations in ITERATIONS.items():
            given = ["--train-trips", folder / "train", "--test-trips", folder / "some"]
            given += ["--model", folder / name, f"--max-iter={iterations}"]
            train.run(train.arguments().parse_args([str(each) for each in given]))


def make_trips(folder: Path, rows: int) -> None:
    """So many test trips: the few that were generated, again and again as other rides."""
    some = concatenate(list(read_prepared(folder / "some", BATCH_ROWS, "test trips")[1]))
    random = np.random.default_rng(rows)
    (folder / "test").mkdir(exist_ok=True)
    schema = pq.read_schema(folder / "some" / FILE_NAME)
    left = rows
    with pq.ParquetWriter(folder / "test" / FILE_NAME, schema) as writer:
        while left:
            count = min(left, len(some[RIDE]))
            part = {name: values[:count] for name, values in some.items()}
            part[RIDE] = random.integers(0, 2**63, count).astype(np.uint64)
            writer.write_table(to_table(part).cast(schema))
            left -= count


def run(folder: Path) -> dict[str, Any]:
    """One comparison in this process: what it took in all, within predict, and before the first
    of these calls, when models are loaded and nothing is compared yet."""
    spent, predict = [0.0], Model.predict
    first: list[float] = []

    def timed(self: Model, matrix: Any) -> Any:
        begun = time.perf_counter()
        first.append(begun)
        try:
            return predict(self, matrix)
        finally:
            spent[0] += time.perf_counter() - begun

    given = ["--train-trips", folder / "train", "--test-trips", folder / "test"]
    given += ["--candidate-model", folder / "candidate", "--baseline-model", folder / "baseline"]
    given += ["--report", folder / "report", "--baseline-kind=serving", "--baseline-name=m"]
    options = arguments().parse_args([*map(str, given), "--baseline-version=1"])
    with mock.patch.object(Model, "predict", timed):
        begun = time.perf_counter()
        document, _ = comparison(options, {}, datetime.now(UTC))
        took = time.perf_counter() - begun
    return {
        "rows": document["test_data"]["rows"],
        "seconds": round(took, 2),
        "seconds_in_predict": round(spent[0], 2),
        "seconds_before_predict": round(first[0] - begun, 2),
        "ratio": round(took / spent[0], 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
