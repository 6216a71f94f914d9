"""The borough that a trip begins in, from its taxi zone or else its coordinates.

Zones are the Commission's (its public zone lookup table). Outlines follow the rivers and Newtown
Creek, read off a map to about a quarter of a mile: good enough to tell slices apart, not to charge
a fare by.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.steps.columns import Columns

Positions = NDArray[np.int64]
Floats = NDArray[np.float64]

BOROUGHS = ("Manhattan", "Bronx", "Brooklyn", "Queens", "Staten Island", "elsewhere", "unknown")
MANHATTAN, BRONX, BROOKLYN, QUEENS, STATEN_ISLAND, ELSEWHERE, UNKNOWN = range(len(BOROUGHS))

LAST_ZONE = 265
NEWARK, NO_PLACE, OUT_OF_TOWN = 1, 264, 265
# Every zone of the table is in exactly one borough; what is named nowhere here is in Queens.
ZONES = {
    MANHATTAN: (
        *(4, 12, 13, 24, 41, 42, 43, 45, 48, 50, 68, 74, 75, 79, 87, 88, 90, 100, 103, 104, 105),
        *(107, 113, 114, 116, 120, 125, 127, 128, 137, 140, 141, 142, 143, 144, 148, 151, 152),
        *(153, 158, 161, 162, 163, 164, 166, 170, 186, 194, 202, 209, 211, 224, 229, 230, 231),
        *(232, 233, 234, 236, 237, 238, 239, 243, 244, 246, 249, 261, 262, 263),
    ),
    BRONX: (
        *(3, 18, 20, 31, 32, 46, 47, 51, 58, 59, 60, 69, 78, 81, 94, 119, 126, 136, 147, 159),
        *(167, 168, 169, 174, 182, 183, 184, 185, 199, 200, 208, 212, 213, 220, 235, 240, 241),
        *(242, 247, 248, 250, 254, 259),
    ),
    BROOKLYN: (
        *(11, 14, 17, 21, 22, 25, 26, 29, 33, 34, 35, 36, 37, 39, 40, 49, 52, 54, 55, 61, 62, 63),
        *(65, 66, 67, 71, 72, 76, 77, 80, 85, 89, 91, 97, 106, 108, 111, 112, 123, 133, 149, 150),
        *(154, 155, 165, 177, 178, 181, 188, 189, 190, 195, 210, 217, 222, 225, 227, 228, 255),
        *(256, 257),
    ),
    STATEN_ISLAND: (
        *(5, 6, 23, 44, 84, 99, 109, 110, 115, 118, 156, 172, 176, 187, 204, 206, 214, 221, 245),
        *(251,),
    ),
    ELSEWHERE: (NEWARK, OUT_OF_TOWN),
    UNKNOWN: (NO_PLACE,),
}

# Longitude and latitude along each water, from one end to the other.
EAST_RIVER = (
    *((-74.025, 40.690), (-73.999, 40.705), (-73.990, 40.7075), (-73.972, 40.7135)),
    *((-73.967, 40.728), (-73.963, 40.739), (-73.960, 40.749), (-73.950, 40.757)),
    *((-73.937, 40.770), (-73.932, 40.782), (-73.921, 40.792), (-73.911, 40.797)),
)
HARLEM_RIVER = (
    *((-73.911, 40.797), (-73.926, 40.803), (-73.933, 40.812), (-73.935, 40.835)),
    *((-73.927, 40.847), (-73.913, 40.862), (-73.908, 40.872), (-73.915, 40.8755)),
    *((-73.930, 40.879),),
)
HUDSON = ((-73.930, 40.879), (-73.950, 40.853), (-73.985, 40.802), (-74.015, 40.757))
CREEK_AND_AVENUES = (
    *((-73.963, 40.739), (-73.945, 40.737), (-73.928, 40.727), (-73.923, 40.713)),
    *((-73.905, 40.696), (-73.885, 40.685), (-73.866, 40.694), (-73.861, 40.675)),
    *((-73.855, 40.650), (-73.865, 40.610), (-73.890, 40.575)),
)
SOUND = ((-73.911, 40.797), (-73.885, 40.797), (-73.840, 40.803), (-73.790, 40.803))
OUTLINES = {
    MANHATTAN: (*EAST_RIVER, *HARLEM_RIVER[1:], *HUDSON[1:], (-74.030, 40.700)),
    BRONX: (
        *HARLEM_RIVER[::-1],
        *SOUND[1:],
        *((-73.755, 40.880), (-73.840, 40.900), (-73.870, 40.905), (-73.915, 40.918)),
    ),
    BROOKLYN: (
        *(point for point in EAST_RIVER if point[1] < CREEK_AND_AVENUES[0][1]),
        *CREEK_AND_AVENUES,
        *((-73.940, 40.570), (-74.015, 40.565), (-74.045, 40.610), (-74.035, 40.650)),
    ),
    QUEENS: (
        *CREEK_AND_AVENUES[::-1],
        *(point for point in EAST_RIVER if point[1] > CREEK_AND_AVENUES[0][1]),
        *SOUND[1:],
        *((-73.750, 40.790), (-73.700, 40.745), (-73.727, 40.650), (-73.737, 40.595)),
        *((-73.800, 40.575), (-73.945, 40.535), (-73.945, 40.560)),
    ),
    STATEN_ISLAND: (
        *((-74.052, 40.610), (-74.060, 40.650), (-74.140, 40.645), (-74.200, 40.635)),
        *((-74.205, 40.600), (-74.260, 40.515), (-74.245, 40.495), (-74.100, 40.540)),
    ),
}

# A grid over the city: finding a cell is a great deal faster than finding a place in an outline.
WEST, SOUTH, CELL, WIDE, HIGH = -74.27, 40.48, 0.002, 290, 225


def pickup_boroughs(columns: Columns) -> Positions:
    """The position in BOROUGHS of every trip's pickup."""
    zone = columns["pickup_zone"]
    known = np.where(zone >= 1, np.minimum(zone, LAST_ZONE), 0)
    found = zone_table()[np.nan_to_num(known).astype(np.int64)]
    unzoned = np.flatnonzero(found == UNKNOWN)
    if len(unzoned):
        longitude, latitude = (columns[f"pickup_{end}"] for end in ("longitude", "latitude"))
        found[unzoned] = boroughs_at(longitude[unzoned], latitude[unzoned])
    return found


