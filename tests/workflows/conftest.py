"""A copy of the project with an emulator of its own, and models to roll out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from taxiops.cloud import models
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.cloud.snapshot import code_snapshot
from taxiops.config import Settings, load_settings
from taxiops.workflows import promote as promote_module
from taxiops.workflows.compare import CompareOptions, CompareResult, compare
from taxiops.workflows.decide_gate import decide_gate
from taxiops.workflows.promote import PromoteResult, promote
from taxiops.workflows.rollout import connect_to

ROOT = Path(__file__).parents[2]
PIPELINE = Path("pipelines/integration-compare-pipeline.yaml")


def ignore(_: str) -> None:
    """Progress that nobody reads."""


@dataclass(frozen=True)
class World:
    """A project folder, an emulator that ends with the tests, and an output folder."""

    root: Path
    state: Path
    output: Path

    def settings(self, env: str = "dev", *, endpoint: str = "", **rollout: Any) -> Settings:
        """Settings of this world; `rollout` goes to [tool.taxiops.rollout]."""
        environ = {
            "TAXIOPS_ENV": env,
            "TAXIOPS_EMULATOR_STATE": str(self.state),
            "TAXIOPS_OUTPUT": str(self.output / (endpoint or env)),
        }
        if endpoint:
            environ |= {"AML_DEV_ENDPOINT": endpoint, "AML_PROD_ENDPOINT": endpoint}
        settings = load_settings({}, environ, self.root)
        tables = {
            # Every version here is let pass by decree, and Prod takes none of those by default.
            "gate": {"allow_override_in_prod": True} if env == "prod" else {},
            "rollout": {"requests": 5, **rollout},
        }
        return replace(settings, tables=tables)

    def connect(self, env: str = "dev") -> Connection:
        return connect_to(self.settings(env), env)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with code_snapshot(ROOT, ["components", "pipelines"]) as root:
        (root / "pyproject.toml").write_text("[tool.taxiops]\n", encoding="utf-8")
        made = World(root, folder / "emulator", folder / "artifacts")
        program = [sys.executable, "-m", "taxiops.emulator"]
        state = ["--state", str(made.state)]
        owner = ["--owner-pid", str(os.getpid())]
        subprocess.run([*program, "start", *state, *owner], check=True, capture_output=True)
        yield made
        subprocess.run([*program, "stop", *state], check=True, capture_output=True)


@dataclass(frozen=True)
class Promoted:
    """What was compared and promoted, and the settings whose output holds its files.

    left: what the registry held of it after a promotion that died before its tags, if one did.
    """

    settings: Settings
    comparison: CompareResult
    promotion: PromoteResult
    left: ModelVersion | None = None


def compared(settings: Settings, **inputs: str) -> CompareResult:
    """A job that is submitted, left alone, come back to, and passed by decree."""
    options = CompareOptions(PIPELINE, overrides={"rows": "3000", **inputs}, wait=False)
    left = compare(settings, options, ignore)
    assert (left.verdict, left.report) == ("", None)
    assert left.next_command == f"taxiops compare --job {left.job_name}"
    comparison = compare(settings, CompareOptions(PIPELINE, job=left.job_name), ignore)
    decide_gate(settings, None, True, "for the tests", "tests", ignore)
    return comparison


@pytest.fixture(scope="session")
def first(world: World) -> Promoted:
    """A weak model, promoted."""
    settings = world.settings(endpoint="first")
    comparison = compared(settings, max_iter="10")
    return Promoted(settings, comparison, promote(settings, None, ignore))


@pytest.fixture(scope="session")
def second(world: World, first: Promoted) -> Promoted:
    """Another model, promoted after it, in two attempts: the first died before the tags."""
    settings = world.settings(endpoint="second")
    comparison = compared(settings, max_iter="25")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(promote_module, "tag_and_seal", die)
        with pytest.raises(KeyboardInterrupt):
            promote(settings, None, ignore)
    left = models.list_versions(world.connect().registry, first.promotion.name)[0]
    return Promoted(settings, comparison, promote(settings, None, ignore), left)


@pytest.fixture
def read() -> Callable[[Path], dict[str, Any]]:
    """A JSON file's document."""
    return lambda path: dict(json.loads(path.read_text(encoding="utf-8")))
