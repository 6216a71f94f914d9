"""Which ride a trip is, as a number that fixes its split, its block and its place in samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.steps.columns import DROPOFF, PICKUP, Columns

TEST_PERCENT = 20
BLOCKS = 1024

# Places and distance are whole multiples of these, so that text and binary files agree.
PLACES = ("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude")
SPLIT_SALT, BLOCK_SALT, SAMPLE_SALT = (np.uint64(salt) for salt in (0x51, 0xB1, 0x5A))

Hashes = NDArray[np.uint64]


def mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection of 64 bits."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def ride_of(columns: Columns) -> Hashes:
    """The ride's number: from pickup and drop-off time, places and distance; never from the fare.

    A ride that was recorded twice, say with a corrected fare, has one number, so that its copies
    cannot fall on both sides of the split.
    """
    parts: list[NDArray[Any]] = [whole_us(columns[PICKUP]), whole_us(columns[DROPOFF])]
    parts += [whole(columns[name], 1e6) for name in PLACES]
    parts += [whole(columns[name], 1.0) for name in ("pickup_zone", "dropoff_zone")]
    parts.append(whole(columns["trip_distance_miles"], 1e3))
    result = np.zeros(len(columns[PICKUP]), np.uint64)
    for part in parts:
        result = mixed(result ^ part.view(np.uint64))
    return result


def whole_us(times: NDArray[Any]) -> NDArray[np.int64]:
    return times.astype("datetime64[us]").astype(np.int64)


def whole(numbers: NDArray[Any], scale: float) -> NDArray[np.int64]:
    known = np.isfinite(numbers)
    result = np.full(len(numbers), np.iinfo(np.int64).min, np.int64)
    result[known] = np.rint(numbers[known] * scale).astype(np.int64)
    return result


def is_test(rides: Hashes) -> NDArray[np.bool_]:
    """Whether each ride is a test trip: fixed for ever by the ride itself."""
    return mixed(rides ^ SPLIT_SALT) % np.uint64(100) < np.uint64(TEST_PERCENT)


def block_of(rides: Hashes) -> NDArray[np.int64]:
    """The block, 0 to BLOCKS - 1, that each ride is resampled with."""
    return (mixed(rides ^ BLOCK_SALT) % np.uint64(BLOCKS)).astype(np.int64)


def sample_rank(rides: Hashes) -> Hashes:
    """A fixed shuffle: the lowest ranks of any trips are a random sample of them."""
    return mixed(rides ^ SAMPLE_SALT)
