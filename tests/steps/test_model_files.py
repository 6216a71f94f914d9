"""Model folders: equal bytes for equal models, and nothing loaded that is not trusted."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from taxiops.errors import UsageError
from taxiops.steps.columns import FARE, concatenate, records_of
from taxiops.steps.features import FEATURES, feature_matrix
from taxiops.steps.frozen_zip import frozen
from taxiops.steps.model_files import (
    TRUSTED,
    digest_of_folder,
    find_model_folder,
    load_model,
    types_in,
)
from taxiops.steps.naive import fit_naive
from taxiops.steps.payload import trips_of_request
from taxiops.steps.prepare import prepare, read_prepared
from taxiops.steps.train import train

from .conftest import trained


@pytest.fixture
def copied(strong_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(strong_model, tmp_path / "model"))


def rewritten(folder: Path, change: object) -> None:
    """The model's schema.json passed through `change`, as an attacker would."""
    path = folder / "model.skops"
    with ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["schema.json"] = change(contents["schema.json"])  # type: ignore[operator]
    with ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def test_a_model_folder_holds_exactly_its_four_files(strong_model: Path) -> None:
    names = sorted(path.name for path in strong_model.iterdir())
    assert names == ["golden.json", "labelled.json", "metadata.json", "model.skops"]


def test_training_twice_gives_equal_bytes_even_in_another_process(
    prepared: Path, strong_model: Path, tmp_path: Path
) -> None:
    arguments = {"max-iter": 80, "model": tmp_path / "again"}
    arguments |= {"train-trips": prepared / "train", "test-trips": prepared / "test"}
    options = [f"--{name}={value}" for name, value in arguments.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "3"}
    subprocess.run(
        [sys.executable, "-m", "taxiops.steps.train", *options], check=True, env=environment
    )
    assert digest_of_folder(tmp_path / "again") == digest_of_folder(strong_model)


def test_more_trees_make_another_model(strong_model: Path, weak_model: Path) -> None:
    assert load_model(strong_model).sha256 != load_model(weak_model).sha256


def test_the_commit_is_part_of_the_model(prepared: Path, weak_model: Path, tmp_path: Path) -> None:
    other = trained(prepared, tmp_path / "other", 30, commit="abc")
    assert load_model(other).metadata["created_from"] == {"commit": "abc"}
    assert load_model(other).sha256 != load_model(weak_model).sha256


def test_freezing_changes_no_prediction() -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(500, 3))
    estimator = HistGradientBoostingRegressor(max_iter=5).fit(matrix, matrix[:, 0])
    types = skops.io.get_untrusted_types(data=frozen(skops.io.dumps(estimator)))
    loaded = skops.io.loads(frozen(skops.io.dumps(estimator)), trusted=types)
    assert (loaded.predict(matrix) == estimator.predict(matrix)).all()


def test_golden_predictions_are_those_of_the_model_on_the_wire_form(strong_model: Path) -> None:
    golden = json.loads((strong_model / "golden.json").read_text())
    model = load_model(strong_model)
    trips = trips_of_request(json.dumps({"trips": golden["rows"]}))
    assert len(golden["rows"]) == 20
    assert model.predict(feature_matrix(trips, model.features)).tolist() == golden["predictions"]


def test_labelled_rows_are_held_out_and_their_error_is_recorded(
    strong_model: Path, prepared: Path
) -> None:
    labelled = json.loads((strong_model / "labelled.json").read_text())
    model = load_model(strong_model)
    trips = trips_of_request(json.dumps({"trips": labelled["rows"]}))
    errors = model.predict(feature_matrix(trips, model.features)) - labelled["fare_amount_usd"]
    assert len(labelled["rows"]) == 300
    assert np.isclose(np.abs(errors).mean(), labelled["offline_mae_usd"])
    train = concatenate(list(read_prepared(prepared / "train", 10_000, "train")[1]))
    seen = {(row["pickup_datetime"], row["trip_distance_miles"]) for row in records_of(train)}
    rows = {(row["pickup_datetime"], row["trip_distance_miles"]) for row in labelled["rows"]}
    assert not rows & seen


def test_features_without_information_are_left_out(strong_model: Path) -> None:
    features = load_model(strong_model).features
    assert "pickup_zone" in features
    assert "pickup_longitude" not in features
    assert set(features) < set(FEATURES)


