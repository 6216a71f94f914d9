"""Small operations of the SDK, one after the other: what a user tidies up and looks at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import command, load_component
from azure.ai.ml.entities import Data, Environment
from azure.core.exceptions import ResourceNotFoundError

from .conftest import COMPUTE, GROUP, REGISTRY, WORKSPACE

COMPONENT = """
name: tidied_step
version: "1"
type: command
command: echo hello
environment: azureml:tidied:1
"""


def test_assets_are_archived_listed_and_restored(workspace: Any, tmp_path: Path) -> None:
    ml_client = workspace
    (tmp_path / "rides.csv").write_text("a\n1\n")
    (tmp_path / "step.yml").write_text(COMPONENT)
    ml_client.environments.create_or_update(Environment(name="tidied", version="1", image="i"))
    ml_client.data.create_or_update(
        Data(name="tidied", version="1", path=str(tmp_path / "rides.csv"), type="uri_file")
    )
    ml_client.components.create_or_update(load_component(tmp_path / "step.yml"))

    assert "tidied" in {each.name for each in ml_client.data.list()}
    ml_client.data.archive("tidied", version="1")
    assert list(ml_client.data.list("tidied")) == []
    ml_client.data.restore("tidied", version="1")
    assert [each.version for each in ml_client.data.list("tidied")] == ["1"]

    ml_client.environments.archive("tidied", version="1")
    assert list(ml_client.environments.list("tidied")) == []
    ml_client.environments.restore("tidied", version="1")
    assert [each.version for each in ml_client.environments.list("tidied")] == ["1"]

    assert "tidied_step" in {each.name for each in ml_client.components.list()}
    ml_client.components.archive("tidied_step", version="1")
    assert list(ml_client.components.list("tidied_step")) == []
    ml_client.components.restore("tidied_step", version="1")
    assert [each.version for each in ml_client.components.list("tidied_step")] == ["1"]


def test_a_job_is_validated_streamed_archived_and_deleted(
    workspace: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    ml_client = workspace
    entity = command(
        command="echo a fare of 12", environment=Environment(image="i"), compute=COMPUTE
    )
    assert ml_client.jobs.validate(entity).passed
    job = ml_client.jobs.create_or_update(entity)
    ml_client.jobs.stream(job.name)
    assert job.name in capfd.readouterr().out
    assert "Studio" in ml_client.jobs.get(job.name).services
    ml_client.jobs.archive(job.name)
    assert job.name not in {each.name for each in ml_client.jobs.list()}
    ml_client.jobs.restore(job.name)
    assert job.name in {each.name for each in ml_client.jobs.list()}
    ml_client.jobs.begin_delete(job.name).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.jobs.get(job.name)


def test_a_running_job_is_canceled(workspace: Any, eventually: Callable[..., None]) -> None:
    ml_client = workspace
    entity = command(command="sleep 300", environment=Environment(image="i"), compute=COMPUTE)
    job = ml_client.jobs.create_or_update(entity)
    eventually(lambda: ml_client.jobs.get(job.name).status == "Running")
    ml_client.jobs.begin_cancel(job.name).result()
    eventually(lambda: ml_client.jobs.get(job.name).status == "Canceled")


def test_workspaces_and_registries_tell_of_themselves(workspace: Any) -> None:
    ml_client = workspace
    found = ml_client.workspaces.get(WORKSPACE)
    assert (found.name, found.resource_group) == (WORKSPACE, GROUP)
    assert WORKSPACE in {each.name for each in ml_client.workspaces.list()}
    assert ml_client.registries.get(REGISTRY).name == REGISTRY
