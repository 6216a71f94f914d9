"""Reading trips from CSV and Parquet, one file or a folder, batch by batch; judges no trip."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from taxiops.errors import UsageError
from taxiops.steps.columns import DROPOFF, FARE, NUMBERS, PICKUP
from taxiops.steps.layouts import Match, match_layout

SUFFIXES = (".csv", ".csv.gz", ".parquet")
BATCH_ROWS = 65_536
CSV_BLOCK_BYTES = 8 * 1024 * 1024
# Every byte is a character of it: a damaged one spoils its own value, not the file. What is
# looked at, names, numbers and times, is ASCII.
CSV_ENCODING = "latin-1"
NEW_YORK = "America/New_York"


@dataclass
class FileReport:
    """What one file turned out to be; rows and unreadable rows are counted while it is read."""

    file: str
    layout: str = ""
    missing_columns: tuple[str, ...] = ()
    rows: int = 0
    unreadable_rows: int = 0


@dataclass
class Reading:
    """What was read: one report per data file, and the files of a folder that hold no trips."""

    files: list[FileReport] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def trip_files(path: Path) -> tuple[list[Path], list[Path]]:
    """The data files at this path, sorted, and the files beside them that are none.

    Raises UsageError when the path does not exist or holds no data file.
    """
    known = ", ".join(SUFFIXES)
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder.", code="data-not-found")
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise UsageError(
                f"{path.name}: neither CSV nor Parquet.",
                hint=f"Give a file or folder of files that end in {known}.",
                code="data-unknown-format",
            )
        return [path], []
    everything = sorted(
        each for each in path.rglob("*") if each.is_file() and not each.name.startswith((".", "_"))
    )
    files = [each for each in everything if each.name.lower().endswith(SUFFIXES)]
    if not files:
        raise UsageError(
            f"{path.name or path}: the folder holds no trips.",
            hint=f"Put files in it that end in {known}.",
            code="data-empty-folder",
        )
    return files, [each for each in everything if each not in files]


def read_trips(path: Path, reading: Reading) -> Iterator[dict[str, NDArray[Any]]]:
    """Every trip of a file or folder in batches; all columns of every batch, unknown as NaN or NaT.

    Fills `reading` on the way. Memory does not grow with the number of trips. Every file's header
    is checked before the first batch is given. Raises UsageError naming the file and column.
    """
    files, ignored = trip_files(path)
    reading.ignored += [shown_name(path, each) for each in ignored]
    plans = []
    for each in files:
        report = FileReport(shown_name(path, each))
        with readable(report.file):
            match = match_layout(report.file, column_names(each, report.file))
        report.layout, report.missing_columns = match.layout, match.missing
        reading.files.append(report)
        plans.append((each, report, match))
    for each, report, match in plans:
        with readable(report.file):
            for batch in raw_batches(each, report, match):
                report.rows += batch.num_rows
                yield to_columns(batch, match, report.file)
        if report.rows == 0:
            raise UsageError(
                f"{report.file}: has column names but no trips.",
                hint="Give a file with trips.",
                code="data-empty",
            )


def shown_name(root: Path, file: Path) -> str:
    return file.name if file == root else file.relative_to(root).as_posix()


@contextlib.contextmanager
def readable(file: str) -> Iterator[None]:
    """Turns what Arrow and the file system say about a broken file into one clear error."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{file}: cannot be read: {why}",
            hint="Check that the file is complete and is what its name says.",
            code="data-unreadable",
        ) from error


def column_names(path: Path, file: str) -> list[str]:
    if path.stat().st_size == 0:
        raise UsageError(
            f"{file}: the file is empty.", hint="Give a file with trips.", code="data-empty"
        )
    if path.name.lower().endswith(".parquet"):
        with pyarrow.parquet.ParquetFile(path) as parquet:
            return list(parquet.schema_arrow.names)
    with pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, encoding=CSV_ENCODING),
        parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=lambda _row: "skip"),
    ) as csv:
        return list(csv.schema.names)


def raw_batches(path: Path, report: FileReport, match: Match) -> Iterator[pa.RecordBatch]:
    """Batches of the columns we know, as in the file; CSV as text, without malformed rows."""
    wanted = sorted(set(match.columns.values()))
    if path.name.lower().endswith(".parquet"):
        # Reading ahead would hold the whole file in memory by its end.
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as parquet:
            yield from parquet.iter_batches(BATCH_ROWS, columns=wanted)
        return

    def skip(_row: object) -> str:
        report.unreadable_rows += 1
        return "skip"

    with pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(
            block_size=CSV_BLOCK_BYTES, use_threads=False, encoding=CSV_ENCODING
        ),
        parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=skip),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: pa.string() for name in wanted},
            strings_can_be_null=True,
        ),
    ) as csv:
        for batch in csv:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)


def to_columns(batch: pa.RecordBatch, match: Match, file: str) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for ours in (PICKUP, DROPOFF, *NUMBERS, FARE):
        theirs = match.columns.get(ours)
        if theirs is None:
            kind = "datetime64[us]" if ours in (PICKUP, DROPOFF) else "float64"
            columns[ours] = np.full(batch.num_rows, np.nan if kind == "float64" else "NaT", kind)
            continue
        array = batch.column(theirs)
        try:
            columns[ours] = times_of(array) if ours in (PICKUP, DROPOFF) else numbers_of(array)
        except (pa.ArrowException, ValueError, TypeError) as error:
            meant = "times" if ours in (PICKUP, DROPOFF) else "numbers"
            raise UsageError(
                f"{file}: column {theirs}: holds {array.type}, not {meant}.",
                hint="Correct that column.",
                code="data-wrong-type",
            ) from error
    return columns


def numbers_of(array: pa.Array) -> NDArray[np.float64]:
    """float64; text that is no number becomes NaN, so that the cleaning rules count it."""
    try:
        numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
            raise
        texts = pd.Series(array.to_pylist(), dtype="object")
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype="float64")
    return np.where(np.isfinite(numbers), numbers, np.nan)


def times_of(array: pa.Array) -> NDArray[np.datetime64]:
    """datetime64[us], local New York time; text that is no time becomes NaT."""
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        try:
            array = pc.utf8_trim_whitespace(array).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            return times_of_odd_text(array)
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.local_timestamp(array.cast(pa.timestamp("us", NEW_YORK)))
    if not pa.types.is_temporal(array.type) or pa.types.is_time(array.type):
        raise TypeError(f"{array.type} holds no times")
    times: NDArray[np.datetime64] = array.cast(pa.timestamp("us"), safe=False).to_numpy(
        zero_copy_only=False
    )
    return times


def times_of_odd_text(array: pa.Array) -> NDArray[np.datetime64]:
    texts = pd.Series(array.to_pylist(), dtype="object")
    has_zone = texts.str.contains(r"(?:Z|[+-]\d\d:?\d\d)\s*$", regex=True, na=False)
    times = pd.to_datetime(texts.where(~has_zone), errors="coerce", format="mixed")
    local = times.to_numpy(dtype="datetime64[us]").copy()
    if has_zone.any():
        zoned = pd.to_datetime(texts[has_zone], errors="coerce", format="mixed", utc=True)
        moved = zoned.dt.tz_convert(NEW_YORK).dt.tz_localize(None)
        local[has_zone.to_numpy()] = moved.to_numpy(dtype="datetime64[us]")
    return local
