"""The pipeline and its components as the SDK sees them, and the code snapshot they upload."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from taxiops.cli.reference import leaves
from taxiops.cloud.snapshot import code_snapshot
from taxiops.steps import compare, prepare, train

from .conftest import ROOT

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import PipelineJob

azure_ml = pytest.importorskip("azure.ai.ml")
PIPELINE = ROOT / "pipelines" / "integration-compare-pipeline.yaml"
COMPONENTS = sorted((ROOT / "components").glob("*.yaml"))
PIPELINES = sorted((ROOT / "pipelines").glob("*.yaml"))
# What a component's command runs: a step, or the command line itself.
STEP, ACT = "python -m taxiops.steps.", "python -m taxiops.cli pipeline-step "
RUNS = (STEP, ACT)


class NoCredential:
    """Local validation never asks for a token."""

    def get_token(self, *scopes: str, **options: object) -> object:
        from azure.core.credentials import AccessToken

        return AccessToken("none", int(time.time()) + 3_600)


@pytest.fixture(scope="module")
def client() -> "MLClient":
    return azure_ml.MLClient(NoCredential(), "0" * 36, "group", "ws", enable_telemetry=False)


def job() -> "PipelineJob":
    return azure_ml.load_job(PIPELINE)


def test_every_component_is_valid_for_the_sdk(client: "MLClient") -> None:
    assert len(COMPONENTS) == 8
    for path in COMPONENTS:
        result = client.components.validate(azure_ml.load_component(path))
        assert result.passed, (path.name, result.error_messages)


def test_the_pipeline_is_valid_for_the_sdk(client: "MLClient") -> None:
    result = client.jobs.validate(job())
    assert result.passed, result.error_messages


def test_optional_inputs_are_bound_by_attribute_and_literals_too(client: "MLClient") -> None:
    pipeline = job()
    pipeline.jobs["prepare_job"].inputs.trips_file = azure_ml.Input(
        type="uri_file", path="azureml:trips:1"
    )
    pipeline.jobs["compare_job"].inputs.baseline_model = azure_ml.Input(
        type="custom_model", path="azureml:taxi-class-dev:3"
    )
    pipeline.inputs.max_iter = 5
    assert client.jobs.validate(pipeline).passed
    document = pipeline._to_dict()
    assert document["inputs"]["max_iter"] == 5
    assert document["jobs"]["prepare_job"]["inputs"]["trips_file"]["path"] == "azureml:trips:1"
    assert "trips" not in document["jobs"]["prepare_job"]["inputs"]


def test_jobs_and_outputs_have_the_names_that_commands_rely_on() -> None:
    pipeline = job()
    assert list(pipeline.jobs) == ["prepare_job", "train_job", "compare_job"]
    assert pipeline.jobs["compare_job"].display_name == "CompareTaxiFare"
    assert set(pipeline.outputs) == {"model", "report", "data_report"}


@pytest.mark.parametrize("name", ["prepare", "train", "compare"])
def test_every_option_of_a_command_is_one_the_step_takes(name: str) -> None:
    module = {"prepare": prepare, "train": train, "compare": compare}[name]
    document = yaml.safe_load((ROOT / "components" / f"{name}.yaml").read_text())
    words = document["command"].replace("$[[", " ").replace("]]", " ").split()
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    known = {option for action in module.arguments()._actions for option in action.option_strings}
    assert used <= known
    named = set(document["inputs"]) | set(document["outputs"])
    mentioned = {name for name in named if f".{name}}}}}" in document["command"]}
    assert named == mentioned


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_pipeline_is_valid_for_the_sdk_without_a_warning(path: Path) -> None:
    result = azure_ml.load_job(path)._validate()
    assert result.passed, result.error_messages
    assert not result._warnings


@pytest.mark.parametrize("name", ["register", "deploy", "test_deployment", "traffic", "rollback"])
def test_every_option_of_an_acting_component_is_one_its_command_takes(name: str) -> None:
    document = yaml.safe_load((ROOT / "components" / f"{name}.yaml").read_text())
    words = document["command"].removeprefix(ACT).replace("$[[", " ").split()
    verb, used = words[0], {word.split("=")[0] for word in words if word.startswith("--")}
    paths = {context.command_path: command for command, context in leaves()}
    command = paths[f"taxiops pipeline-step {verb}"]
    known = {option for parameter in command.params for option in parameter.opts}
    needed = {parameter.opts[0] for parameter in command.params if parameter.required}
    assert needed <= used <= known
    named = set(document["inputs"]) | set(document["outputs"])
    mentioned = {name for name in named if f".{name}}}}}" in document["command"]}
    assert named == mentioned


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_no_pipeline_uses_a_preview_feature(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert {job["type"] for job in document["jobs"].values()} == {"command"}


def test_what_trains_and_what_acts_have_one_environment_each() -> None:
    documents = [yaml.safe_load(path.read_text()) for path in COMPONENTS]
    kinds = {name: [d["environment"] for d in documents if name in d["command"]] for name in RUNS}
    assert sum(len(environments) for environments in kinds.values()) == len(COMPONENTS)
    for environments in kinds.values():
        assert all(each == environments[0] for each in environments)


def uploaded(root: Path) -> set[str]:
    from azure.ai.ml._utils import _asset_utils

    files = _asset_utils.get_upload_files_from_folder(
        str(root), ignore_file=_asset_utils.get_ignore_file(root)
    )
    return {Path(target).as_posix() for _, target in files}


def test_the_code_snapshot_holds_what_runs_in_jobs_and_nothing_else() -> None:
    files = uploaded(ROOT)
    assert {"taxiops/steps/score.py", "taxiops/cli/__main__.py", ".amlignore"} <= files
    assert {"components/train.yaml", "components/environment/conda.yaml"} <= files
    assert {file.split("/")[0] for file in files} <= {
        ".amlignore",
        "components",
        "pyproject.toml",
        "taxiops",
    }
    assert not any("emulator/" in file or "__pycache__" in file for file in files)


def test_the_small_snapshot_is_what_the_sdk_would_upload_of_the_whole_folder() -> None:
    with code_snapshot(ROOT) as folder:
        assert uploaded(folder) == uploaded(ROOT)
        assert all(
            (folder / name).read_bytes() == (ROOT / name).read_bytes() for name in uploaded(ROOT)
        )


def test_the_code_snapshot_is_enough_to_run_a_step() -> None:
    program = "import taxiops.steps.score, taxiops.steps.compare; print(taxiops.__path__)"
    with code_snapshot(ROOT) as folder:
        result = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == str([str(folder / "taxiops")])


def test_the_step_modules_need_no_cloud() -> None:
    program = (
        "import sys, taxiops.steps.score, taxiops.steps.compare, taxiops.steps.train, "
        "taxiops.steps.prepare; print([m for m in sys.modules if m.split('.')[0] == 'azure'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
