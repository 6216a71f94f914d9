"""The world after `taxiops demo`: a project folder, its emulator and what the commands left."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taxiops.cloud import connect
from taxiops.cloud.client import Connection
from taxiops.config import load_settings

ROOT = Path(__file__).parents[2]
TAXIOPS = Path(sys.executable).with_name("taxiops")
DEADLINE_S = 280


@dataclass(frozen=True)
class World:
    """A state folder and an output folder of their own; commands run in the repository."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "artifacts"

    @property
    def state(self) -> Path:
        return self.folder / "emulator"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("TAXIOPS_", "AML_", "AZURE_", "GITHUB_", "CI"))
        }
        own = {"TAXIOPS_EMULATOR_STATE": str(self.state), "TAXIOPS_OUTPUT": str(self.output)}
        return {**kept, **own, "NO_COLOR": "1"}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(TAXIOPS), *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def json(self, *arguments: str) -> dict[str, Any]:
        """The document of a command that must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def script(self, text: str) -> dict[str, Any]:
        """The JSON object that a Python program of its own process prints last."""
        done = subprocess.run(
            [sys.executable, "-c", text],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(document, dict)
        return document

    def connect(self, env: str) -> Connection:
        """The plain SDK's clients, in this process."""
        environ = {"TAXIOPS_EMULATOR_STATE": str(self.state)}
        return connect("local", env, load_settings({"env": env}, environ, ROOT))

    def traffic(self, env: str) -> Mapping[str, int]:
        """Shares above zero, as the plain SDK reads them."""
        endpoint = self.connect(env).workspace.online_endpoints.get(f"taxi-class-{env}")
        return {slot: share for slot, share in endpoint.traffic.items() if share}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, Any]]]:
    """A world in which the demo has just been told, and what it said."""
    world = World(tmp_path_factory.mktemp("demo"))
    try:
        yield world, world.json("demo")
    finally:
        world.run("emulator", "stop")
