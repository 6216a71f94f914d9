"""Slices: each family divides all trips, with the unknown in a slice of its own."""

import numpy as np

from taxiops.steps.columns import NUMBERS, PICKUP
from taxiops.steps.prepare import read_prepared
from taxiops.steps.slices import FAMILIES, NAMES, slice_positions


def test_every_trip_is_in_exactly_one_slice_of_each_family(prepared: object) -> None:
    trips = next(read_prepared(prepared / "test", 10_000, "test")[1])  # type: ignore[operator]
    first = 0
    for family, positions in zip(FAMILIES, slice_positions(trips), strict=True):
        assert ((positions >= first) & (positions < first + len(family.names))).all()
        first += len(family.names)
    assert first == len(NAMES) == len(set(NAMES))


def named(**changes: float) -> set[str]:
    trip = {**dict.fromkeys(NUMBERS, np.nan), "trip_distance_miles": 1.0, **changes}
    columns = {name: np.array([value]) for name, value in trip.items()}
    columns[PICKUP] = np.array(["2016-01-09T06:00:00"], "datetime64[us]")
    return {NAMES[int(positions[0])] for positions in slice_positions(columns)}


def test_bands_begin_at_their_lower_bound() -> None:
    assert named() == {
        "distance: 1 to 2 miles",
        "hour: 6 to 10",
        "weekday: Saturday",
        "pickup: unknown",
        "airport: unknown",
        "passengers: unknown",
        "payment: other or unknown",
    }


def test_a_trip_from_an_airport_is_an_airport_trip_whatever_its_destination() -> None:
    assert "airport: yes" in named(pickup_zone=132.0)
    assert "airport: no" in named(pickup_zone=161.0, dropoff_zone=236.0)
    assert "airport: unknown" in named(pickup_zone=161.0)


def test_passengers_and_payment_are_named() -> None:
    assert {"passengers: 3 and more", "payment: cash"} <= named(passenger_count=6, payment_type=2)
