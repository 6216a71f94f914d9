"""The stated rules by which trips are dropped or values blanked, with counts; reads no file."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.steps.columns import DROPOFF, FARE, PICKUP, Columns, take

LOWEST_FARE_USD, HIGHEST_FARE_USD = 2.5, 500.0
LONGEST_TRIP_MILES = 100.0
LONGEST_RIDE = np.timedelta64(12, "h")
FIRST_PICKUP, LAST_PICKUP = np.datetime64("2009-01-01"), np.datetime64("2100-01-01")
LAST_ZONE = 263
# A degree or so around the five boroughs; taxis do drive to Connecticut and New Jersey.
WEST, EAST, SOUTH, NORTH = -75.5, -72.5, 39.8, 42.0

Mask = NDArray[np.bool_]

# In this order; a trip counts under the first rule that drops it. Comparing NaN is false, so each
# rule states what is kept.
DROP_RULES: dict[str, tuple[str, Callable[[Columns], Mask]]] = {
    "no_pickup_time": ("the pickup time is missing or no time", lambda t: np.isnat(t[PICKUP])),
    "pickup_time_implausible": (
        "the pickup lies before 2009 or after 2099",
        lambda t: ~((t[PICKUP] >= FIRST_PICKUP) & (t[PICKUP] < LAST_PICKUP)),
    ),
    "no_fare": ("the fare is missing or no number", lambda t: np.isnan(t[FARE])),
    "fare_implausible": (
        f"the fare is under {LOWEST_FARE_USD} USD (the lowest initial charge) "
        f"or over {HIGHEST_FARE_USD:.0f} USD",
        lambda t: ~((t[FARE] >= LOWEST_FARE_USD) & (t[FARE] <= HIGHEST_FARE_USD)),
    ),
    "no_distance": (
        "the distance is missing or no number",
        lambda t: np.isnan(t["trip_distance_miles"]),
    ),
    "distance_implausible": (
        f"the distance is not above 0 or is over {LONGEST_TRIP_MILES:.0f} miles",
        lambda t: (
            ~((t["trip_distance_miles"] > 0) & (t["trip_distance_miles"] <= LONGEST_TRIP_MILES))
        ),
    ),
    "ride_time_implausible": (
        "the drop-off is known and is not after the pickup, or over 12 hours after it",
        lambda t: (
            ~np.isnat(t[DROPOFF])
            & ~((t[DROPOFF] > t[PICKUP]) & (t[DROPOFF] - t[PICKUP] <= LONGEST_RIDE))
        ),
    ),
    "not_paid": (
        "paid as no charge, dispute or voided trip (payment types 3, 4 and 6)",
        lambda t: np.isin(t["payment_type"], (3.0, 4.0, 6.0)),
    ),
}
DUPLICATE = "duplicate"
DUPLICATE_RULE = "same pickup, drop-off, places and distance as a trip already kept"
UNREADABLE = "unreadable_row"
UNREADABLE_RULE = "a CSV line with the wrong number of values"


def outside(longitude: str, latitude: str) -> Callable[[Columns], Mask]:
    return lambda t: (
        (np.isfinite(t[longitude]) | np.isfinite(t[latitude]))
        & ~(
            (t[longitude] >= WEST)
            & (t[longitude] <= EAST)
            & (t[latitude] >= SOUTH)
            & (t[latitude] <= NORTH)
        )
    )


def not_whole_within(name: str, low: int, high: int) -> Callable[[Columns], Mask]:
    return lambda t: (
        np.isfinite(t[name])
        & ~((t[name] >= low) & (t[name] <= high) & (t[name] == np.rint(t[name])))
    )


# The trip stays; the value that cannot be true becomes unknown.
BLANK_RULES: dict[str, tuple[str, tuple[str, ...], Callable[[Columns], Mask]]] = {
    "pickup_place_implausible": (
        "the pickup coordinates are zero or far from New York",
        ("pickup_longitude", "pickup_latitude"),
        outside("pickup_longitude", "pickup_latitude"),
    ),
    "dropoff_place_implausible": (
        "the drop-off coordinates are zero or far from New York",
        ("dropoff_longitude", "dropoff_latitude"),
        outside("dropoff_longitude", "dropoff_latitude"),
    ),
    "pickup_zone_unknown": (
        f"the pickup zone is not 1 to {LAST_ZONE}",
        ("pickup_zone",),
        not_whole_within("pickup_zone", 1, LAST_ZONE),
    ),
    "dropoff_zone_unknown": (
        f"the drop-off zone is not 1 to {LAST_ZONE}",
        ("dropoff_zone",),
        not_whole_within("dropoff_zone", 1, LAST_ZONE),
    ),
    "passenger_count_implausible": (
        "the passenger count is not 1 to 9",
        ("passenger_count",),
        not_whole_within("passenger_count", 1, 9),
    ),
    "rate_code_unknown": (
        "the rate code is not 1 to 6",
        ("rate_code",),
        not_whole_within("rate_code", 1, 6),
    ),
    "payment_type_unknown": (
        "the payment type is not 0 to 6",
        ("payment_type",),
        not_whole_within("payment_type", 0, 6),
    ),
}


def clean(
    columns: Columns, dropped: dict[str, int], blanked: dict[str, int]
) -> dict[str, NDArray[Any]]:
    """The trips no rule drops, implausible values blanked; adds to the counts per rule."""
    kept = dict(columns)
    for rule, (_, is_bad) in DROP_RULES.items():
        bad = is_bad(kept)
        count = int(bad.sum())
        if count:
            dropped[rule] = dropped.get(rule, 0) + count
            kept = take(kept, ~bad)
    return blank_implausible(kept, blanked)


def blank_implausible(
    columns: dict[str, NDArray[Any]], blanked: dict[str, int]
) -> dict[str, NDArray[Any]]:
    """The same trips with values that cannot be true made unknown; adds to the counts per rule.

    Scoring requests pass through here too, so that the model sees what it saw in training.
    """
    for rule, (_, names, is_bad) in BLANK_RULES.items():
        bad = is_bad(columns)
        count = int(bad.sum())
        if count:
            blanked[rule] = blanked.get(rule, 0) + count
            for name in names:
                columns[name] = np.where(bad, np.nan, columns[name])
    return columns


def rule_texts() -> dict[str, str]:
    """Every rule with what it means, for the data report."""
    return {
        UNREADABLE: UNREADABLE_RULE,
        **{rule: text for rule, (text, _) in DROP_RULES.items()},
        DUPLICATE: DUPLICATE_RULE,
        **{rule: text + " (blanked)" for rule, (text, _, _) in BLANK_RULES.items()},
    }
