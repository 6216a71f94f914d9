"""Deployments without code: MLflow models; and environments that would need a container."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Environment, Model
from azure.core.exceptions import HttpResponseError

from taxiops.emulator.state.endpoints.mlflow_scoring import plain, table

if TYPE_CHECKING:
    from conftest import Bench

# What MLflow's pyfunc does with a model, without MLflow: this project does not need it.
STAND_IN = """
import numpy as np

class Loaded:
    def predict(self, data):
        return np.asarray(data["distance"]) * 2.5

def load_model(path):
    open(path + "/MLmodel").close()
    return Loaded()
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow-model")
    (folder / "MLmodel").write_text("flavors: {}\n")
    return folder


def test_an_mlflow_model_serves_without_code(bench: "Bench", saved: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").touch()
    (tmp_path / "mlflow" / "pyfunc.py").write_text(STAND_IN)
    model = Model(path=str(saved), name="fares", version="1", type=AssetTypes.MLFLOW_MODEL)
    bench.endpoint("no-code")
    without_code: dict[str, Any] = {"environment": None, "code_configuration": None}
    variables = {"PYTHONPATH": str(tmp_path)}
    bench.deployment("no-code", "blue", variables, model=model, **without_code)
    bench.traffic("no-code", {"blue": 100})
    caller = bench.caller("no-code")
    rides = {"columns": ["distance"], "index": [0, 1], "data": [[2], [4]]}
    assert caller.post({"input_data": rides}).document == [5.0, 10.0]
    refused = caller.post({"inputs": rides})
    assert refused.status == 424
    assert refused.headers["ms-azureml-model-error-statuscode"] == "400"

    (tmp_path / "mlflow" / "__init__.py").write_text("raise ImportError('no such module')")
    with pytest.raises(HttpResponseError, match="pip install mlflow-skinny"):
        bench.deployment("no-code", "green", variables, model=model, **without_code)
    log = bench.client.online_deployments.get_logs("green", "no-code", 100)
    assert "pip install mlflow-skinny" in log
    bench.client.online_endpoints.begin_delete("no-code").result()


def test_what_cannot_be_served_says_so_in_the_containers_log(bench: "Bench") -> None:
    own_server = Environment(
        image="nvcr.io/triton:1",
        inference_config={
            "liveness_route": {"port": 8000, "path": "/v2/health/live"},
            "readiness_route": {"port": 8000, "path": "/v2/health/ready"},
            "scoring_route": {"port": 8000, "path": "/"},
        },
    )
    bench.endpoint("not-served")
    with pytest.raises(HttpResponseError, match="would need Docker"):
        bench.deployment("not-served", "own", environment=own_server)
    assert "custom container" in bench.client.online_deployments.get_logs("own", "not-served", 9)
    with pytest.raises(HttpResponseError, match="needs code"):
        bench.deployment("not-served", "bare", code_configuration=None, environment=None)
    bench.client.online_endpoints.begin_delete("not-served").result()


def test_inputs_are_tables_rows_or_tensors() -> None:
    framed = table({"columns": ["a", "b"], "index": [7], "data": [[1, 2]]})
    assert framed.to_dict() == {"a": {7: 1}, "b": {7: 2}}
    assert table([{"a": 1}, {"a": 2}])["a"].tolist() == [1, 2]
    assert table([[1, 2]]).shape == (1, 2)
    assert table({"x": [1, 2]})["x"].tolist() == [1, 2]
    with pytest.raises(TypeError):
        table("text")


def test_predictions_are_json() -> None:
    assert plain(np.array([1.5])) == [1.5]
    assert plain(pd.DataFrame({"a": [1]})) == [{"a": 1}]
    assert json.dumps(plain(pd.Series([1, 2]))) == "[1, 2]"
