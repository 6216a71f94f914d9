"""One pipeline for all tests of this folder: a step that uses Azure, and one that fails."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state.assets.assets import Assets
from taxiops.emulator.state.jobs.environments import Environments
from taxiops.emulator.state.jobs.jobs import Jobs
from taxiops.emulator.state.jobs.surroundings import Surroundings
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store
from taxiops.emulator.state.tracking.runs import Tracking

from .parts import SCOPE, Parts

ASK = """
import json, os, sys
from pathlib import Path

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import (
    CredentialUnavailableError, DefaultAzureCredential, ManagedIdentityCredential
)

SCOPE = "https://management.azure.com/.default"


def refusal(client_id, secret):
    given = os.environ["MSI_SECRET"]
    os.environ["MSI_SECRET"] = secret or given
    try:
        ManagedIdentityCredential(client_id=client_id).get_token(SCOPE)
    except CredentialUnavailableError as error:
        return str(error)
    finally:
        os.environ["MSI_SECRET"] = given
    return ""


known = os.environ["DEFAULT_IDENTITY_CLIENT_ID"]
out = Path(sys.argv[1])
client = MLClient(
    DefaultAzureCredential(),
    os.environ["AZUREML_ARM_SUBSCRIPTION"],
    os.environ["AZUREML_ARM_RESOURCEGROUP"],
    os.environ["AZUREML_ARM_WORKSPACE_NAME"],
)
registry = MLClient(DefaultAzureCredential(), registry_name="mlrtest")
weights = out / "weights.txt"
weights.write_text("1 2 3")
client.models.create_or_update(Model(path=str(weights), name="from-a-job", version="1"))
registry.models.create_or_update(Model(path=str(weights), name="from-a-job", version="1"))
document = {
    "job": client.jobs.get(os.environ["AZUREML_ROOT_RUN_ID"]).name,
    "models": [each.name for each in client.models.list()],
    "registry": [each.name for each in registry.models.list()],
    "refusals": [refusal(known, ""), refusal("stranger", ""), refusal(known, "guessed")],
    "variables": dict(os.environ),
}
(out / "asked.json").write_text(json.dumps(document))
"""

BREAK = """
import sys
from pathlib import Path

assert Path(sys.argv[1], "asked.json").is_file()
Path(sys.argv[2], "partial.txt").write_text("as far as it came")
sys.exit("it broke")
"""

COMPONENT = """
type: command
name: {name}
inputs: {inputs}
outputs:
  out: {{type: uri_folder}}
code: code
environment:
  build:
    path: image
    dockerfile_path: nested/Dockerfile
command: >-
  python {name}.py {arguments}
"""

PIPELINE = """
type: pipeline
settings: {default_compute: azureml:cpu-cluster}
outputs:
  asked: {type: uri_folder}
  broken: {type: uri_folder}
jobs:
  ask:
    component: ask.yaml
    outputs: {out: "${{parent.outputs.asked}}"}
  break:
    component: break.yaml
    inputs: {asked: "${{parent.jobs.ask.outputs.out}}"}
    outputs: {out: "${{parent.outputs.broken}}"}
  later:
    component: break.yaml
    inputs: {asked: "${{parent.jobs.break.outputs.out}}"}
"""


@dataclass(frozen=True)
class Ended:
    """A pipeline that ended, and where its files are."""

    client: Any
    name: str
    folder: Path

    def output(self, name: str) -> Path:
        """The folder of a downloaded output of the pipeline."""
        target = self.folder / name
        self.client.jobs.download(self.name, download_path=target, output_name=name)
        return target / "named-outputs" / name

    @property
    def asked(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.output("asked") / "asked.json").read_text())
        return loaded


def write_sources(folder: Path) -> Path:
    """A pipeline of two commands in an image that is built from a Dockerfile."""
    for path, text in {
        "code/ask.py": ASK,
        "code/break.py": BREAK,
        "image/nested/Dockerfile": "FROM python:3.11\n",
        "ask.yaml": COMPONENT.format(name="ask", inputs="{}", arguments="${{outputs.out}}"),
        "break.yaml": COMPONENT.format(
            name="break",
            inputs="{asked: {type: uri_folder}}",
            arguments="${{inputs.asked}} ${{outputs.out}}",
        ),
        "pipeline.yaml": PIPELINE,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder / "pipeline.yaml"


def await_end(client: Any, name: str, deadline_s: float = 120.0) -> str:
    end = time.monotonic() + deadline_s
    while (status := client.jobs.get(name).status) not in {"Completed", "Failed", "Canceled"}:
        assert time.monotonic() < end, f"the job {name} is still {status}"
        time.sleep(0.2)
    return getattr(status, "value", str(status))


@pytest.fixture(scope="session")
def ended(emulator: Any, workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    from azure.ai.ml import load_job

    folder = tmp_path_factory.mktemp("pipeline")
    job = workspace.jobs.create_or_update(load_job(write_sources(folder)))
    assert await_end(workspace, job.name) == "Failed"
    return Ended(workspace, job.name, folder)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    store = Store(tmp_path / "emulator.db")
    blobs = Blobs(tmp_path / "blobs", store, b"key", "https://127.0.0.1:1")
    for name, container in (("blob", "workspace"), ("artifact", "artifacts")):
        blobs.create_container(container)
        store.put("datastore", SCOPE, f"workspace{name}store", {"container": container})
    surroundings = Surroundings("https://127.0.0.1:2", "an-id", tmp_path / "bundle.pem")
    assets = Assets(store, blobs)
    environments = Environments(assets, tmp_path / "environments", is_isolated=False)
    tracking = Tracking(store)
    jobs = Jobs(store, blobs, assets, tmp_path / "jobs", surroundings, tracking, environments)
    yield Parts(jobs, assets, blobs)
    jobs.close()
    store.close()


@pytest.fixture
def jobs(parts: Parts) -> Jobs:
    return parts.jobs
