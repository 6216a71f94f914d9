"""Reading the three layouts, CSV and Parquet, file and folder; and refusing what is no trips."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxiops.errors import ExitCode, UsageError
from taxiops.steps.columns import DROPOFF, FARE, NUMBERS, PICKUP, concatenate
from taxiops.steps.trips import Reading, read_trips

GREEN = (
    "lpepPickupDatetime,lpepDropoffDatetime,passengerCount,tripDistance,puLocationId,"
    "doLocationId,pickupLongitude,pickupLatitude,dropoffLongitude,dropoffLatitude,rateCodeID,"
    "paymentType,fareAmount\n"
    "2016-01-03 21:02:35,2016-01-03 21:05:52,1,0.83,,,-73.987,40.694,-73.976,40.695,1,2,4.5\n"
)
YELLOW = (
    "tpepPickupDateTime,tpepDropoffDateTime,passengerCount,tripDistance,startLon,startLat,"
    "endLon,endLat,rateCodeId,paymentType,fareAmount\n"
    "2016-01-06 12:09:13,2016-01-06 12:22:14,2,2.09,-73.982,40.746,-74.005,40.731,1,1,10.5\n"
)


def commission() -> pa.Table:
    return pa.table(
        {
            "tpep_pickup_datetime": pa.array(np.array(["2024-03-01T08:00:00"], "datetime64[us]")),
            "tpep_dropoff_datetime": pa.array(np.array(["2024-03-01T08:20:00"], "datetime64[us]")),
            "passenger_count": pa.array([3], pa.int64()),
            "trip_distance": [3.4],
            "RatecodeID": pa.array([1], pa.int64()),
            "PULocationID": pa.array([161], pa.int32()),
            "DOLocationID": pa.array([236], pa.int32()),
            "payment_type": pa.array([1], pa.int64()),
            "fare_amount": [19.1],
        }
    )


def read(path: Path) -> tuple[dict[str, np.ndarray], Reading]:
    reading = Reading()
    return concatenate(list(read_trips(path, reading))), reading


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(path)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


def test_green_trips_keep_their_time_place_and_fare(tmp_path: Path) -> None:
    trips, reading = read(written(tmp_path / "green.csv", GREEN))
    assert trips[PICKUP][0] == np.datetime64("2016-01-03T21:02:35")
    assert trips[DROPOFF][0] == np.datetime64("2016-01-03T21:05:52")
    assert (trips["pickup_longitude"][0], trips["dropoff_latitude"][0]) == (-73.987, 40.695)
    assert (trips[FARE][0], trips["trip_distance_miles"][0]) == (4.5, 0.83)
    assert np.isnan(trips["pickup_zone"][0])
    assert reading.files[0].layout == "Azure Open Datasets, green"


def test_yellow_trips_are_read_from_their_own_column_names(tmp_path: Path) -> None:
    trips, reading = read(written(tmp_path / "yellow.csv", YELLOW))
    assert (trips["pickup_longitude"][0], trips["dropoff_longitude"][0]) == (-73.982, -74.005)
    assert trips["passenger_count"][0] == 2
    assert reading.files[0].missing_columns == ("pickup_zone", "dropoff_zone")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_commission_trips_are_the_same_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"trips{suffix}"
    if suffix == ".parquet":
        pq.write_table(commission(), path)
    else:
        text = commission().to_pandas().to_csv(index=False)
        path.write_bytes(gzip.compress(text.encode()) if suffix == ".csv.gz" else text.encode())
    trips, _ = read(path)
    assert trips[PICKUP][0] == np.datetime64("2024-03-01T08:00:00")
    assert (trips["pickup_zone"][0], trips["dropoff_zone"][0]) == (161, 236)
    assert np.isnan(trips["pickup_longitude"][0])
    assert trips[FARE][0] == 19.1


def test_green_commission_files_are_known_by_their_pickup_column(tmp_path: Path) -> None:
    names = [name.replace("tpep_", "lpep_") for name in commission().column_names]
    pq.write_table(commission().rename_columns(names), tmp_path / "green.parquet")
    trips, _ = read(tmp_path / "green.parquet")
    assert trips[PICKUP][0] == np.datetime64("2024-03-01T08:00:00")


def test_a_folder_may_mix_layouts_and_hold_other_files(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", GREEN)
    written(tmp_path / "b.csv", YELLOW)
    written(tmp_path / "README.md", "about")
    (tmp_path / "2024").mkdir()
    pq.write_table(commission(), tmp_path / "2024" / "c.parquet")
    trips, reading = read(tmp_path)
    assert sorted(trips[FARE]) == [4.5, 10.5, 19.1]
    assert [report.file for report in reading.files] == ["2024/c.parquet", "a.csv", "b.csv"]
    assert reading.ignored == ["README.md"]


def test_values_that_are_no_numbers_or_times_become_unknown(tmp_path: Path) -> None:
    row = "never,2016-01-06 12:22:14,two,2.09,NULL,x,,40.7,1,1,ten\n"
    trips, _ = read(written(tmp_path / "yellow.csv", YELLOW + row))
    assert np.isnat(trips[PICKUP][1])
    assert all(np.isnan(trips[name][1]) for name in (FARE, "passenger_count", "pickup_latitude"))
    assert (trips[FARE][0], trips["trip_distance_miles"][1]) == (10.5, 2.09)


def test_times_in_american_writing_and_with_offsets_are_understood(tmp_path: Path) -> None:
    rest = ",2016-01-06 23:22:14,1,2,,,,,1,1,10\n"
    text = YELLOW + "01/06/2016 09:02:35 PM" + rest + "2016-01-06T21:02:35Z" + rest
    trips, _ = read(written(tmp_path / "yellow.csv", text))
    assert trips[PICKUP][1] == np.datetime64("2016-01-06T21:02:35")
    assert trips[PICKUP][2] == np.datetime64("2016-01-06T16:02:35")


def test_lines_of_the_wrong_width_are_counted_and_left_out(tmp_path: Path) -> None:
    trips, reading = read(written(tmp_path / "yellow.csv", YELLOW + "2016-01-06 12:09:13,2016-01"))
    assert len(trips[FARE]) == 1
    assert reading.files[0].unreadable_rows == 1


def test_damaged_bytes_spoil_their_own_value_only(tmp_path: Path) -> None:
    path = tmp_path / "yellow.csv"
    row = YELLOW.splitlines()[1].encode()
    damaged = row.replace(b"10.5", b"1\xff.5") + b"\n\xfe\xff\n"
    path.write_bytes(b"\xef\xbb\xbf" + YELLOW.encode() + damaged)
    trips, reading = read(path)
    assert trips[FARE][0] == 10.5
    assert np.isnan(trips[FARE][1])
    assert trips["trip_distance_miles"][1] == 2.09
    assert reading.files[0].unreadable_rows == 1


def test_batches_do_not_grow_with_the_file(tmp_path: Path) -> None:
    rows = YELLOW.splitlines()[1] + "\n"
    path = written(tmp_path / "yellow.csv", YELLOW.splitlines()[0] + "\n" + rows * 150_000)
    sizes = [len(batch[FARE]) for batch in read_trips(path, Reading())]
    assert sum(sizes) == 150_000
    assert max(sizes) <= 65_536


@pytest.mark.parametrize(
    ("column", "name"), [("fareAmount", "fareamount"), ("tripDistance", "tripdistance")]
)
def test_a_file_without_a_needed_column_is_refused_by_name(
    tmp_path: Path, column: str, name: str
) -> None:
    path = written(tmp_path / "yellow.csv", YELLOW.replace(column, "somethingElse"))
    error = refusal(path)
    assert "yellow.csv" in error.what
    assert name in error.what


def test_a_misspelt_column_is_suggested(tmp_path: Path) -> None:
    error = refusal(written(tmp_path / "yellow.csv", YELLOW.replace("fareAmount", "fareAmout")))
    assert "fareamout" in error.hint


def test_an_unknown_layout_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    error = refusal(written(tmp_path / "x.csv", "when,miles,price\n2016-01-01,1,5\n"))
    assert "x.csv" in error.what
    assert "when, miles, price" in error.what


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    assert f"{name}: the file is empty" in refusal(written(tmp_path / name, "")).what


def test_a_header_without_trips_is_refused(tmp_path: Path) -> None:
    error = refusal(written(tmp_path / "yellow.csv", YELLOW.splitlines()[0] + "\n"))
    assert "no trips" in error.what


@pytest.mark.parametrize("name", ["bad.csv", "bad.csv.gz", "bad.parquet"])
def test_broken_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR1\x00 nonsense \x80\n" * 40)
    assert name in refusal(tmp_path / name).what


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(commission(), tmp_path / "whole.parquet")
    data = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(data[: len(data) // 2])
    assert "half.parquet: cannot be read" in refusal(tmp_path / "half.parquet").what


def test_a_column_of_the_wrong_type_is_refused_by_name(tmp_path: Path) -> None:
    table = commission().drop_columns(["fare_amount"]).append_column("fare_amount", [[[1.0]]])
    pq.write_table(table, tmp_path / "nested.parquet")
    assert "column fare_amount" in refusal(tmp_path / "nested.parquet").what


def test_folders_without_trips_and_other_formats_are_refused(tmp_path: Path) -> None:
    assert "holds no trips" in refusal(tmp_path).what
    assert "neither CSV nor Parquet" in refusal(written(tmp_path / "a.xlsx", "x")).what
    assert "no such file" in refusal(tmp_path / "absent.csv").what


def test_every_real_trip_is_read_as_pandas_reads_it(real_data: Path) -> None:
    path = real_data / "nyc_green_taxi_2016_01.csv"
    trips, reading = read(path)
    frame = pd.read_csv(path, parse_dates=["lpepPickupDatetime"])
    assert reading.files[0].rows == len(frame) == 5_000
    assert (trips[FARE] == frame["fareAmount"]).all()
    assert (trips[PICKUP] == frame["lpepPickupDatetime"].to_numpy()).all()
    assert (trips["pickup_longitude"] == frame["pickupLongitude"]).all()
    assert set(trips) == {PICKUP, DROPOFF, FARE, *NUMBERS}
