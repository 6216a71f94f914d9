"""Cleaning by stated rules, the frozen split, duplicates, and the generator of trips."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxiops.errors import UsageError
from taxiops.steps.cleaning import DROP_RULES, clean
from taxiops.steps.columns import DROPOFF, FARE, NUMBERS, PICKUP, RIDE
from taxiops.steps.generate import generated_batches
from taxiops.steps.prepare import prepare, read_prepared
from taxiops.steps.tariff import tariff_on


def trip(**changes: object) -> dict[str, np.ndarray]:
    good = dict.fromkeys(NUMBERS, np.nan) | {
        PICKUP: "2016-01-03T10:00:00",
        DROPOFF: "2016-01-03T10:10:00",
        FARE: 9.5,
        "trip_distance_miles": 2.0,
        "payment_type": 1.0,
    }
    values = {**good, **changes}
    return {
        name: np.array([value], "datetime64[us]" if name in (PICKUP, DROPOFF) else float)
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("no_pickup_time", {PICKUP: "NaT"}),
        ("pickup_time_implausible", {PICKUP: "2002-12-31", DROPOFF: "NaT"}),
        ("no_fare", {FARE: np.nan}),
        ("fare_implausible", {FARE: -5.0}),
        ("fare_implausible", {FARE: 0.0}),
        ("fare_implausible", {FARE: 9_999.0}),
        ("no_distance", {"trip_distance_miles": np.nan}),
        ("distance_implausible", {"trip_distance_miles": 0.0}),
        ("distance_implausible", {"trip_distance_miles": 2_000.0}),
        ("ride_time_implausible", {DROPOFF: "2016-01-03T10:00:00"}),
        ("ride_time_implausible", {DROPOFF: "2016-01-05T10:00:00"}),
        ("not_paid", {"payment_type": 4.0}),
    ],
)
def test_each_rule_drops_its_trip_and_counts_it(rule: str, changes: dict[str, object]) -> None:
    dropped: dict[str, int] = {}
    kept = clean(trip(**changes), dropped, {})
    assert dropped == {rule: 1}
    assert len(kept[FARE]) == 0


def test_every_rule_that_drops_is_tested() -> None:
    marks = test_each_rule_drops_its_trip_and_counts_it.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(DROP_RULES)


@pytest.mark.parametrize(
    ("rule", "names", "changes"),
    [
        (
            "pickup_place_implausible",
            ("pickup_longitude", "pickup_latitude"),
            {"pickup_longitude": 0.0, "pickup_latitude": 0.0},
        ),
        (
            "dropoff_place_implausible",
            ("dropoff_longitude", "dropoff_latitude"),
            {"dropoff_longitude": -73.9, "dropoff_latitude": 4.0},
        ),
        ("pickup_zone_unknown", ("pickup_zone",), {"pickup_zone": 264.0}),
        ("dropoff_zone_unknown", ("dropoff_zone",), {"dropoff_zone": 265.0}),
        ("passenger_count_implausible", ("passenger_count",), {"passenger_count": 0.0}),
        ("rate_code_unknown", ("rate_code",), {"rate_code": 99.0}),
        ("payment_type_unknown", ("payment_type",), {"payment_type": 77.0}),
    ],
)
def test_values_that_cannot_be_true_become_unknown_and_are_counted(
    rule: str, names: tuple[str, ...], changes: dict[str, object]
) -> None:
    blanked: dict[str, int] = {}
    kept = clean(trip(**changes), {}, blanked)
    assert blanked == {rule: 1}
    assert all(np.isnan(kept[name]).all() for name in names)


def all_trips(folder: Path) -> pa.Table:
    return pq.read_table(folder / "trips.parquet")


def test_the_split_leaves_about_a_fifth_for_the_test_and_shares_no_ride(prepared: Path) -> None:
    train, test = all_trips(prepared / "train"), all_trips(prepared / "test")
    share = len(test) / (len(test) + len(train))
    assert 0.17 < share < 0.23
    assert not set(train[RIDE].to_pylist()) & set(test[RIDE].to_pylist())


def test_no_column_tells_what_only_the_end_of_the_ride_tells(prepared: Path) -> None:
    names = set(all_trips(prepared / "train").column_names)
    assert names == {RIDE, PICKUP, FARE, *NUMBERS}


def generated_table(rows: int, seed: int) -> pa.Table:
    return pa.Table.from_batches(generated_batches(rows, seed))


def test_order_and_files_of_the_trips_do_not_matter(tmp_path: Path) -> None:
    table = generated_table(3_000, 5)
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    pq.write_table(table, tmp_path / "one.parquet")
    (tmp_path / "many").mkdir()
    for part in range(3):
        pq.write_table(shuffled.slice(part * 1_000, 1_000), tmp_path / "many" / f"{part}.parquet")
    prepare(tmp_path / "one.parquet", 0, 0, tmp_path / "a", tmp_path / "b")
    prepare(tmp_path / "many", 0, 0, tmp_path / "c", tmp_path / "d")
    assert all_trips(tmp_path / "a").equals(all_trips(tmp_path / "c"))
    assert all_trips(tmp_path / "b").equals(all_trips(tmp_path / "d"))


def test_more_trips_never_move_a_trip_to_the_other_side(tmp_path: Path) -> None:
    table = generated_table(4_000, 5)
    pq.write_table(table.slice(0, 2_000), tmp_path / "half.parquet")
    pq.write_table(table, tmp_path / "whole.parquet")
    prepare(tmp_path / "half.parquet", 0, 0, tmp_path / "a", tmp_path / "b")
    prepare(tmp_path / "whole.parquet", 0, 0, tmp_path / "c", tmp_path / "d")
    half, whole = (set(all_trips(tmp_path / name)[RIDE].to_pylist()) for name in "bd")
    assert half <= whole


def test_a_ride_recorded_twice_is_kept_once_even_with_another_fare(tmp_path: Path) -> None:
    table = generated_table(2_000, 5)
    changed = table.set_column(
        table.column_names.index("fare_amount"),
        "fare_amount",
        pa.compute.add(table["fare_amount"], 1.0),
    )
    pq.write_table(pa.concat_tables([table, table, changed]), tmp_path / "thrice.parquet")
    pq.write_table(table, tmp_path / "once.parquet")
    thrice = prepare(tmp_path / "thrice.parquet", 0, 0, tmp_path / "a", tmp_path / "b")
    once = prepare(tmp_path / "once.parquet", 0, 0, tmp_path / "c", tmp_path / "d")
    rides = (
        all_trips(tmp_path / "a")[RIDE].to_pylist() + all_trips(tmp_path / "b")[RIDE].to_pylist()
    )
    assert len(rides) == len(set(rides)) == thrice["train_rows"] + thrice["test_rows"]
    assert thrice["dropped"]["duplicate"] > 2 * once["train_rows"]


def test_every_row_read_is_accounted_for(tmp_path: Path) -> None:
    report = prepare(None, 3_000, 2, tmp_path / "a", tmp_path / "b")
    assert report["rows_read"] == 3_000
    assert report["rows_dropped"] + report["train_rows"] + report["test_rows"] == 3_000
    assert set(report["dropped"]) | set(report["blanked"]) <= set(report["rules"])
    json.dumps(report, allow_nan=False)


def test_real_green_and_yellow_trips_make_one_set(real_data: Path, tmp_path: Path) -> None:
    report = prepare(real_data, 0, 0, tmp_path / "a", tmp_path / "b")
    assert report["rows_read"] == 10_000
    assert {file["layout"] for file in report["files"]} == {
        "Azure Open Datasets, green",
        "Azure Open Datasets, yellow",
    }
    assert report["dropped"]["distance_implausible"] > 0
    assert report["train_rows"] + report["test_rows"] > 9_500


def test_too_few_usable_trips_are_refused_with_what_dropped_them(tmp_path: Path) -> None:
    pq.write_table(generated_table(30, 1), tmp_path / "few.parquet")
    with pytest.raises(UsageError, match=r"few\.parquet: only \d+ training and \d+ test trips"):
        prepare(tmp_path / "few.parquet", 0, 0, tmp_path / "a", tmp_path / "b")


def test_a_folder_that_prepare_did_not_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no trips that the prepare step wrote"):
        read_prepared(tmp_path, 10, "test trips")


def test_generated_trips_depend_on_the_seed_only(tmp_path: Path) -> None:
    one, same, other = (pa.Table.from_batches(generated_batches(2_000, seed)) for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)


def test_generated_trips_follow_the_tariff_in_force() -> None:
    for day, flat in (("2016-01-04", 52.0), ("2025-01-06", 70.0)):
        table = pa.Table.from_batches(generated_batches(20_000, 3, day)).to_pandas()
        airport = table[(table["RatecodeID"] == 2) & table["fare_amount"].between(1, 500)]
        assert len(airport) > 50
        assert set(airport["fare_amount"]) == {flat}
        metered = table[(table["RatecodeID"] == 1) & table["fare_amount"].between(1, 500)]
        tariff = tariff_on(day)
        units = (metered["fare_amount"] - tariff.initial_usd) / tariff.unit_usd
        assert np.allclose(units, units.round(), atol=0.01)


def test_generated_rush_hours_are_slower_than_nights() -> None:
    table = pa.Table.from_batches(generated_batches(20_000, 3)).to_pandas()
    table = table[table["trip_distance"].between(0.1, 30)]
    seconds = (table["tpep_dropoff_datetime"] - table["tpep_pickup_datetime"]).dt.total_seconds()
    pace = seconds / table["trip_distance"]
    hours = table["tpep_pickup_datetime"].dt.hour
    assert pace[hours == 17].median() > 1.3 * pace[hours == 3].median()


def test_generating_more_rows_takes_no_larger_batches() -> None:
    first = list(itertools.islice(generated_batches(10_000_000, 1), 2))
    assert [batch.num_rows for batch in first] == [50_000, 50_000]
