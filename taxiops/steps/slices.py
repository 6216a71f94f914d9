"""The slices that a comparison looks at apart: which slice each trip is in; sums nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.steps.boroughs import BOROUGHS, pickup_boroughs
from taxiops.steps.columns import Columns
from taxiops.steps.features import airport, hour_of_day, weekday

Positions = NDArray[np.int64]
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Family:
    """Slices that divide the trips: their names, and the position of each trip's name."""

    name: str
    names: tuple[str, ...]
    position: Callable[[Columns], Positions]


def bands(values: NDArray[Any], bounds: tuple[float, ...]) -> Positions:
    """0 below the first bound, then 1 ..., by lower bound inclusive; one past the last for NaN."""
    found = np.searchsorted(np.array(bounds), values, side="right")
    return np.where(np.isnan(values), len(bounds) + 1, found).astype(np.int64)


def airports(columns: Columns) -> Positions:
    ends = np.stack([airport(columns, "pickup"), airport(columns, "dropoff")])
    touches = (ends > 0).any(axis=0)
    known = np.isfinite(ends).all(axis=0)
    return np.where(touches, 1, np.where(known, 0, 2)).astype(np.int64)


def payments(columns: Columns) -> Positions:
    kind = columns["payment_type"]
    return np.where(kind == 1, 0, np.where(kind == 2, 1, 2)).astype(np.int64)


FAMILIES = (
    Family(
        "distance",
        ("under 1 mile", "1 to 2 miles", "2 to 5 miles", "5 to 10 miles", "10 miles and more"),
        lambda t: bands(t["trip_distance_miles"], (1, 2, 5, 10)),
    ),
    Family(
        "hour",
        ("0 to 6", "6 to 10", "10 to 16", "16 to 20", "20 to 24"),
        lambda t: bands(hour_of_day(t), (6, 10, 16, 20)),
    ),
    Family("weekday", WEEKDAYS, lambda t: weekday(t).astype(np.int64)),
    Family("pickup", BOROUGHS, pickup_boroughs),
    Family("airport", ("no", "yes", "unknown"), airports),
    Family(
        "passengers",
        ("1", "2", "3 and more", "unknown"),
        lambda t: bands(t["passenger_count"], (2, 3)),
    ),
    Family("payment", ("card", "cash", "other or unknown"), payments),
)
NAMES = tuple(f"{family.name}: {name}" for family in FAMILIES for name in family.names)


def slice_positions(columns: Columns) -> list[Positions]:
    """For each family, the position in NAMES of every trip's slice."""
    result, first = [], 0
    for family in FAMILIES:
        result.append(family.position(columns) + first)
        first += len(family.names)
    return result
