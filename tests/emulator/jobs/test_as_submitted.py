"""Jobs as the SDK submits and shows them: registered components, nesting, children, refusals."""

import fcntl
import json
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from .conftest import await_end

HELLO = """
name: hello_unversioned
type: command
inputs:
  said: {type: string}
  times: {type: integer, default: 2}
  absent: {type: string, optional: true}
outputs: {out: {type: uri_folder}}
environment: {image: python}
command: >-
  echo ${{inputs.said}} ${{inputs.times}} $[[--absent ${{inputs.absent}}]]
  > ${{outputs.out}}/said.txt
"""
INNER = """
name: inner_pipeline
type: pipeline
inputs:
  word: {type: string}
outputs: {made: {type: uri_folder}}
jobs:
  say:
    component: azureml:hello_unversioned@latest
    inputs: {said: "${{parent.inputs.word}}"}
    outputs: {out: "${{parent.outputs.made}}"}
"""
OUTER = """
type: pipeline
experiment_name: nesting
inputs: {word: hello, where: cpu-cluster}
outputs: {made: {mode: upload}}
settings: {default_compute: azureml:cpu-cluster, force_rerun: true}
jobs:
  inner:
    type: pipeline
    component: ./inner.yml
    inputs: {word: "${{parent.inputs.word}}"}
  copy:
    command: cp ${{inputs.made}}/said.txt ${{outputs.made}}
    compute: ${{parent.inputs.where}}
    environment: {image: python}
    inputs: {made: "${{parent.jobs.inner.outputs.made}}"}
    outputs: {made: "${{parent.outputs.made}}"}
"""