def test_a_model_of_real_trips_uses_their_places(real_data: Path, tmp_path: Path) -> None:
    prepare(real_data, 0, 0, tmp_path / "train", tmp_path / "test")
    features = load_model(trained(tmp_path, tmp_path / "model", 10)).features
    assert "straight_line_miles" in features
    assert "pickup_zone" not in features


def test_every_trusted_type_is_one_that_a_model_has(strong_model: Path) -> None:
    with ZipFile(strong_model / "model.skops") as archive:
        assert types_in(json.loads(archive.read("schema.json"))) == TRUSTED


def test_a_model_with_a_foreign_type_is_refused_before_it_is_built(copied: Path) -> None:
    def change(schema: bytes) -> bytes:
        return schema.replace(b'"__class__":"TreePredictor"', b'"__class__":"system"', 1).replace(
            b'"__module__":"sklearn.ensemble._hist_gradient_boosting.predictor"',
            b'"__module__":"os"',
            1,
        )

    rewritten(copied, change)
    with pytest.raises(UsageError, match=r"not trusted: os\.system") as caught:
        load_model(copied)
    assert caught.value.code == "model-untrusted"


def test_another_estimator_is_refused(copied: Path) -> None:
    estimator = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    (copied / "model.skops").write_bytes(skops.io.dumps(estimator))
    with pytest.raises(UsageError, match="not trusted"):
        load_model(copied)


def test_a_pickle_is_never_loaded(copied: Path) -> None:
    class Touch:
        def __reduce__(self) -> object:
            return (open, (str(copied / "touched"), "w"))

    (copied / "model.skops").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(UsageError, match="no complete skops file"):
        load_model(copied)
    assert not (copied / "touched").exists()


@pytest.mark.parametrize("kept", [0, 100, 5_000, -30])
def test_a_truncated_model_is_refused(copied: Path, kept: int) -> None:
    data = (copied / "model.skops").read_bytes()
    (copied / "model.skops").write_bytes(data[:kept])
    with pytest.raises(UsageError, match=r"model\.skops"):
        load_model(copied)


def test_a_model_that_unpacks_to_more_than_any_of_ours_is_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taxiops.steps.model_files.LARGEST_MODEL_BYTES", 100_000)
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr("0.npy", bytes(1_000_000))
    (copied / "model.skops").write_bytes(buffer.getvalue())
    with pytest.raises(UsageError, match="larger than any model"):
        load_model(copied)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"features": ["trip_distance_miles"]}, "number of features"),
        ({"features": ["tip"]}, "unknown feature 'tip'"),
        ({"kind": "naive"}, "kind is 'naive'"),
        ({"schema_version": 2}, "schema_version must be 1"),
    ],
)
def test_metadata_that_does_not_fit_the_model_is_refused(
    copied: Path, change: dict[str, object], expected: str
) -> None:
    path = copied / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=expected):
        load_model(copied)


def test_the_model_is_found_below_the_folder_azure_mounts(copied: Path) -> None:
    assert find_model_folder(copied.parent) == copied
    with pytest.raises(UsageError, match=r"no metadata\.json"):
        find_model_folder(copied / "nothing")
    shutil.copytree(copied, copied.parent / "other")
    with pytest.raises(UsageError, match="more than one"):
        find_model_folder(copied.parent)


def test_any_changed_byte_changes_the_digest(copied: Path) -> None:
    before = digest_of_folder(copied)
    with (copied / "golden.json").open("a") as file:
        file.write(" ")
    assert digest_of_folder(copied) != before


def test_the_naive_fare_is_least_squares_of_fare_on_distance(prepared: Path) -> None:
    batches = list(read_prepared(prepared / "train", 100, "train")[1])
    naive = fit_naive(batches)
    trips = concatenate(batches)
    slope, intercept = np.polyfit(trips["trip_distance_miles"], trips[FARE], 1)
    assert np.allclose([naive.initial_usd, naive.per_mile_usd], [intercept, slope], atol=1e-4)
    assert naive == fit_naive([trips])


@pytest.mark.parametrize(
    "change", [{"max_iter": 0}, {"learning_rate": -1.0}, {"max_leaf_nodes": 1}]
)
def test_parameters_that_cannot_train_are_refused_by_name(
    prepared: Path, tmp_path: Path, change: dict[str, float]
) -> None:
    params = {"max_iter": 10, "learning_rate": 0.1, "max_leaf_nodes": 31} | change
    with pytest.raises(UsageError, match=next(iter(change))) as caught:
        train(prepared / "train", prepared / "test", tmp_path / "m", params, "")
    assert caught.value.code == "train-parameters"
    assert not (tmp_path / "m").exists()
