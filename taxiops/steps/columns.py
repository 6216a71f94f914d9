"""What a trip is once its layout is forgotten: names, units, types; no reading, no rules."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PICKUP, DROPOFF, FARE, RIDE = "pickup_datetime", "dropoff_datetime", "fare_amount_usd", "ride"

# Local New York time, US dollars, miles, degrees, the Commission's zone and code numbers.
NUMBERS = (
    "passenger_count",
    "trip_distance_miles",
    "rate_code",
    "payment_type",
    "pickup_longitude",
    "pickup_latitude",
    "dropoff_longitude",
    "dropoff_latitude",
    "pickup_zone",
    "dropoff_zone",
)
WHOLE_NUMBERS = frozenset(
    {"passenger_count", "rate_code", "payment_type", "pickup_zone", "dropoff_zone"}
)
REQUIRED = (PICKUP, "trip_distance_miles", FARE)

# One batch of trips: numbers as float64 with NaN for unknown, times as datetime64[us] with NaT.
Columns = Mapping[str, NDArray[Any]]

# Prepared trips. `ride` identifies the ride whatever order, file or layout it came in; drop-off
# time, tips and totals are left behind on purpose: they are not known before the ride ends.
SCHEMA = pa.schema(
    [
        pa.field(RIDE, pa.uint64(), nullable=False),
        pa.field(PICKUP, pa.timestamp("us"), nullable=False),
        *(
            pa.field(name, pa.int32() if name in WHOLE_NUMBERS else pa.float64())
            for name in NUMBERS
        ),
        pa.field(FARE, pa.float64(), nullable=False),
    ]
)


def rows_of(columns: Columns) -> int:
    """How many trips the batch holds."""
    return len(columns[PICKUP])


def take(columns: Columns, which: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The trips at these positions, or where this mask is true, in that order."""
    return {name: values[which] for name, values in columns.items()}


def concatenate(batches: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """One batch of all trips of several, which must have the same columns."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def to_table(columns: Columns) -> pa.Table:
    """Prepared trips as Arrow, unknown values as nulls."""
    arrays = [pa.array(columns[field.name], from_pandas=True).cast(field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def from_batch(batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
    """Prepared trips from Arrow: the reverse of to_table."""
    columns: dict[str, NDArray[Any]] = {}
    for name in SCHEMA.names:
        array = batch.column(name)
        if name in (RIDE, PICKUP):
            columns[name] = array.to_numpy(zero_copy_only=False)
        else:
            columns[name] = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return columns


def records_of(columns: Columns) -> list[dict[str, Any]]:
    """Trips as JSON-ready records in the form the scoring endpoint takes; unknown is null."""
    names = (PICKUP, *NUMBERS)
    records = []
    for row in range(rows_of(columns)):
        record: dict[str, Any] = {}
        for name in names:
            value = columns[name][row]
            if name == PICKUP:
                record[name] = str(value.astype("datetime64[s]")).replace("T", " ")
            elif np.isnan(value):
                record[name] = None
            else:
                record[name] = int(value) if name in WHOLE_NUMBERS else float(value)
        records.append(record)
    return records