@pytest.fixture(scope="module")
def nested(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A pipeline in a pipeline, of a component that was registered without a version."""
    from azure.ai.ml import load_component, load_job

    folder = tmp_path_factory.mktemp("nested")
    for name, text in (("hello", HELLO), ("inner", INNER), ("outer", OUTER)):
        (folder / f"{name}.yml").write_text(text)
    made = workspace.components.create_or_update(load_component(folder / "hello.yml"))
    assert made.version == "1"
    loaded = load_job(folder / "outer.yml", params_override=[{"name": "the-outer-one"}])
    job = workspace.jobs.create_or_update(loaded)
    assert job.name == "the-outer-one"
    assert await_end(workspace, job.name) == "Completed"
    return workspace.jobs.get(job.name), folder


def test_a_pipeline_in_a_pipeline_gives_what_its_steps_made(
    nested: tuple[Any, Path], workspace: Any
) -> None:
    job, folder = nested
    assert job.properties["azureml.runsource"] == "azureml.PipelineRun"
    parameters = json.loads(job.properties["azureml.parameters"])
    assert parameters == {"word": "hello", "where": "cpu-cluster"}
    workspace.jobs.download(job.name, download_path=folder, output_name="made")
    assert (folder / "named-outputs" / "made" / "said.txt").read_text() == "hello 2\n"
    inner, copy = sorted(
        workspace.jobs.list(parent_job_name=job.name), key=lambda each: str(each.display_name)
    )[::-1]
    assert {inner.display_name, copy.display_name} == {"inner", "copy"}


def test_children_are_commands_that_can_be_streamed_and_downloaded(
    nested: tuple[Any, Path], workspace: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from azure.ai.ml.entities import CommandJob
    from azure.ai.ml.entities._builders import Command

    job, _ = nested
    children = {each.display_name: each for each in workspace.jobs.list(parent_job_name=job.name)}
    copy = workspace.jobs.get(children["copy"].name)
    assert isinstance(copy, Command | CommandJob)
    assert copy.experiment_name == "nesting"
    assert set(copy.outputs) == {"made"}
    workspace.jobs.stream(copy.name)
    assert f"RunId: {copy.name}" in capsys.readouterr().out
    workspace.jobs.download(copy.name, download_path=tmp_path, all=True)
    assert (tmp_path / "named-outputs" / "made" / "said.txt").exists()
    assert (tmp_path / "artifacts" / "user_logs" / "std_log.txt").exists()


def test_kinds_that_are_not_emulated_are_refused_by_name(workspace: Any, tmp_path: Path) -> None:
    from azure.ai.ml import load_job
    from azure.core.exceptions import HttpResponseError

    (tmp_path / "spark.yml").write_text(
        "type: spark\ncode: .\nentry: {file: a.py}\n"
        "conf: {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 1, "
        "spark.executor.memory: 2g, spark.executor.instances: 1}\n"
        "resources: {instance_type: standard_e4s_v3, runtime_version: '3.4'}\n"
    )
    (tmp_path / "a.py").write_text("")
    with pytest.raises(HttpResponseError, match="'Spark' are not emulated") as refusal:
        workspace.jobs.create_or_update(load_job(tmp_path / "spark.yml"))
    assert refusal.value.status_code == 400


def is_free(lock: Path) -> bool:
    with lock.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_job_that_ran_when_the_emulator_was_killed_is_failed_and_its_processes_are_gone(
    emulator: Any, tmp_path: Path, trusting: Path
) -> None:
    from azure.ai.ml import command
    from azure.ai.ml.entities import Environment

    from taxiops.emulator import server

    own = type(emulator)(tmp_path / "state")
    own.start()
    try:
        with trusting.open("ab") as bundle:
            bundle.write(b"\n" + Path(own.ca_file).read_bytes())
        client = own.workspace()
        marker = tmp_path / "pid"
        job = command(
            command=f"echo $$ > {marker}; sleep 600",
            environment=Environment(image="python"),
            compute="cpu-cluster",
        )
        name = client.jobs.create_or_update(job).name
        end = time.monotonic() + 60
        while not (marker.exists() and marker.read_text().strip()):
            assert time.monotonic() < end
            time.sleep(0.02)
        running = psutil.Process(int(marker.read_text()))
        daemon = psutil.Process(own.document["pid"])
        daemon.kill()
        daemon.wait(timeout=60)
        # Like one that is killed while another start looks: it still holds its lock.
        with (own.state / "emulator.lock").open("rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            starting = threading.Thread(target=own.start)
            starting.start()
            while is_free(own.state / "start.lock"):
                assert starting.is_alive()
        starting.join(timeout=60)
        ended = own.workspace().jobs.get(name)
        assert ended.status == "Failed"
        with pytest.raises(Exception, match="emulator was stopped while this job ran"):
            own.workspace().jobs.stream(name)
        running.wait(timeout=60)
    finally:
        server.stop(own.state)


@pytest.mark.parametrize(
    ("name", "properties", "told"),
    [
        ("%2e%2e", {"jobType": "Command", "command": "true"}, "is no name"),
        ("a b", {"jobType": "Command", "command": "true"}, "job name"),
        ("shape", {"jobType": "Pipeline", "jobs": ["a"]}, "properties.jobs must be an object"),
        ("shape", {"jobType": "Pipeline", "jobs": {"a": "b"}}, "properties.jobs.a must be"),
        ("shape", {"jobType": "Command", "inputs": {"a": 1}}, "properties.inputs.a must be"),
        ("shape", {"jobType": "Pipeline", "settings": "x"}, "properties.settings must be"),
        ("shape", {"jobType": "Pipeline", "jobs": {"a": {"type": "if_else"}}}, "'if_else'"),
    ],
)
def test_what_no_job_can_be_is_refused(
    emulator: Any, name: str, properties: dict[str, Any], told: str
) -> None:
    status, answer = put_job(emulator, name, properties)
    assert status == 400
    assert told in answer["error"]["message"]


def put_job(emulator: Any, name: str, properties: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A submission that the SDK would not send."""
    from azure.identity import ClientSecretCredential

    document = emulator.document
    credential = ClientSecretCredential(
        document["tenant_id"],
        document["client_id"],
        document["client_secret"],
        authority=document["arm"],
        disable_instance_discovery=True,
    )
    token = credential.get_token("https://management.azure.com/.default").token
    url = (
        f"{document['arm']}/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/"
        "rg-test/providers/Microsoft.MachineLearningServices/workspaces/mlwtest/jobs/"
    )
    answer = requests.put(
        f"{url}{name}?api-version=2024-01-01-preview",
        json={"properties": properties},
        headers={"authorization": f"Bearer {token}"},
        timeout=30,
    )
    loaded: dict[str, Any] = answer.json()
    return answer.status_code, loaded
