"""The scoring script: requests checked, answers equal to offline predictions, served for real."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taxiops.steps import score
from taxiops.steps.columns import records_of
from taxiops.steps.features import feature_matrix
from taxiops.steps.model_files import load_model
from taxiops.steps.payload import BadRequest, trips_of_request
from taxiops.steps.prepare import read_prepared

from .conftest import ROOT

TRIP = {"pickup_datetime": "2025-01-07 18:05:00", "trip_distance_miles": 3.2}


def body(*trips: object) -> str:
    return json.dumps({"trips": list(trips)})


def test_the_answer_names_the_model_and_the_deployment(
    strong_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(strong_model.parent))
    monkeypatch.setenv("TAXIOPS_DEPLOYMENT", "blue")
    monkeypatch.setenv("TAXIOPS_MODEL_VERSION", "7")
    score.init()
    answer = score.run(body(TRIP, TRIP))
    assert isinstance(answer, dict)
    assert len(answer["predictions"]) == 2
    assert answer["model_sha256"] == load_model(strong_model).sha256
    assert (answer["deployment"], answer["model_version"]) == ("blue", "7")


def test_served_predictions_equal_those_of_the_compare_step(
    strong_model: Path, prepared: Path
) -> None:
    model = load_model(strong_model)
    trips = next(read_prepared(prepared / "test", 200, "test")[1])
    offline = model.predict(feature_matrix(trips, model.features))
    served = [
        score.answer(model, body(record))["predictions"][0] for record in records_of(trips)[:50]
    ]
    assert served == offline[:50].tolist()


def test_times_with_an_offset_are_turned_into_new_york_time() -> None:
    trips = trips_of_request(
        body(
            {**TRIP, "pickup_datetime": "2025-01-07T23:05:00Z"},
            {**TRIP, "pickup_datetime": "2025-07-07T18:05:00-04:00"},
            TRIP,
        )
    )
    times = trips["pickup_datetime"].astype(str).tolist()
    assert [time[:19] for time in times] == [
        "2025-01-07T18:05:00",
        "2025-07-07T18:05:00",
        "2025-01-07T18:05:00",
    ]


def test_values_that_training_blanks_are_blanked_here_too() -> None:
    trips = trips_of_request(body({**TRIP, "pickup_zone": 264, "passenger_count": 0}))
    assert np.isnan([trips["pickup_zone"][0], trips["passenger_count"][0]]).all()


def test_a_labelled_trip_may_be_sent_as_it_is() -> None:
    trips_of_request(body({**TRIP, "fare_amount_usd": 12.5, "payment_type": 1}))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "the body must be"),
        ('{"trips": 3}', "the body must be"),
        ('{"trips": []}', "0 elements"),
        ('{"trips": [1]}', r"trips\[0\] is no object"),
        (body({}), r"trips\[0\]\.pickup_datetime is missing"),
        (body(TRIP, {**TRIP, "trip_distance_miles": None}), r"trips\[1\]\.trip_distance_miles"),
        (body({**TRIP, "pickup_datetime": "soon"}), "is no time"),
        (body({**TRIP, "pickup_datetime": 5}), "is no time"),
        (body({**TRIP, "pickup_datetime": "1999-01-01"}), "2009 to 2099"),
        (body({**TRIP, "pickup_datetime": "0001-01-01T00:00:00+14:00"}), "is no time"),
        (body({**TRIP, "trip_distance_miles": "3"}), "is no number"),
        (body({**TRIP, "trip_distance_miles": True}), "is no number"),
        (body({**TRIP, "trip_distance_miles": -1}), "above 0"),
        (body({**TRIP, "trip_distance_miles": 1e9}), "at most 100"),
        (body({**TRIP, "rate_code": 10**400}), "too large"),
        ('{"trips": [{"trip_distance_miles": NaN}]}', "NaN is no JSON number"),
        (body({**TRIP, "passengers": 2}), "did you mean passenger_count"),
        (body(*[TRIP] * 10_001), "10001 elements"),
    ],
)
def test_a_bad_request_is_refused_with_field_and_reason(raw: str, expected: str) -> None:
    with pytest.raises(BadRequest, match=expected):
        trips_of_request(raw)


class Server:
    """The scoring server of Azure ML running the script of this repository, on loopback."""

    def __init__(self, model: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        program = (
            "from azureml_inference_server_http.server.create_app import create; "
            f"create().run('127.0.0.1', {self.port})"
        )
        environment = {
            **os.environ,
            "AZUREML_MODEL_DIR": str(model),
            "AML_APP_ROOT": str(ROOT),
            "AZUREML_ENTRY_SCRIPT": "taxiops/steps/score.py",
            "TAXIOPS_DEPLOYMENT": "green",
        }
        self.log = (folder / "server.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            cwd=folder,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def post(self, raw: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/score",
            raw.encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        self.log.seek(0)
        raise AssertionError(self.log.read())


@pytest.fixture(scope="module")
def server(strong_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(strong_model.parent, tmp_path_factory.mktemp("server"))
    try:
        server.wait()
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.log.close()


def test_the_real_scoring_server_answers_the_golden_rows_exactly(
    server: Server, strong_model: Path
) -> None:
    golden = json.loads((strong_model / "golden.json").read_text())
    status, answer = server.post(json.dumps({"trips": golden["rows"]}))
    assert status == 200
    assert answer["predictions"] == golden["predictions"]
    assert answer["deployment"] == "green"


def test_the_real_scoring_server_answers_400_to_a_bad_request(server: Server) -> None:
    status, answer = server.post('{"trips": [{}]}')
    assert status == 400
    assert answer == {"error": "trips[0].pickup_datetime is missing"}
