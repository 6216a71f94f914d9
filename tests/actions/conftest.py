"""An emulator and a repository whose workflows run against it, and what a plain SDK sees there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from taxiops.cloud import connect, endpoints, models
from taxiops.cloud.client import Connection
from taxiops.config import load_settings

from .act import Run, is_usable, run_workflow
from .project import ROOT, Project, make_project

CI, RELEASE = "integration-ml-ci.yml", "prod-ml-release.yml"
# Planted as the secrets of every run; none may ever be seen again.
CANARIES = {
    "AZURE_CLIENT_SECRET": "canary-Secret/1+2=3&4?5%6",
    "GITHUB_TOKEN": "canary-token-7f3b9c1d5e",
    "TAXIOPS_MERGE_TOKEN": "canary-merge-0a1b2c3d4e",
}
SABOTEUR = Path(__file__).with_name("saboteur.py")


@dataclass
class World:
    """The repository, its emulator, and the runs so far."""

    folder: Path
    project: Project
    runs: list[Run] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "emulator"

    def run(
        self,
        workflow: str,
        event: str,
        payload: Mapping[str, Any],
        *,
        variables: Mapping[str, str] | None = None,
        sabotaged: str = "",
    ) -> Run:
        """Run a workflow; `sabotaged` names a job whose deployment is broken as it begins."""
        sabotage = {
            "STAND_IN_SABOTAGED_JOB": sabotaged,
            "STAND_IN_SABOTEUR": str(SABOTEUR),
            "STAND_IN_SABOTEUR_PYTHON": sys.executable,
        }
        own = {"TAXIOPS_CLOUD": "local", "TAXIOPS_EMULATOR_STATE": str(self.state)}
        done = run_workflow(
            self.project.folder,
            workflow,
            event,
            payload,
            run_id=str(1001 + len(self.runs)),
            folder=self.folder,
            variables={**own, **(variables or {})},
            secrets=CANARIES,
            environment={**self.environment, **(sabotage if sabotaged else {})},
        )
        self.runs.append(done)
        return done

    def connect(self, env: str = "dev") -> Connection:
        environ = {"TAXIOPS_EMULATOR_STATE": str(self.state)}
        return connect("local", env, load_settings({"env": env}, environ, self.project.folder))

    def versions(self) -> dict[str, Mapping[str, str]]:
        """Registry versions with their tags, as the plain SDK reads them."""
        registry = self.connect().registry
        return {
            each.version: each.tags for each in models.list_versions(registry, "taxi-class-dev")
        }

    def traffic(self, env: str = "dev") -> dict[str, int] | None:
        """Shares above zero, as the plain SDK reads them; None without an endpoint."""
        if endpoints.read_endpoint(self.connect(env)) is None:
            return None
        endpoint = self.connect(env).workspace.online_endpoints.get(f"taxi-class-{env}")
        return {slot: share for slot, share in endpoint.traffic.items() if share}

    def serving(self, env: str = "dev") -> dict[str, str]:
        """Slot -> registry version of each slot with traffic."""
        endpoint = endpoints.require_endpoint(self.connect(env))
        return {slot: endpoint.slots[slot].tags["model_version"] for slot in endpoint.live_traffic}

    def slots(self, env: str = "dev") -> set[str]:
        return set(endpoints.require_endpoint(self.connect(env)).slots)


@pytest.fixture(scope="session")
def usable() -> None:
    why = is_usable()
    if why:
        pytest.skip(f"act cannot run here: {why}")


@pytest.fixture(scope="module")
def world(usable: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("actions")
    made = World(folder, make_project(folder / "project"))
    program = [sys.executable, "-m", "taxiops.emulator"]
    state = ["--state", str(made.state)]
    owner = ["--owner-pid", str(os.getpid())]
    subprocess.run([*program, "start", *state, *owner], check=True, capture_output=True)
    yield made
    subprocess.run([*program, "stop", *state], check=True, capture_output=True)


def event_of(run: Run, artifact: str, event: str) -> dict[str, Any] | None:
    """The first event of that name in the state file that an artifact holds."""
    events = run.artifact(artifact, "deployment_state.json")["events"]
    return next((each for each in events if each["event"] == event), None)


__all__ = ["CANARIES", "CI", "RELEASE", "ROOT", "World", "event_of", "json"]
