"""A repository, an emulator that its workflows act on, GitHub beside it, and what they show."""

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from taxiops.cloud import connect, endpoints, models
from taxiops.cloud.client import Connection
from taxiops.config import load_settings

from . import project as repository
from .act import run_workflow
from .fake_github import TOKEN, FakeGitHub
from .record import Run

CI, RELEASE = "integration-ml-ci.yml", "prod-ml-release.yml"
MODEL = "taxi-class-dev"
PIPELINE = "pipelines/integration-compare-pipeline.yaml"
SABOTEUR = Path(__file__).with_name("saboteur.py")
MERGE_TOKEN = "canary-merge-0a1b2c3d4e"
# Planted in every run; none may ever be seen again.
CANARIES = {
    "AZURE_CLIENT_SECRET": "canary-Secret/1+2=3&4?5%6",
    "GITHUB_TOKEN": TOKEN,
    "TAXIOPS_MERGE_TOKEN": MERGE_TOKEN,
}


@dataclass
class World:
    """folder: holds the repository `project` and the emulator's state."""

    folder: Path
    github: FakeGitHub
    runs: list[Run] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def state(self) -> Path:
        return self.folder / "emulator"

    @property
    def head(self) -> str:
        return repository.head(self.project)

    def commit_pipeline(self, branch: str = "integration", **inputs: object) -> str:
        """Commit the compare pipeline with other defaults."""
        text = (self.project / PIPELINE).read_text(encoding="utf-8")
        for name, value in inputs.items():
            lines = [
                f"  {name}: {value}" if line.startswith(f"  {name}:") else line
                for line in text.splitlines()
            ]
            text = "\n".join(lines) + "\n"
        return repository.commit(self.project, {PIPELINE: text}, branch=branch)

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
        hook = {
            "ACT_STAND_IN_HOOK_JOB": sabotaged,
            "ACT_STAND_IN_HOOK": f"{sys.executable} {SABOTEUR}",
        }
        own = {"TAXIOPS_CLOUD": "local", "TAXIOPS_EMULATOR_STATE": str(self.state)}
        done = run_workflow(
            self.project,
            workflow,
            event,
            payload,
            variables={**own, **(variables or {})},
            secrets=CANARIES,
            environment={
                "GITHUB_API_URL": self.github.url,
                **(hook if sabotaged else {}),
            },
        )
        self.runs.append(done)
        assert not self.github.problems
        return done

    def connect(self, env: str = "dev") -> Connection:
        environ = {"TAXIOPS_EMULATOR_STATE": str(self.state)}
        return connect("local", env, load_settings({"env": env}, environ, self.project))

    def versions(self) -> dict[str, Mapping[str, str]]:
        """Registry versions with their tags, as the plain SDK reads them."""
        found = models.list_versions(self.connect().registry, MODEL)
        return {each.version: each.tags for each in found}

    def traffic(self, env: str = "dev") -> dict[str, int] | None:
        """Shares above zero, as the plain SDK reads them; None without an endpoint."""
        client = self.connect(env).workspace.online_endpoints
        name = f"taxi-class-{env}"
        if name not in {endpoint.name for endpoint in client.list()}:
            return None
        return {slot: share for slot, share in client.get(name).traffic.items() if share}

    def serving(self, env: str = "dev") -> dict[str, str]:
        """Slot -> registry version of each slot with traffic."""
        endpoint = endpoints.require_endpoint(self.connect(env))
        return {slot: endpoint.slots[slot].tags["model_version"] for slot in endpoint.live_traffic}

    def slots(self, env: str = "dev") -> set[str]:
        return set(endpoints.require_endpoint(self.connect(env)).slots)


def spellings(secret: str) -> set[str]:
    """The secret as it is, in base64, and as part of an address."""
    return {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}


def all_told(world: World) -> list[str]:
    """Every log, summary, artifact, comment and release of all runs so far."""
    comments = [each["body"] for found in world.github.comments.values() for each in found]
    texts = [*comments, *(release["body"] for release in world.github.releases)]
    for run in world.runs:
        texts += [run.log, *run.summaries.values(), *run.messages("error")]
        texts += [
            path.read_text(encoding="utf-8", errors="replace")
            for path in run.artifacts.rglob("*")
            if path.is_file()
        ]
    return texts


def succeeded(run: Run) -> set[str]:
    return {name for name, result in run.results.items() if result == "success"}


def document(run: Run, artifact: str, path: str) -> dict[str, Any]:
    """A JSON file of an artifact."""
    found = json.loads((run.artifact(artifact) / path).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def event_of(run: Run, artifact: str, name: str) -> dict[str, Any]:
    """The first event of that name in the state file that an artifact holds."""
    events = document(run, artifact, "deployment_state.json")["events"]
    found = [each for each in events if each["event"] == name]
    assert found, [each["event"] for each in events]
    return dict(found[0])
