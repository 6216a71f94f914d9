"""Some of the Commission's taxi zones with rough centres and demand, for generated trips only.

Numbers and names are those of the Commission's zone map; centres are read off a map to about half
a mile, and demand is a rough share that makes generated trips look like yellow taxi trips.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEWARK_ZONE, JFK_ZONE, LA_GUARDIA_ZONE = 1, 132, 138
UNKNOWN_ZONE, OUTSIDE_ZONE = 264, 265
MILES_PER_DEGREE = 69.0


@dataclass(frozen=True)
class Zone:
    """A zone: number, name, centre in degrees, share of demand, and whether in Manhattan."""

    number: int
    name: str
    latitude: float
    longitude: float
    demand: float
    manhattan: bool


ZONES = (
    Zone(13, "Battery Park City", 40.712, -74.016, 1.2, True),
    Zone(87, "Financial District North", 40.707, -74.007, 1.4, True),
    Zone(231, "TriBeCa/Civic Center", 40.717, -74.006, 2.2, True),
    Zone(261, "World Trade Center", 40.711, -74.012, 1.4, True),
    Zone(148, "Lower East Side", 40.717, -73.988, 1.8, True),
    Zone(211, "SoHo", 40.724, -74.001, 1.4, True),
    Zone(114, "Greenwich Village South", 40.728, -73.998, 1.9, True),
    Zone(79, "East Village", 40.727, -73.984, 2.6, True),
    Zone(249, "West Village", 40.735, -74.004, 2.0, True),
    Zone(107, "Gramercy", 40.736, -73.984, 2.3, True),
    Zone(234, "Union Square", 40.740, -73.990, 3.2, True),
    Zone(68, "East Chelsea", 40.748, -74.000, 2.6, True),
    Zone(246, "West Chelsea/Hudson Yards", 40.753, -74.005, 1.8, True),
    Zone(186, "Penn Station/Madison Square West", 40.749, -73.992, 3.4, True),
    Zone(170, "Murray Hill", 40.748, -73.978, 3.1, True),
    Zone(230, "Times Square", 40.760, -73.985, 3.3, True),
    Zone(48, "Clinton East", 40.762, -73.990, 2.9, True),
    Zone(161, "Midtown Center", 40.758, -73.978, 4.4, True),
    Zone(162, "Midtown East", 40.757, -73.972, 3.6, True),
    Zone(163, "Midtown North", 40.764, -73.978, 2.8, True),
    Zone(142, "Lincoln Square East", 40.772, -73.982, 3.0, True),
    Zone(239, "Upper West Side South", 40.784, -73.978, 2.8, True),
    Zone(238, "Upper West Side North", 40.792, -73.973, 2.1, True),
    Zone(237, "Upper East Side South", 40.769, -73.966, 4.6, True),
    Zone(236, "Upper East Side North", 40.780, -73.957, 4.4, True),
    Zone(263, "Yorkville West", 40.778, -73.951, 2.1, True),
    Zone(75, "East Harlem South", 40.790, -73.946, 1.1, True),
    Zone(41, "Central Harlem", 40.804, -73.951, 0.7, True),
    Zone(166, "Morningside Heights", 40.809, -73.961, 0.8, True),
    Zone(244, "Washington Heights South", 40.841, -73.941, 0.4, True),
    Zone(168, "Mott Haven/Port Morris", 40.807, -73.919, 0.2, False),
    Zone(247, "West Concourse", 40.827, -73.925, 0.2, False),
    Zone(7, "Astoria", 40.764, -73.921, 0.6, False),
    Zone(145, "Long Island City/Hunters Point", 40.745, -73.949, 0.5, False),
    Zone(226, "Sunnyside", 40.737, -73.928, 0.3, False),
    Zone(129, "Jackson Heights", 40.756, -73.886, 0.3, False),
    Zone(82, "Elmhurst", 40.738, -73.880, 0.3, False),
    Zone(95, "Forest Hills", 40.720, -73.845, 0.2, False),
    Zone(255, "Williamsburg (North Side)", 40.718, -73.957, 0.7, False),
    Zone(33, "Brooklyn Heights", 40.696, -73.994, 0.5, False),
    Zone(65, "Downtown Brooklyn", 40.693, -73.986, 0.5, False),
    Zone(97, "Fort Greene", 40.690, -73.975, 0.4, False),
    Zone(181, "Park Slope", 40.670, -73.980, 0.5, False),
    Zone(61, "Crown Heights North", 40.673, -73.946, 0.3, False),
    Zone(LA_GUARDIA_ZONE, "LaGuardia Airport", 40.774, -73.873, 2.4, False),
    Zone(JFK_ZONE, "JFK Airport", 40.645, -73.783, 2.3, False),
    Zone(NEWARK_ZONE, "Newark Airport", 40.690, -74.177, 0.1, False),
)

NUMBERS = np.array([zone.number for zone in ZONES])
DEMAND = np.array([zone.demand for zone in ZONES]) / sum(zone.demand for zone in ZONES)
MANHATTAN = np.array([zone.manhattan for zone in ZONES])


def distances_miles() -> NDArray[np.float64]:
    """Between every two zone centres, as the crow flies; 0.45 miles within one zone."""
    latitudes = np.array([zone.latitude for zone in ZONES])
    longitudes = np.array([zone.longitude for zone in ZONES])
    north = (latitudes[:, None] - latitudes) * MILES_PER_DEGREE
    east = (longitudes[:, None] - longitudes) * MILES_PER_DEGREE * np.cos(np.radians(40.75))
    straight: NDArray[np.float64] = np.maximum(np.hypot(north, east), 0.45)
    return straight


def destination_shares() -> NDArray[np.float64]:
    """Row by pickup zone: the share of each destination, falling with distance, airports apart."""
    shares = DEMAND * np.exp(-distances_miles() / 2.6)
    for number, share in ((LA_GUARDIA_ZONE, 0.018), (JFK_ZONE, 0.014), (NEWARK_ZONE, 0.002)):
        at = int(np.flatnonzero(number == NUMBERS)[0])
        shares[:, at] = 0.0
        shares[:, at] = share * shares.sum(axis=1)
        shares[at] = DEMAND
        shares[at, at] = 0.0
    result: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
    return result
