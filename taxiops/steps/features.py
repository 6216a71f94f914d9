"""What the models see of a trip: numbers known before the ride ends, and nothing else.

The distance is that of the planned route, as quoted before the start; in training the driven
distance stands for it. Destination and rate code are what the rider asks for when getting in. The
drop-off time, the duration, tips, tolls, totals and the way of paying are known only afterwards
and are no features; the way of paying serves to compare slices. What a layout lacks is NaN, which
the boosting model sends down a branch of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.errors import UsageError
from taxiops.steps.columns import PICKUP, Columns, rows_of
from taxiops.steps.tariff import unit_charge

Floats = NDArray[np.float64]

EARTH_RADIUS_MILES = 3958.8
# Number, pickup zone, and the box around the terminals: west, east, south, north.
AIRPORTS = (
    (1.0, 132, (-73.83, -73.74, 40.62, 40.67)),
    (2.0, 138, (-73.89, -73.855, 40.763, 40.785)),
    (3.0, 1, (-74.20, -74.15, 40.665, 40.715)),
)


def hour_of_day(columns: Columns) -> Floats:
    """Hours since midnight with a fraction, 0 to 24."""
    times = columns[PICKUP]
    since_midnight = times - times.astype("datetime64[D]")
    hours: Floats = since_midnight.astype("timedelta64[s]").astype(np.float64) / 3600
    return hours


def weekday(columns: Columns) -> Floats:
    """0 for Monday to 6 for Sunday."""
    days = columns[PICKUP].astype("datetime64[D]").astype(np.int64)
    weekdays: Floats = ((days + 3) % 7).astype(np.float64)
    return weekdays


def straight_line_miles(columns: Columns) -> Floats:
    """Great-circle distance from pickup to destination (haversine formula)."""
    names = ("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude")
    west, south, east, north = (np.radians(columns[name]) for name in names)
    chord = (
        np.sin((north - south) / 2) ** 2
        + np.cos(south) * np.cos(north) * np.sin((east - west) / 2) ** 2
    )
    miles: Floats = 2 * EARTH_RADIUS_MILES * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))
    return miles


def airport(columns: Columns, end: str) -> Floats:
    """1 JFK, 2 LaGuardia, 3 Newark, 0 elsewhere, NaN when the place is unknown."""
    zone = columns[f"{end}_zone"]
    longitude, latitude = columns[f"{end}_longitude"], columns[f"{end}_latitude"]
    known = np.isfinite(zone) | (np.isfinite(longitude) & np.isfinite(latitude))
    result = np.where(known, 0.0, np.nan)
    for number, airport_zone, (west, east, south, north) in AIRPORTS:
        inside = (longitude >= west) & (longitude <= east)
        inside &= (latitude >= south) & (latitude <= north)
        result[inside | (zone == airport_zone)] = number
    return result


def plain(name: str) -> Callable[[Columns], Floats]:
    return lambda columns: columns[name]


FEATURES: dict[str, Callable[[Columns], Floats]] = {
    "trip_distance_miles": plain("trip_distance_miles"),
    "straight_line_miles": straight_line_miles,
    "pickup_hour": hour_of_day,
    "pickup_weekday": weekday,
    "passenger_count": plain("passenger_count"),
    "rate_code": plain("rate_code"),
    "tariff_unit_usd": lambda columns: unit_charge(columns[PICKUP]),
    "pickup_longitude": plain("pickup_longitude"),
    "pickup_latitude": plain("pickup_latitude"),
    "dropoff_longitude": plain("dropoff_longitude"),
    "dropoff_latitude": plain("dropoff_latitude"),
    "pickup_zone": plain("pickup_zone"),
    "dropoff_zone": plain("dropoff_zone"),
    "pickup_airport": lambda columns: airport(columns, "pickup"),
    "dropoff_airport": lambda columns: airport(columns, "dropoff"),
}


def check_features(names: Sequence[str], where: str) -> None:
    """Raises UsageError when a model wants a feature that is not known here."""
    unknown = [name for name in names if name not in FEATURES]
    if unknown or not names:
        raise UsageError(
            f"{where}: unknown feature {unknown[0]!r}." if unknown else f"{where}: no features.",
            hint="Compare with the version of taxiops that trained the model.",
            code="model-unknown-feature",
        )


def feature_matrix(columns: Columns, names: Sequence[str]) -> NDArray[Any]:
    """The features of every trip as float64, one row a trip, columns in the order of `names`."""
    matrix = np.empty((rows_of(columns), len(names)), np.float64)
    for at, name in enumerate(names):
        matrix[:, at] = FEATURES[name](columns)
    return matrix
