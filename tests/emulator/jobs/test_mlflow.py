"""MLflow inside a job: what its client sends is kept, shown on the job and found again."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state.tracking.run_search import BadFilter, clauses_of, ordered

from .conftest import await_end

# What MLflow's client sends, without MLflow: this project does not need it.
PROGRAM = """
import json, os, ssl, urllib.error, urllib.request
from urllib.parse import urlencode

BASE = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0"
RUN = os.environ["MLFLOW_RUN_ID"]
TRUST = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])


def call(method, path, fields=None, body=None, token=os.environ["MLFLOW_TRACKING_TOKEN"]):
    url = BASE + path
    if method == "GET" and fields:
        url += "?" + urlencode(fields)
    elif fields is not None:
        body = json.dumps(fields).encode()
    request = urllib.request.Request(url, method=method, data=body)
    request.add_header("authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, context=TRUST) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        content = error.read()
    return json.loads(content) if content[:1] in b"{[" else content.decode()


def ml(method, path, **fields):
    return call(method, "/mlflow/" + path, fields)


told = {}
for step, value in enumerate((3, 1, "NaN")):
    ml("POST", "runs/log-metric", run_id=RUN, key="loss", value=value, timestamp=9, step=step)
ml("POST", "runs/log-batch", run_id=RUN, params=[{"key": "lr", "value": "0.1"}],
   tags=[{"key": "colour", "value": "blue"}, {"key": "mlflow.note", "value": "ours"}],
   metrics=[{"key": "r2", "value": 0.5, "timestamp": 1, "step": 0}])
told["changed"] = ml("POST", "runs/log-parameter", run_id=RUN, key="lr", value="0.2")
told["run"] = ml("GET", "runs/get", run_id=RUN)["run"]
told["history"] = ml("GET", "metrics/get-history", run_id=RUN, metric_key="loss")["metrics"]
told["missing"] = ml("GET", "runs/get", run_id="nobody")
told["stranger"] = call("GET", "/mlflow/runs/get", {"run_id": RUN}, token="guessed")
home = told["run"]["info"]["experiment_id"]
told["same"] = ml("GET", "experiments/get-by-name",
                  experiment_name=os.environ["MLFLOW_EXPERIMENT_NAME"])["experiment"]
nested = ml("POST", "runs/create", experiment_id=home, run_name="inner",
            tags=[{"key": "mlflow.parentRunId", "value": RUN}])["run"]["info"]["run_id"]
ml("POST", "runs/log-metric", run_id=nested, key="r2", value=0.9)
ml("POST", "runs/update", run_id=nested, status="FINISHED", end_time=7)
search = dict(experiment_ids=[home], filter="metrics.r2 > 0.4", order_by=["metrics.r2 DESC"])
told["found"] = [each["info"]["run_id"] for each in ml("POST", "runs/search", **search)["runs"]]
told["nested"] = nested
model = ml("POST", "logged-models", experiment_id=home, name="model", source_run_id=RUN)["model"]
root = model["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
files = "/mlflow-artifacts/artifacts"
call("PUT", files + root + "/MLmodel", body=b"flavors: {}")
ml("PATCH", "logged-models/" + model["info"]["model_id"], status="LOGGED_MODEL_READY")
told["climbing"] = call("PUT", files + "/" + RUN + "/%2e%2e/%2e%2e/out", body=b"x")
told["list"] = call("GET", files, {"path": RUN + "/model"})["files"]
told["read"] = call("GET", files + root + "/MLmodel")
ml("POST", "registered-models/create", name="logged")
told["again"] = ml("POST", "registered-models/create", name="logged")
version = ml("POST", "model-versions/create", name="logged", run_id=RUN,
             source="models:/" + model["info"]["model_id"])["model_version"]
ml("POST", "registered-models/alias", name="logged", alias="best", version=version["version"])
told["alias"] = ml("GET", "registered-models/alias", name="logged", alias="best")["model_version"]
told["through"] = call("GET", files + version["source"].removeprefix("mlflow-artifacts:")
                       + "/MLmodel")
told["refused"] = ml("POST", "model-versions/create", name="logged", source="file:///etc")
with open("outputs/told.json", "w") as file:
    json.dump(told, file)
"""


@pytest.fixture(scope="module")
def logged(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    """A job that logged to MLflow, and what it was told."""
    from azure.ai.ml import command
    from azure.ai.ml.entities import Environment

    code = tmp_path_factory.mktemp("code")
    (code / "log.py").write_text(PROGRAM)
    job = command(
        code=code,
        command="python log.py",
        environment=Environment(image="python"),
        compute="cpu-cluster",
        experiment_name="tracked",
        display_name="logs to MLflow",
    )
    name = workspace.jobs.create_or_update(job).name
    assert await_end(workspace, name) == "Completed"
    folder = tmp_path_factory.mktemp("artifacts")
    workspace.jobs.download(name, download_path=folder)
    artifacts = folder / "artifacts"
    assert (artifacts / "user_logs" / "std_log.txt").is_file()
    assert (artifacts / "model" / "MLmodel").read_text() == "flavors: {}"
    told = json.loads((artifacts / "outputs" / "told.json").read_text())
    return workspace.jobs.get(name), told


def test_what_a_job_logs_is_read_back(logged: tuple[Any, dict[str, Any]]) -> None:
    job, told = logged
    data = told["run"]["data"]
    assert {each["key"]: each["value"] for each in data["metrics"]} == {"loss": "NaN", "r2": 0.5}
    assert data["params"] == [{"key": "lr", "value": "0.1"}]
    assert job.parameters == {"lr": "0.1"}
    assert told["run"]["info"]["run_name"] == "logs to MLflow"
    assert [each["value"] for each in told["history"]] == [3.0, 1.0, "NaN"]
    assert told["found"] == [told["nested"], job.name]
    assert told["same"]["experiment_id"] == told["run"]["info"]["experiment_id"]
    assert (told["read"], told["through"]) == ("flavors: {}", "flavors: {}")
    assert told["list"] == [{"path": "MLmodel", "is_dir": False, "file_size": 11}]


def test_tags_and_models_of_mlflow_are_those_of_the_workspace(
    logged: tuple[Any, dict[str, Any]], workspace: Any, tmp_path: Path
) -> None:
    from azure.ai.ml.entities import Model

    job, told = logged
    assert job.tags == {"colour": "blue"}
    model = workspace.models.get("logged", label="latest")
    assert (model.version, told["alias"]["version"], told["alias"]["run_id"]) == (
        "1",
        "1",
        job.name,
    )
    path = f"azureml://jobs/{job.name}/outputs/artifacts/paths/model/"
    workspace.models.create_or_update(Model(path=path, name="by-path", type="mlflow_model"))
    for name in ("logged", "by-path"):
        workspace.models.download(name, "1", download_path=tmp_path)
        assert [each.read_text() for each in (tmp_path / name).rglob("MLmodel")] == ["flavors: {}"]


def test_what_mlflow_may_not_do_is_refused_in_its_words(
    logged: tuple[Any, dict[str, Any]],
) -> None:
    told = logged[1]
    assert "Changing param values is not allowed" in told["changed"]["message"]
    assert told["missing"]["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert told["stranger"]["error_code"] == "UNAUTHENTICATED"
    assert told["climbing"]["error_code"] == "INVALID_PARAMETER_VALUE"
    assert told["again"]["error_code"] == "RESOURCE_ALREADY_EXISTS"
    assert "only from a run's artifacts" in told["refused"]["message"]


RUNS = [
    {"metrics": {"r2": 0.5}, "params": {"lr": "0.1"}, "tags": {"a.b": "Blue"}},
    {"metrics": {"r2": math.nan}, "params": {"lr": "0.2"}, "tags": {}},
    {"metrics": {"r2": 0.7}, "params": {}, "attributes": {"status": "FINISHED"}},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [0, 1, 2]),
        ("metrics.r2 >= 0.5", [0, 2]),
        ("metrics.r2 > 0.4 and params.lr = '0.1'", [0]),
        ("params.lr != '0.1'", [1]),
        ("tags.`a.b` ILIKE 'b%e'", [0]),
        ("tags.`a.b` LIKE 'b%e'", []),
        ("params.lr IN ('0.1', '0.2')", [0, 1]),
        ("params.lr NOT IN ('0.1')", [1]),
        ("status = 'FINISHED'", [2]),
    ],
)
def test_filters_are_those_of_mlflow(text: str, expected: list[int]) -> None:
    clauses = clauses_of(text)
    found = [n for n, run in enumerate(RUNS) if all(each.holds(run) for each in clauses)]
    assert found == expected


@pytest.mark.parametrize("text", ["metrics.r2", "r2 > ", "metrics.r2 > 1 or x = 'y'", "who.r2 = 1"])
def test_a_filter_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(BadFilter):
        clauses_of(text)


def test_runs_without_the_value_come_last() -> None:
    found = ordered(list(RUNS), ["metrics.r2 DESC"], lambda run: run)
    assert found == [RUNS[2], RUNS[0], RUNS[1]]
