"""Generated trips that look like the Commission's yellow taxi files, dirt included; seeded."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.random import Generator
from numpy.typing import NDArray

from taxiops.errors import UsageError
from taxiops.steps import zones
from taxiops.steps.program import Arguments, run_program, say
from taxiops.steps.tariff import (
    JFK,
    NEGOTIATED,
    NEWARK,
    OUT_OF_TOWN,
    STANDARD,
    Tariff,
    metered_usd,
    tariff_on,
)

CHUNK_ROWS = 50_000
FIRST_DAY, DAYS = "2025-01-06", 28
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Share of a day's trips by hour, midnight first; mornings in the first row.
WEEKDAY_HOURS = np.array(
    [
        [14, 8, 5, 4, 5, 10, 24, 42, 52, 50, 48, 50],
        [52, 52, 54, 56, 52, 60, 70, 66, 58, 52, 44, 28],
    ],
    float,
).ravel()
WEEKEND_HOURS = np.array(
    [
        [42, 34, 26, 18, 10, 6, 10, 16, 26, 38, 48, 54],
        [58, 58, 58, 58, 58, 60, 62, 60, 54, 52, 52, 48],
    ],
    float,
).ravel()
# Miles an hour in Manhattan's streets by hour.
WEEKDAY_SPEED = np.array(
    [
        [17, 19, 20, 21, 20, 18, 14, 10.5, 8.5, 8.2, 8.5, 8.4],
        [8.2, 8.2, 7.9, 7.6, 7.5, 7.4, 8, 9.4, 11, 12, 13.5, 15],
    ],
    float,
).ravel()
WEEKEND_SPEED = np.array(
    [
        [13, 13.5, 14.5, 16, 18, 20, 20, 19, 17, 14, 12, 11],
        [10.4, 10, 10, 10, 10, 10, 10, 10.6, 11, 12, 12, 12.5],
    ],
    float,
).ravel()


def generated_batches(rows: int, seed: int, first_day: str = FIRST_DAY) -> Iterator[pa.RecordBatch]:
    """`rows` trips of four weeks in the Commission's layout; equal seeds give equal trips.

    Memory does not grow with `rows`. Raises UsageError when `rows` or `seed` is out of range.
    """
    if not 1 <= rows <= 1_000_000_000 or not 0 <= seed < 2**63:
        raise UsageError(
            f"rows is {rows}, seed is {seed}: rows must be 1 to 10^9, seed 0 or more.",
            hint="Give another --rows or --seed.",
            code="generate-range",
        )
    tariff = tariff_on(first_day)
    for chunk, start in enumerate(range(0, rows, CHUNK_ROWS)):
        random = np.random.default_rng([seed, chunk])
        yield generated_chunk(random, min(CHUNK_ROWS, rows - start), tariff, first_day)


def generated_chunk(random: Generator, rows: int, tariff: Tariff, first_day: str) -> pa.RecordBatch:
    pickups, hours, weekend = pickup_times(random, rows, first_day)
    start, end = places(random, rows)
    miles, ride_s, slow_s, free_miles = rides(random, hours, weekend, start, end)
    codes, fares = fares_of(random, tariff, start, end, free_miles, slow_s)
    surcharges = np.where((hours >= 16) & (hours < 20) & ~weekend, tariff.rush_usd, 0.0)
    surcharges += np.where((hours >= 20) | (hours < 6), tariff.night_usd, 0.0)
    pays = random.choice([1, 2, 3, 4], rows, p=[0.72, 0.268, 0.006, 0.006])
    tips = np.where(pays == 1, np.round(fares * random.normal(0.2, 0.06, rows).clip(0), 2), 0.0)
    people = random.choice([1.0, 2, 3, 4, 5, 6], rows, p=[0.73, 0.15, 0.045, 0.025, 0.03, 0.02])
    batch = {
        "VendorID": random.integers(1, 3, rows),
        "tpep_pickup_datetime": pickups,
        "tpep_dropoff_datetime": pickups + ride_s.astype("timedelta64[s]"),
        "passenger_count": people,
        "trip_distance": np.round(miles, 2),
        "RatecodeID": codes.astype(float),
        "PULocationID": zones.NUMBERS[start],
        "DOLocationID": np.where(codes == OUT_OF_TOWN, zones.OUTSIDE_ZONE, zones.NUMBERS[end]),
        "payment_type": pays,
        "fare_amount": np.round(fares, 2),
        "extra": surcharges,
        "mta_tax": np.full(rows, 0.5),
        "tip_amount": tips,
        "improvement_surcharge": np.full(rows, tariff.improvement_usd),
        "total_amount": np.round(fares + surcharges + 0.5 + tips + tariff.improvement_usd, 2),
    }
    soil(random, batch)
    return pa.RecordBatch.from_pydict(
        {name: pa.array(values, from_pandas=True) for name, values in batch.items()}
    )


def pickup_times(
    random: Generator, rows: int, first_day: str
) -> tuple[NDArray[np.datetime64], Ints, NDArray[np.bool_]]:
    monday = np.datetime64(first_day, "D")
    days = random.integers(0, DAYS, rows)
    weekend = ((monday + days).astype(int) + 3) % 7 >= 5
    hours = np.where(
        weekend,
        random.choice(24, rows, p=WEEKEND_HOURS / WEEKEND_HOURS.sum()),
        random.choice(24, rows, p=WEEKDAY_HOURS / WEEKDAY_HOURS.sum()),
    )
    seconds = hours * 3600 + random.integers(0, 3600, rows)
    day_starts = (monday + days).astype("datetime64[us]")
    return day_starts + seconds.astype("timedelta64[s]"), hours, weekend


def places(random: Generator, rows: int) -> tuple[Ints, Ints]:
    """Positions in the zone table of pickup and destination."""
    start = random.choice(len(zones.ZONES), rows, p=zones.DEMAND)
    bounds = zones.destination_shares().cumsum(axis=1)
    chance = random.random(rows)
    end = (bounds[start] < chance[:, None]).sum(axis=1)
    return start, np.minimum(end, len(zones.ZONES) - 1)


def rides(
    random: Generator, hours: Ints, weekend: NDArray[np.bool_], start: Ints, end: Ints
) -> tuple[Floats, Floats, Floats, Floats]:
    """Miles driven, seconds under way, seconds slow or standing, and miles driven at speed."""
    rows = len(hours)
    straight = zones.distances_miles()[start, end] + random.normal(0, 0.22, rows)
    miles = np.maximum(straight, 0.15) * random.lognormal(0.30, 0.10, rows) + 0.1
    streets = np.where(weekend, WEEKEND_SPEED[hours], WEEKDAY_SPEED[hours])
    in_manhattan = zones.MANHATTAN[start].astype(float) + zones.MANHATTAN[end]
    streets = streets * (1.35 - 0.175 * in_manhattan) * random.lognormal(0, 0.24, rows)
    highway = 1 / (1 + np.exp(-(miles - 6.0) / 2.0))
    speed = streets * (1 - highway) + (24 + 0.9 * streets) * highway
    ride_s = miles / speed * 3600
    slow_share = np.clip(0.72 - speed / 32, 0.03, 0.7)
    free_miles = miles * (1 - 0.35 * slow_share)
    return miles, np.maximum(ride_s, 30), ride_s * slow_share, free_miles


def fares_of(
    random: Generator, tariff: Tariff, start: Ints, end: Ints, free_miles: Floats, slow_s: Floats
) -> tuple[Ints, Floats]:
    """Rate codes and fares in USD."""
    rows = len(start)
    fares = metered_usd(tariff, free_miles, slow_s)
    codes = np.full(rows, STANDARD)
    from_zone, to_zone = zones.NUMBERS[start], zones.NUMBERS[end]
    flat = ((from_zone == zones.JFK_ZONE) & zones.MANHATTAN[end]) | (
        (to_zone == zones.JFK_ZONE) & zones.MANHATTAN[start]
    )
    flat &= random.random(rows) < 0.98
    codes[flat], fares[flat] = JFK, tariff.jfk_flat_usd
    newark = to_zone == zones.NEWARK_ZONE
    codes[newark], fares[newark] = NEWARK, fares[newark] + tariff.newark_usd
    chance = random.random(rows)
    out_of_town = (codes == STANDARD) & (free_miles > 8) & (chance < 0.03)
    codes[out_of_town], fares[out_of_town] = OUT_OF_TOWN, fares[out_of_town] * 1.6
    negotiated = chance > 0.996
    codes[negotiated] = NEGOTIATED
    fares[negotiated] = np.round(random.lognormal(3.5, 0.5, int(negotiated.sum())))
    return codes, fares


def soil(random: Generator, batch: dict[str, NDArray[Any]]) -> None:
    """The dirt of real files: refunds, zeros, absurd values, unknown codes, repeated trips."""
    rows = len(batch["VendorID"])

    def some(share: float) -> NDArray[np.bool_]:
        return random.random(rows) < share

    batch["fare_amount"][some(0.004)] *= -1
    batch["fare_amount"][some(0.001)] = 0.0
    batch["fare_amount"][some(0.0001)] = 9_999.0
    batch["trip_distance"][some(0.008)] = 0.0
    batch["trip_distance"][some(0.0002)] *= 1_000
    batch["passenger_count"][some(0.02)] = np.nan
    batch["passenger_count"][some(0.01)] = 0.0
    batch["RatecodeID"][some(0.01)] = 99.0
    batch["PULocationID"][some(0.006)] = zones.UNKNOWN_ZONE
    batch["DOLocationID"][some(0.006)] = zones.UNKNOWN_ZONE
    wrong_clock = some(0.0001)
    batch["tpep_pickup_datetime"][wrong_clock] = np.datetime64("2002-12-31T22:00:00")
    backwards = some(0.001)
    batch["tpep_dropoff_datetime"][backwards] = batch["tpep_pickup_datetime"][backwards]
    repeated = np.flatnonzero(some(0.003))
    for name in batch:
        batch[name][repeated] = batch[name][repeated - 1]


def arguments() -> Arguments:
    parser = Arguments("taxiops.steps.generate", "Write generated trips as one Parquet file.")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first-day", default=FIRST_DAY, help="a date; its tariff applies")
    parser.add_argument("--output", type=Path, required=True, help="the Parquet file to write")
    return parser


def write_generated(options: argparse.Namespace) -> None:
    try:
        np.datetime64(options.first_day, "D")
    except ValueError as error:
        raise UsageError(
            f"--first-day is {options.first_day!r}, not a date.", hint="Write it as 2025-01-06."
        ) from error
    writer = None
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for batch in generated_batches(options.rows, options.seed, options.first_day):
        writer = writer or pyarrow.parquet.ParquetWriter(options.output, batch.schema)
        writer.write_batch(batch)
    if writer:
        writer.close()
    say(f"{options.rows} trips in {options.output}")


if __name__ == "__main__":
    run_program(arguments(), write_generated)
