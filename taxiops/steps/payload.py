"""The scoring request: JSON text checked and turned into trips; knows no model and no server."""

import difflib
import json
import math
from datetime import datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from taxiops.steps.cleaning import (
    FIRST_PICKUP,
    LAST_PICKUP,
    LONGEST_TRIP_MILES,
    blank_implausible,
)
from taxiops.steps.columns import FARE, NUMBERS, PICKUP

MOST_TRIPS = 10_000
DISTANCE = "trip_distance_miles"
NEW_YORK = ZoneInfo("America/New_York")
FIELDS = (PICKUP, *NUMBERS)
# A labelled trip may be sent as it is; the fare is not looked at.
IGNORED = frozenset({FARE})


class BadRequest(ValueError):
    """The request cannot be scored; the text says which field of which trip and why."""


def refuse_constant(text: str) -> NoReturn:
    raise BadRequest(f"{text} is no JSON number; send null for an unknown value")


def trips_of_request(raw: str) -> dict[str, NDArray[Any]]:
    """The trips of `{"trips": [{...}, ...]}` as columns, unknown as NaN.

    A trip needs pickup_datetime (local New York time as 2016-01-31 23:59:59, or RFC 3339 with an
    offset) and trip_distance_miles; the other canonical fields may be null or absent.
    Raises BadRequest.
    """
    try:
        request = json.loads(raw, parse_constant=refuse_constant)
    except (ValueError, RecursionError, TypeError) as error:
        if isinstance(error, BadRequest):
            raise
        raise BadRequest("the body is no JSON") from error
    if not isinstance(request, dict) or not isinstance(request.get("trips"), list):
        raise BadRequest('the body must be {"trips": [trip, ...]}')
    trips = request["trips"]
    if not 1 <= len(trips) <= MOST_TRIPS:
        raise BadRequest(f"trips has {len(trips)} elements; send 1 to {MOST_TRIPS}")
    times, numbers = [], np.full((len(NUMBERS), len(trips)), np.nan)
    for at, trip in enumerate(trips):
        check_fields(at, trip)
        times.append(time_of(at, trip[PICKUP]))
        for row, name in enumerate(NUMBERS):
            value = trip.get(name)
            if value is not None:
                numbers[row, at] = number_of(at, name, value)
    columns: dict[str, NDArray[Any]] = {PICKUP: np.array(times, "datetime64[us]")}
    columns.update(zip(NUMBERS, numbers, strict=True))
    check_ranges(columns)
    return blank_implausible(columns, {})


def check_fields(at: int, trip: object) -> None:
    if not isinstance(trip, dict):
        raise BadRequest(f"trips[{at}] is no object")
    for name in (PICKUP, DISTANCE):
        if trip.get(name) is None:
            raise BadRequest(f"trips[{at}].{name} is missing")
    for name in trip:
        if name not in FIELDS and name not in IGNORED:
            close = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(FIELDS)}"
            raise BadRequest(f"trips[{at}]: unknown field {name[:80]!r}; {hint}")


def time_of(at: int, value: object) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        if time and time.tzinfo:
            time = time.astimezone(NEW_YORK).replace(tzinfo=None)
    except (ValueError, OverflowError):
        time = None
    if time is None:
        raise BadRequest(f"trips[{at}].{PICKUP} is no time such as 2016-01-31 23:59:59")
    return time


def number_of(at: int, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"trips[{at}].{name} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadRequest(f"trips[{at}].{name} is too large")
    return number


def check_ranges(columns: dict[str, NDArray[Any]]) -> None:
    miles, pickups = columns[DISTANCE], columns[PICKUP]
    wrong = np.flatnonzero(~((miles > 0) & (miles <= LONGEST_TRIP_MILES)))
    if len(wrong):
        limit = f"above 0 and at most {LONGEST_TRIP_MILES:.0f}"
        raise BadRequest(f"trips[{wrong[0]}].{DISTANCE} must be {limit}")
    wrong = np.flatnonzero(~((pickups >= FIRST_PICKUP) & (pickups < LAST_PICKUP)))
    if len(wrong):
        raise BadRequest(f"trips[{wrong[0]}].{PICKUP} must lie in 2009 to 2099")
