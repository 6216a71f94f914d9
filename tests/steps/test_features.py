"""What the models see: known values, airports, straight lines, and no trace of the ride's end."""

import math

import numpy as np
import pytest

from taxiops.errors import UsageError
from taxiops.steps.columns import NUMBERS, PICKUP
from taxiops.steps.features import FEATURES, check_features, feature_matrix


def columns(**changes: float) -> dict[str, np.ndarray]:
    values = {**dict.fromkeys(NUMBERS, np.nan), "trip_distance_miles": 2.0, **changes}
    result = {name: np.array([value]) for name, value in values.items()}
    result[PICKUP] = np.array(["2016-01-04T18:30:00"], "datetime64[us]")
    return result


def feature(name: str, **changes: float) -> float:
    return float(feature_matrix(columns(**changes), [name])[0, 0])


def test_time_features_are_hour_with_fraction_and_weekday() -> None:
    assert feature("pickup_hour") == 18.5
    assert feature("pickup_weekday") == 0


def test_a_straight_line_is_the_great_circle() -> None:
    places = {
        "pickup_longitude": -73.7781,
        "pickup_latitude": 40.6413,
        "dropoff_longitude": -73.9855,
        "dropoff_latitude": 40.7580,
    }
    assert math.isclose(feature("straight_line_miles", **places), 13.5, abs_tol=0.2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pickup_zone": 132.0}, 1),
        ({"pickup_zone": 138.0}, 2),
        ({"pickup_zone": 1.0}, 3),
        ({"pickup_zone": 161.0}, 0),
        ({"pickup_longitude": -73.78, "pickup_latitude": 40.645}, 1),
        ({"pickup_longitude": -73.98, "pickup_latitude": 40.75}, 0),
    ],
)
def test_airports_are_known_by_zone_or_by_place(changes: dict[str, float], expected: int) -> None:
    assert feature("pickup_airport", **changes) == expected


def test_what_a_layout_lacks_is_nan() -> None:
    for name in ("pickup_airport", "straight_line_miles", "pickup_zone", "passenger_count"):
        assert math.isnan(feature(name))


def test_no_feature_needs_more_than_a_scoring_request_holds() -> None:
    matrix = feature_matrix(columns(), list(FEATURES))
    assert matrix.shape == (1, len(FEATURES))
    assert not {"payment_type", "fare_amount_usd", "dropoff_datetime"} & set(FEATURES)


def test_the_tariff_of_the_day_is_known() -> None:
    later = columns()
    later[PICKUP] = np.array(["2023-01-04T18:30:00"], "datetime64[us]")
    assert feature("tariff_unit_usd") == 0.5
    assert feature_matrix(later, ["tariff_unit_usd"])[0, 0] == 0.7


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown feature 'tip'"):
        check_features(["pickup_hour", "tip"], "metadata.json")
