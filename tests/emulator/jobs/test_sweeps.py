"""Sweeps: what is tried, which trial is the best, and what becomes of its outputs."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state.jobs.graph import BadGraph
from taxiops.emulator.state.jobs.sweeps import best_of, sweep_of

from .conftest import await_end
from .parts import SCOPE, Parts, await_status

PROGRAM = """
import json, os, ssl, sys, urllib.request
from pathlib import Path

value, name, out = float(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
(out / "best.txt").write_text(f"{name} {value}")
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
fields = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "score", "value": value}
request = urllib.request.Request(url, data=json.dumps(fields).encode())
request.add_header("authorization", "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"])
trust = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
urllib.request.urlopen(request, context=trust).read()
"""
SWEEP = """
type: sweep
trial:
  code: code
  command: python try.py ${{search_space.value}} ${{inputs.name}} ${{outputs.made}}
  environment: {image: python}
compute: azureml:cpu-cluster
inputs: {name: tried}
outputs: {made: {type: uri_folder}}
sampling_algorithm: grid
search_space:
  value: {type: choice, values: [1, 3, 2]}
objective: {goal: maximize, primary_metric: score}
limits: {max_total_trials: 5, max_concurrent_trials: 2}
"""


def sweep(space: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"searchSpace": space, "samplingAlgorithm": "random", **more}


def test_the_best_trial_of_a_sweep_gives_it_its_outputs(
    workspace: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from azure.ai.ml import load_job

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "try.py").write_text(PROGRAM)
    (tmp_path / "sweep.yml").write_text(SWEEP)
    job = workspace.jobs.create_or_update(load_job(tmp_path / "sweep.yml"))
    workspace.jobs.stream(job.name)
    assert await_end(workspace, job.name) == "Completed"
    ended = workspace.jobs.get(job.name)
    assert ended.properties["score"] == "3.0"
    trials = {each.name: each for each in workspace.jobs.list(parent_job_name=job.name)}
    assert set(trials) == {f"{job.name}_{number}" for number in range(3)}
    best = workspace.jobs.get(ended.properties["best_child_run_id"])
    assert json.loads(best.tags["hyperparameters"]) == {"value": "3"}
    workspace.jobs.download(job.name, download_path=tmp_path, output_name="made")
    made = tmp_path / "named-outputs" / "made" / "best.txt"
    assert made.read_text() == "tried 3.0"
    workspace.jobs.download(job.name, download_path=tmp_path / "all", all=True)
    log = (tmp_path / "all" / "hd-artifacts" / "azureml-logs" / "hyperdrive.txt").read_text()
    assert (tmp_path / "all" / "artifacts" / "user_logs" / "std_log.txt").is_file()
    for text in (log, capsys.readouterr().out):
        assert f"The best trial is {best.name}: score 3.0" in text


def test_a_sweep_whose_trials_all_failed_fails(parts: Parts) -> None:
    properties = {
        "jobType": "Sweep",
        "trial": {"command": "exit ${{search_space.code}}"},
        **sweep({"code": ["choice", [[3]]]}, limits={"maxTotalTrials": 2}),
    }
    parts.jobs.create(SCOPE, "fails", properties)
    document = await_status(parts.jobs, "fails", "Failed")
    assert "All trials failed" in document["error"]
    assert "status code 3" in document["error"]
    assert [each["status"] for each in parts.jobs.children(SCOPE, "fails")] == ["Failed"] * 2


def test_a_grid_is_every_combination_and_takes_choices_only() -> None:
    space = {"a": ["choice", [[1, 2]]], "b": {"type": "choice", "values": ["x", "y"]}}
    grid = sweep_of(sweep(space, samplingAlgorithm={"samplingAlgorithmType": "Grid"}))
    assert list(grid.points()) == [
        {"a": "1", "b": "x"},
        {"a": "1", "b": "y"},
        {"a": "2", "b": "x"},
        {"a": "2", "b": "y"},
    ]
    with pytest.raises(BadGraph, match="choices only"):
        list(sweep_of(sweep({"a": ["uniform", [0, 1]]}, samplingAlgorithm="grid")).points())


def test_a_random_sample_keeps_to_its_distributions_and_its_seed() -> None:
    space = {
        "u": ["uniform", [2, 3]],
        "q": ["quniform", [0, 1, 0.25]],
        "l": ["loguniform", [math.log(1), math.log(10)]],
        "n": ["normal", [100, 1]],
        "i": ["randint", [4]],
    }
    algorithm = {"sampling_algorithm_type": "random", "seed": 7}
    given = sweep(space, sampling_algorithm=algorithm, limits={"max_total_trials": 50})
    given.pop("samplingAlgorithm")
    points = list(sweep_of(given).points())
    assert len(points) == 50
    assert points == list(sweep_of(given).points())
    assert all(2 <= float(each["u"]) <= 3 for each in points)
    assert {float(each["q"]) for each in points} <= {0, 0.25, 0.5, 0.75, 1}
    assert all(1 <= float(each["l"]) <= 10 for each in points)
    assert all(90 < float(each["n"]) < 110 for each in points)
    assert {each["i"] for each in points} == {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    "space", [{}, None, {"a": ["uniform", [1]]}, {"a": "many"}, {"a": ["choice", [[]]]}]
)
def test_a_search_space_that_is_not_understood_is_refused(space: Any) -> None:
    with pytest.raises(BadGraph):
        sweep_of(sweep(space))


def test_the_best_is_the_highest_or_the_lowest_number_that_is_one() -> None:
    measured = {"a": 1.0, "b": math.nan, "c": 2.0}
    assert best_of(measured, is_maximised=True) == "c"
    assert best_of(measured, is_maximised=False) == "a"
    assert best_of({"b": math.nan}, is_maximised=True) is None
