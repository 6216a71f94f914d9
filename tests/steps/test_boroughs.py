"""Boroughs: every zone in one, and well-known places where they are."""

import numpy as np
import pytest

from taxiops.steps import zones
from taxiops.steps.boroughs import (
    BOROUGHS,
    LAST_ZONE,
    ZONES,
    boroughs_at,
    pickup_boroughs,
)

UNKNOWN_PLACE = np.array([np.nan])


def of_place(longitude: float, latitude: float) -> str:
    return BOROUGHS[boroughs_at(np.array([longitude]), np.array([latitude]))[0]]


def of_zone(zone: float, longitude: float = np.nan, latitude: float = np.nan) -> str:
    columns = {
        "pickup_zone": np.array([zone]),
        "pickup_longitude": np.array([longitude]),
        "pickup_latitude": np.array([latitude]),
    }
    return BOROUGHS[pickup_boroughs(columns)[0]]


def test_no_zone_is_in_two_boroughs() -> None:
    named = [zone for each in ZONES.values() for zone in each]
    assert len(named) == len(set(named))
    assert set(named) <= set(range(1, LAST_ZONE + 1))
    # As the Commission's table counts them.
    sizes = [len(each) for each in ZONES.values()]
    assert sizes == [69, 43, 61, 20, 2, 1]


@pytest.mark.parametrize(
    ("borough", "longitude", "latitude"),
    [
        ("Manhattan", -73.9855, 40.7580),
        ("Manhattan", -74.0134, 40.7033),
        ("Manhattan", -73.9212, 40.8676),
        ("Manhattan", -73.9442, 40.7900),
        ("Manhattan", -73.9776, 40.7282),
        ("Bronx", -73.9262, 40.8296),
        ("Bronx", -73.8765, 40.8506),
        ("Bronx", -73.9046, 40.9030),
        ("Brooklyn", -73.9571, 40.7081),
        ("Brooklyn", -73.9509, 40.7300),
        ("Brooklyn", -73.9845, 40.5749),
        ("Brooklyn", -73.9690, 40.6602),
        ("Brooklyn", -73.9196, 40.6944),
        ("Queens", -73.9485, 40.7447),
        ("Queens", -73.9235, 40.7644),
        ("Queens", -73.8740, 40.7769),
        ("Queens", -73.7781, 40.6413),
        ("Queens", -73.8331, 40.7596),
        ("Queens", -73.9034, 40.7040),
        ("Queens", -73.8151, 40.5865),
        ("Staten Island", -74.0739, 40.6437),
        ("Staten Island", -74.1502, 40.5795),
        ("elsewhere", -74.1745, 40.6895),
        ("elsewhere", -74.0320, 40.7440),
        ("elsewhere", 2.35, 48.86),
    ],
)
def test_known_places(borough: str, longitude: float, latitude: float) -> None:
    assert of_place(longitude, latitude) == borough


def test_the_centres_of_manhattan_s_zones_are_in_manhattan_and_no_others_are() -> None:
    for zone in zones.ZONES:
        borough = of_place(zone.longitude, zone.latitude)
        assert (borough == "Manhattan") is zone.manhattan, (zone.name, borough)
        assert (of_zone(zone.number) == "Manhattan") is zone.manhattan, zone.name


def test_the_zone_counts_first_and_coordinates_stand_in_for_it() -> None:
    assert of_zone(132, -73.9855, 40.7580) == "Queens"
    assert of_zone(264, -73.9855, 40.7580) == "Manhattan"
    assert of_zone(np.nan, -73.9855, 40.7580) == "Manhattan"
    assert of_zone(np.nan) == of_zone(264) == "unknown"
    assert of_zone(1) == of_zone(265) == "elsewhere"
