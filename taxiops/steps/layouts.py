"""The known file layouts of New York taxi trips and which one a file has; opens no file.

Sources: Azure Open Datasets (NYC Taxi green and yellow) and the data dictionaries of the NYC Taxi
and Limousine Commission for its monthly Parquet files.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taxiops.errors import UsageError
from taxiops.steps.columns import DROPOFF, FARE, NUMBERS, PICKUP, REQUIRED


@dataclass(frozen=True)
class Layout:
    """A published layout: our column name -> its names there, lower case; which pickup marks it."""

    name: str
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Match:
    """A file's layout, our column -> the file's own name for it, and what the file lacks."""

    layout: str
    columns: Mapping[str, str]
    missing: tuple[str, ...]


AZURE_GREEN = Layout(
    "Azure Open Datasets, green",
    {
        PICKUP: ("lpeppickupdatetime",),
        DROPOFF: ("lpepdropoffdatetime",),
        "passenger_count": ("passengercount",),
        "trip_distance_miles": ("tripdistance",),
        "rate_code": ("ratecodeid",),
        "payment_type": ("paymenttype",),
        "pickup_longitude": ("pickuplongitude",),
        "pickup_latitude": ("pickuplatitude",),
        "dropoff_longitude": ("dropofflongitude",),
        "dropoff_latitude": ("dropofflatitude",),
        "pickup_zone": ("pulocationid",),
        "dropoff_zone": ("dolocationid",),
        FARE: ("fareamount",),
    },
)
AZURE_YELLOW = Layout(
    "Azure Open Datasets, yellow",
    {
        **AZURE_GREEN.columns,
        PICKUP: ("tpeppickupdatetime",),
        DROPOFF: ("tpepdropoffdatetime",),
        "pickup_longitude": ("startlon",),
        "pickup_latitude": ("startlat",),
        "dropoff_longitude": ("endlon",),
        "dropoff_latitude": ("endlat",),
    },
)
COMMISSION = Layout(
    "Taxi and Limousine Commission",
    {
        PICKUP: ("tpep_pickup_datetime", "lpep_pickup_datetime"),
        DROPOFF: ("tpep_dropoff_datetime", "lpep_dropoff_datetime"),
        "passenger_count": ("passenger_count",),
        "trip_distance_miles": ("trip_distance",),
        "rate_code": ("ratecodeid",),
        "payment_type": ("payment_type",),
        "pickup_longitude": ("pickup_longitude",),
        "pickup_latitude": ("pickup_latitude",),
        "dropoff_longitude": ("dropoff_longitude",),
        "dropoff_latitude": ("dropoff_latitude",),
        "pickup_zone": ("pulocationid",),
        "dropoff_zone": ("dolocationid",),
        FARE: ("fare_amount",),
    },
)
OURS = Layout("taxiops", {name: (name,) for name in (PICKUP, DROPOFF, *NUMBERS, FARE)})
LAYOUTS = (AZURE_GREEN, AZURE_YELLOW, COMMISSION, OURS)


def match_layout(file: str, names: Iterable[str]) -> Match:
    """Which layout a file with these column names has.

    The pickup time's name tells the layouts apart; letter case and surrounding blanks do not count.
    Raises UsageError naming the file when no layout fits or a column that training needs is absent.
    """
    found = list(names)
    by_key = {key_of(name): name for name in reversed(found)}
    layout = next((each for each in LAYOUTS if by_key.keys() & set(each.columns[PICKUP])), None)
    if layout is None:
        raise unknown_layout(file, found)
    columns = {
        ours: by_key[theirs]
        for ours, names_there in layout.columns.items()
        for theirs in names_there[::-1]
        if theirs in by_key
    }
    for ours in REQUIRED:
        if ours not in columns:
            raise missing_column(file, layout, ours, found)
    missing = tuple(ours for ours in layout.columns if ours not in columns)
    return Match(layout.name, columns, missing)


def key_of(name: str) -> str:
    """A column's name as layouts have it; a byte order mark before the first one is left out."""
    return name.removeprefix("\ufeff").removeprefix("\u00ef\u00bb\u00bf").strip().lower()


def unknown_layout(file: str, found: list[str]) -> UsageError:
    shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    wanted = ", ".join(name for layout in LAYOUTS for name in layout.columns[PICKUP])
    return UsageError(
        f"{file}: unknown layout: no column holds the pickup time (columns: {shown or 'none'}).",
        hint=f"Name the pickup time as one of: {wanted} (letter case does not matter).",
        code="data-unknown-layout",
    )


def missing_column(file: str, layout: Layout, ours: str, found: list[str]) -> UsageError:
    wanted = " or ".join(layout.columns[ours])
    meaning = {FARE: "the fare", "trip_distance_miles": "the distance"}[ours]
    lowered = [key_of(name) for name in found]
    close = difflib.get_close_matches(layout.columns[ours][0], lowered, n=1, cutoff=0.75)
    hint = f"Did you mean {close[0]!r}?" if close else "Add that column, or give another file."
    return UsageError(
        f"{file}: no column {wanted} ({meaning}); the layout is {layout.name}.",
        hint=hint,
        code="data-missing-column",
    )
