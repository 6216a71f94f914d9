"""The digest of a set of trips, the same whatever the batches they come in."""

import hashlib

import numpy as np

from taxiops.steps.columns import FARE, NUMBERS, PICKUP, RIDE, Columns, rows_of

RECORD = np.dtype(
    [(RIDE, "<u8"), (PICKUP, "<i8"), *((name, "<f8") for name in NUMBERS), (FARE, "<f8")]
)


class TripsDigest:
    """SHA-256 over the trips' values, little-endian, one record after the other, NaN made equal."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, columns: Columns) -> None:
        """The next trips, in order."""
        records = np.empty(rows_of(columns), RECORD)
        records[RIDE] = columns[RIDE]
        records[PICKUP] = columns[PICKUP].astype("datetime64[us]").astype(np.int64)
        for name in (*NUMBERS, FARE):
            records[name] = np.where(np.isnan(columns[name]), np.nan, columns[name])
        self._hash.update(records.data.cast("B"))

    def sha256(self) -> str:
        """The digest of all trips so far."""
        return f"sha256:{self._hash.hexdigest()}"
