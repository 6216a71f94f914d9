"""The pipeline and its components as the SDK sees them, and the code snapshot they upload."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from taxiops.steps import compare, prepare, train
from taxiops.steps.snapshot import write_snapshot

from .conftest import ROOT

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import PipelineJob

azure_ml = pytest.importorskip("azure.ai.ml")
PIPELINE = ROOT / "pipelines" / "integration-compare-pipeline.yaml"
COMPONENTS = sorted((ROOT / "components").glob("*.yaml"))


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
    assert [path.stem for path in COMPONENTS] == ["compare", "prepare", "train"]
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


def test_components_share_one_environment() -> None:
    environments = [yaml.safe_load(path.read_text())["environment"] for path in COMPONENTS]
    assert all(each == environments[0] for each in environments)


def uploaded(root: Path) -> set[str]:
    from azure.ai.ml._utils import _asset_utils

    files = _asset_utils.get_upload_files_from_folder(
        str(root), ignore_file=_asset_utils.get_ignore_file(root)
    )
    return {Path(target).as_posix() for _, target in files}


def test_the_code_snapshot_holds_the_steps_and_what_they_import_only() -> None:
    files = uploaded(ROOT)
    assert {"taxiops/__init__.py", "taxiops/errors.py", "taxiops/steps/score.py"} <= files
    rooms = {file.split("/")[1] for file in files}
    assert rooms == {"__init__.py", "errors.py", "domain", "steps"}
    assert all(file.endswith(".py") for file in files)


def test_the_small_snapshot_is_what_the_sdk_would_upload_of_the_whole_folder(
    tmp_path: Path,
) -> None:
    folder = write_snapshot(tmp_path / "snapshots")
    assert uploaded(folder) == uploaded(ROOT)
    assert all(
        (folder / name).read_bytes() == (ROOT / name).read_bytes() for name in uploaded(ROOT)
    )


def test_the_small_snapshot_is_made_once_and_whole(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path)
    (folder / "taxiops" / "mark").touch()
    assert write_snapshot(tmp_path) == folder
    assert (folder / "taxiops" / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_the_code_snapshot_is_enough_to_run_a_step(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path)
    program = "import taxiops.steps.score, taxiops.steps.compare; print(taxiops.__path__)"
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
