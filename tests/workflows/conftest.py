"""A copy of the project with an emulator of its own, and models to roll out."""

import contextlib
import fcntl
import json
import os
import pickle
import shutil
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
from taxiops.workflows.rollouts.rollout import connect_to

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


@dataclass(frozen=True)
class Promoted:
    """What was compared and promoted, and the settings whose output holds its files.

    left: what the registry held of it after a promotion that died before its tags, if one did.
    """

    settings: Settings
    comparison: CompareResult
    promotion: PromoteResult
    left: ModelVersion | None = None


# What a promotion left in the registry, and what the commands said, without where their files are.
Made = tuple[CompareResult, PromoteResult, ModelVersion | None]


@contextlib.contextmanager
def running(state: Path) -> Iterator[None]:
    """An emulator on the state folder, which ends with us at the latest."""
    program = [sys.executable, "-m", "taxiops.emulator"]
    place, owner = ["--state", str(state)], ["--owner-pid", str(os.getpid())]
    subprocess.run([*program, "start", *place, *owner], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*program, "stop", *place], check=True, capture_output=True)


def compared(settings: Settings, **inputs: str) -> CompareResult:
    """A job that is submitted, left alone, come back to, and passed by decree."""
    options = CompareOptions(PIPELINE, overrides={"rows": "3000", **inputs}, wait=False)
    left = compare(settings, options, ignore)
    assert (left.verdict, left.report) == ("", None)
    assert left.next_command == f"taxiops compare --job {left.job_name}"
    comparison = compare(settings, CompareOptions(PIPELINE, job=left.job_name), ignore)
    decide_gate(settings, None, True, "for the tests", "tests", ignore)
    return comparison


def make_first(world: World) -> Made:
    """A weak model, promoted."""
    settings = world.settings(endpoint="first")
    return compared(settings, max_iter="10"), promote(settings, None, ignore), None


def make_second(world: World) -> Made:
    """Another model, promoted after it, in two attempts: the first died before the tags."""
    settings = world.settings(endpoint="second")
    comparison = compared(settings, max_iter="25")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(promote_module, "tag_and_seal", die)
        with pytest.raises(KeyboardInterrupt):
            promote(settings, None, ignore)
    left = models.list_versions(world.connect().registry, settings.model_name)[0]
    return comparison, promote(settings, None, ignore), left


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    """The project, as far as its pipelines need it."""
    with code_snapshot(ROOT, ["components", "pipelines"]) as made:
        (made / "pyproject.toml").write_text("[tool.taxiops]\n", encoding="utf-8")
        yield made


@pytest.fixture(scope="session")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an emulator's state and the output of both promotions.

    The first process of a test run that asks makes it; training takes longer than copying.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "promoted"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder / "emulator", ignore_errors=True)
            world = World(root, folder / "emulator", folder / "artifacts")
            with running(world.state):
                made = (make_first(world), make_second(world))
            (folder / "made").write_bytes(pickle.dumps(made))
    return folder


@pytest.fixture(scope="module")
def world(root: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An emulator of this file alone, in whose registry both models are."""
    folder = tmp_path_factory.mktemp("world")
    made = World(root, folder / "emulator", folder / "artifacts")
    ports = shutil.ignore_patterns("ports.json")
    shutil.copytree(prepared / "emulator", made.state, ignore=ports)
    shutil.copytree(prepared / "artifacts", made.output)
    with running(made.state):
        yield made


def promoted(world: World, prepared: Path, index: int) -> Promoted:
    # We wrote it ourselves in this very run.
    made: tuple[Made, Made] = pickle.loads((prepared / "made").read_bytes())  # noqa: S301
    comparison, promotion, left = made[index]
    assert comparison.report is not None
    report = world.output / comparison.report.relative_to(prepared / "artifacts")
    settings = world.settings(endpoint=("first", "second")[index])
    return Promoted(settings, replace(comparison, report=report), promotion, left)


@pytest.fixture(scope="module")
def first(world: World, prepared: Path) -> Promoted:
    return promoted(world, prepared, 0)


@pytest.fixture(scope="module")
def second(world: World, prepared: Path) -> Promoted:
    return promoted(world, prepared, 1)


@pytest.fixture
def read() -> Callable[[Path], dict[str, Any]]:
    """A JSON file's document."""
    return lambda path: dict(json.loads(path.read_text(encoding="utf-8")))