def boroughs_at(longitude: Floats, latitude: Floats) -> Positions:
    """The position in BOROUGHS of each place, in degrees; NaN is unknown."""
    known = np.isfinite(longitude) & np.isfinite(latitude)
    across = np.floor((np.where(known, longitude, WEST) - WEST) / CELL)
    up = np.floor((np.where(known, latitude, SOUTH) - SOUTH) / CELL)
    inside = (across >= 0) & (across < WIDE) & (up >= 0) & (up < HIGH)
    cells = np.where(inside, up * WIDE + across, 0).astype(np.int64)
    found = np.where(inside, city_grid()[cells], ELSEWHERE)
    return np.where(known, found, UNKNOWN).astype(np.int64)


@cache
def zone_table() -> Positions:
    """Zone number -> position in BOROUGHS; 0 stands for a zone that is not known."""
    table = np.full(LAST_ZONE + 1, QUEENS, np.int64)
    table[0] = UNKNOWN
    for borough, zones in ZONES.items():
        table[list(zones)] = borough
    return table


@cache
def city_grid() -> Positions:
    """The borough of every cell, row by row from the south-west, by the middle of the cell."""
    across, up = np.meshgrid(np.arange(WIDE) + 0.5, np.arange(HIGH) + 0.5)
    longitude, latitude = WEST + CELL * across.ravel(), SOUTH + CELL * up.ravel()
    grid = np.full(WIDE * HIGH, ELSEWHERE, np.int64)
    for borough, outline in OUTLINES.items():
        grid[within(longitude, latitude, np.array(outline))] = borough
    return grid


def within(x: Floats, y: Floats, outline: Floats) -> NDArray[Any]:
    """Which points are in the polygon: a ray to the east crosses its edges an odd number of times
    (even-odd rule)."""
    inside = np.zeros(len(x), bool)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside
