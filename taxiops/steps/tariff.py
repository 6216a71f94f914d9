"""The published New York taxi tariff by date: meter, flat and airport fares; knows no trips.

Source: the Taxi and Limousine Commission's rate of fare, in force since 2012-09-04 and since
2022-12-19. Surcharges for rush hours, nights, tax and tolls are charged apart from the fare.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT_MILES = 0.2
UNIT_SLOW_S = 60.0

STANDARD, JFK, NEWARK, OUT_OF_TOWN, NEGOTIATED = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Tariff:
    """One rate of fare, in USD. A unit is a fifth of a mile, or a minute slow or standing."""

    since: str
    initial_usd: float
    unit_usd: float
    jfk_flat_usd: float
    newark_usd: float
    rush_usd: float
    night_usd: float
    improvement_usd: float


TARIFFS = (
    Tariff("2012-09-04", 2.50, 0.50, 52.0, 17.50, 1.00, 0.50, 0.30),
    Tariff("2022-12-19", 3.00, 0.70, 70.0, 20.00, 2.50, 1.00, 1.00),
)


def tariff_on(day: str) -> Tariff:
    """The tariff in force on an ISO date; the oldest known one before that."""
    return next((each for each in reversed(TARIFFS) if each.since <= day), TARIFFS[0])


def unit_charge(pickups: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """The charge of one unit, in USD, at each pickup time."""
    charges = np.full(len(pickups), TARIFFS[0].unit_usd)
    for tariff in TARIFFS[1:]:
        charges[pickups >= np.datetime64(tariff.since)] = tariff.unit_usd
    return charges


def metered_usd(
    tariff: Tariff, driven_miles: NDArray[np.float64], slow_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the meter shows after so many miles at speed and so many seconds slow or standing."""
    units = np.floor(driven_miles / UNIT_MILES) + np.floor(slow_s / UNIT_SLOW_S)
    return tariff.initial_usd + tariff.unit_usd * units
