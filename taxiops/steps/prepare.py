"""The prepare step: trips in any known layout, cleaned and frozen into train and test trips."""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from taxiops.errors import UsageError
from taxiops.steps.cleaning import DUPLICATE, UNREADABLE, clean, rule_texts
from taxiops.steps.columns import (
    FARE,
    RIDE,
    SCHEMA,
    from_batch,
    rows_of,
    take,
    to_table,
)
from taxiops.steps.generate import generated_batches
from taxiops.steps.identity import TEST_PERCENT, is_test, ride_of
from taxiops.steps.layouts import match_layout
from taxiops.steps.program import Arguments, run_program, say
from taxiops.steps.trips import FileReport, Reading, read_trips, to_columns

FILE_NAME = "trips.parquet"
REPORT_NAME = "data_report.json"
SOURCE_KEY = b"taxiops.source"
FEWEST_TRAIN, FEWEST_TEST = 50, 10
# Trips are sorted one shelf at a time, so memory holds a sixteenth of them.
SHELF_BITS = 4


@dataclass
class Counts:
    """What became of the rows that were read."""

    dropped: dict[str, int] = field(default_factory=dict)
    blanked: dict[str, int] = field(default_factory=dict)
    read: int = 0
    train: int = 0
    test: int = 0


def generated_trips(rows: int, seed: int, reading: Reading) -> Iterator[dict[str, NDArray[Any]]]:
    """Generated trips in batches as read_trips gives them."""
    report = FileReport(f"generated: rows={rows} seed={seed}")
    reading.files.append(report)
    for batch in generated_batches(rows, seed):
        match = match_layout(report.file, batch.schema.names)
        report.layout, report.missing_columns = match.layout, match.missing
        report.rows += batch.num_rows
        yield to_columns(batch, match, report.file)


def write_shelves(
    batches: Iterator[dict[str, NDArray[Any]]], folder: Path, counts: Counts
) -> list[Path]:
    """Clean trips spread over files by the first bits of their ride's number."""
    paths = [folder / f"shelf-{number:02d}.parquet" for number in range(2**SHELF_BITS)]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(pyarrow.parquet.ParquetWriter(path, SCHEMA, compression="lz4"))
            for path in paths
        ]
        for batch in batches:
            counts.read += rows_of(batch)
            kept = clean(batch, counts.dropped, counts.blanked)
            kept[RIDE] = ride_of(kept)
            shelves = kept[RIDE] >> np.uint64(64 - SHELF_BITS)
            for number in np.unique(shelves):
                writers[int(number)].write_table(to_table(take(kept, shelves == number)))
    return paths


def without_duplicates(columns: dict[str, NDArray[Any]], counts: Counts) -> dict[str, NDArray[Any]]:
    """Trips in the order of their rides, each ride once: whatever the order they came in."""
    ties = [columns[name] for name in ("rate_code", "passenger_count", "payment_type", FARE)]
    ordered = take(columns, np.lexsort((*ties, columns[RIDE])))
    first = np.ones(rows_of(ordered), np.bool_)
    first[1:] = ordered[RIDE][1:] != ordered[RIDE][:-1]
    again = int((~first).sum())
    if again:
        counts.dropped[DUPLICATE] = counts.dropped.get(DUPLICATE, 0) + again
    return take(ordered, first)


def write_split(shelves: list[Path], train: Path, test: Path, source: str, counts: Counts) -> None:
    """Train and test trips, sorted by ride, as one Parquet file in each folder."""
    schema = SCHEMA.with_metadata({SOURCE_KEY: source.encode()})
    for folder in (train, test):
        folder.mkdir(parents=True, exist_ok=True)
    with (
        pyarrow.parquet.ParquetWriter(train / FILE_NAME, schema, compression="zstd") as train_file,
        pyarrow.parquet.ParquetWriter(test / FILE_NAME, schema, compression="zstd") as test_file,
    ):
        for shelf in shelves:
            batches = pyarrow.parquet.read_table(shelf).combine_chunks().to_batches()
            for batch in batches:
                trips = without_duplicates(from_batch(batch), counts)
                chosen = is_test(trips[RIDE])
                counts.test += int(chosen.sum())
                counts.train += int((~chosen).sum())
                for file, mask in ((test_file, chosen), (train_file, ~chosen)):
                    table = to_table(take(trips, mask))
                    file.write_table(table.replace_schema_metadata(schema.metadata))


def prepare(trips: Path | None, rows: int, seed: int, train: Path, test: Path) -> dict[str, Any]:
    """Write train and test trips and return the data report.

    trips: file or folder in a known layout; None generates `rows` trips from `seed`.
    Raises UsageError when the data cannot be used or too few trips are left.
    """
    reading, counts = Reading(), Counts()
    batches = read_trips(trips, reading) if trips else generated_trips(rows, seed, reading)
    with tempfile.TemporaryDirectory() as folder:
        shelves = write_shelves(batches, Path(folder), counts)
        unreadable = sum(report.unreadable_rows for report in reading.files)
        if unreadable:
            counts.dropped[UNREADABLE] = unreadable
            counts.read += unreadable
        source = ", ".join(report.file for report in reading.files)
        write_split(shelves, train, test, source, counts)
    if counts.train < FEWEST_TRAIN or counts.test < FEWEST_TEST:
        raise too_few(source, counts)
    return report_of(reading, counts, source)


def too_few(source: str, counts: Counts) -> UsageError:
    why = ", ".join(f"{rule} {count}" for rule, count in sorted(counts.dropped.items()))
    return UsageError(
        f"{source}: only {counts.train} training and {counts.test} test trips are left "
        f"of {counts.read} rows (at least {FEWEST_TRAIN} and {FEWEST_TEST} are needed).",
        why=f"Dropped: {why or 'none'}.",
        hint="Give more or cleaner trips.",
        code="data-too-few",
    )


def report_of(reading: Reading, counts: Counts, source: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "source": source,
        "files": [asdict(report) for report in reading.files],
        "ignored_files": reading.ignored,
        "rows_read": counts.read,
        "rows_dropped": sum(counts.dropped.values()),
        "dropped": dict(sorted(counts.dropped.items())),
        "blanked": dict(sorted(counts.blanked.items())),
        "train_rows": counts.train,
        "test_rows": counts.test,
        "test_percent": TEST_PERCENT,
        "rules": rule_texts(),
    }


def read_prepared(
    folder: Path, batch_rows: int, what: str
) -> tuple[str, Iterator[dict[str, NDArray[Any]]]]:
    """The source text and the batches of a folder that prepare wrote; bounded memory.

    Raises UsageError naming the folder when it is not such a folder.
    """
    path = folder / FILE_NAME if folder.is_dir() else folder
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{what}: {path}: no trips that the prepare step wrote.",
            hint="Give the folder that prepare wrote.",
            code="data-not-prepared",
        ) from error
    if not schema.equals(SCHEMA):
        raise UsageError(
            f"{what}: {path}: columns differ from those that prepare writes.",
            hint="Prepare the trips again with this version.",
            code="data-not-prepared",
        )
    return (schema.metadata or {}).get(SOURCE_KEY, b"").decode(), prepared_batches(path, batch_rows)


def prepared_batches(path: Path, batch_rows: int) -> Iterator[dict[str, NDArray[Any]]]:
    # Reading ahead would hold the whole file in memory by its end.
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as parquet:
        for batch in parquet.iter_batches(batch_rows):
            if batch.num_rows:
                yield from_batch(batch)


def arguments() -> Arguments:
    parser = Arguments("taxiops.steps.prepare", "Clean trips and split them into train and test.")
    parser.add_argument("--trips", type=Path, help="file or folder; without it trips are generated")
    parser.add_argument("--rows", type=int, default=50_000, help="how many trips to generate")
    parser.add_argument("--seed", type=int, default=1, help="of the generated trips")
    parser.add_argument("--train-trips", type=Path, required=True, help="folder to write")
    parser.add_argument("--test-trips", type=Path, required=True, help="folder to write")
    parser.add_argument("--data-report", type=Path, required=True, help="folder to write")
    return parser


def run(options: argparse.Namespace) -> None:
    report = prepare(
        options.trips, options.rows, options.seed, options.train_trips, options.test_trips
    )
    options.data_report.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    (options.data_report / REPORT_NAME).write_text(text, encoding="utf-8")
    say(f"read {report['rows_read']} rows from {report['source']}")
    for rule, count in report["dropped"].items():
        say(f"dropped {count}: {report['rules'][rule]}")
    for rule, count in report["blanked"].items():
        say(f"blanked in {count}: {report['rules'][rule]}")
    say(f"{report['train_rows']} training trips, {report['test_rows']} test trips")


if __name__ == "__main__":
    run_program(arguments(), run)
