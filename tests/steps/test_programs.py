"""Steps as programs: what is wrong is one line on stderr, exit code 2, and no traceback."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .conftest import StepRun

YELLOW = (
    "tpepPickupDateTime,tpepDropoffDateTime,tripDistance,fareAmount\n"
    "2016-01-06 12:09:13,2016-01-06 12:22:14,2.09,10.5\n"
)


def outputs(folder: Path) -> list[object]:
    names = ("train-trips", "test-trips", "data-report")
    return [f"--{name}={folder / name}" for name in names]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (YELLOW.replace("fareAmount", "price"), "no column fareamount (the fare)"),
        ("", "the file is empty"),
        ("a,b\n1,2\n", "unknown layout"),
        (YELLOW, "test trips are left of 1 rows"),
        (YELLOW.splitlines()[0] + "\n", "no trips"),
    ],
)
def test_prepare_refuses_unusable_trips(
    step: StepRun, tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "trips.csv").write_text(text)
    result = step("prepare", "--trips", tmp_path / "trips.csv", *outputs(tmp_path))
    assert result.returncode == 2
    assert result.stderr.startswith("error: trips.csv: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


def test_prepare_refuses_to_generate_nothing(step: StepRun, tmp_path: Path) -> None:
    result = step("prepare", "--rows=0", *outputs(tmp_path))
    assert result.returncode == 2
    assert "rows is 0" in result.stderr


def test_prepare_writes_trips_and_a_report_and_says_what_it_dropped(
    step: StepRun, tmp_path: Path
) -> None:
    result = step("prepare", "--rows=2000", "--seed=3", *outputs(tmp_path))
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "data-report" / "data_report.json").read_text())
    assert report["source"] == "generated: rows=2000 seed=3"
    assert f"{report['train_rows']} training trips" in result.stdout
    assert "dropped" in result.stdout
    assert (tmp_path / "train-trips" / "trips.parquet").exists()


def test_train_refuses_folders_that_prepare_did_not_write(step: StepRun, tmp_path: Path) -> None:
    options = [f"--train-trips={tmp_path}", f"--test-trips={tmp_path}", f"--model={tmp_path}/m"]
    result = step("train", *options)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "training trips" in result.stderr


def test_generate_writes_a_file_in_the_commissions_layout(step: StepRun, tmp_path: Path) -> None:
    path = tmp_path / "made" / "trips.parquet"
    result = step("generate", "--rows=500", "--first-day=2016-01-04", "--output", path)
    assert result.returncode == 0, result.stderr
    table = pq.read_table(path)
    assert table.num_rows == 500
    assert {"tpep_pickup_datetime", "PULocationID", "fare_amount"} <= set(table.column_names)


def test_generate_refuses_a_date_that_is_none(step: StepRun, tmp_path: Path) -> None:
    result = step("generate", "--first-day=soon", "--output", tmp_path / "x.parquet")
    assert result.returncode == 2
    assert "--first-day" in result.stderr
