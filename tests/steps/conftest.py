"""Trips and models that several step tests share; made once a session."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taxiops.steps.prepare import prepare
from taxiops.steps.train import train

ROOT = Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared" / "data"
ROWS, SEED = 6_000, 7


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not list(REAL_DATA.glob("*.csv")):
        pytest.skip("the samples of real trips are not beside the repository")
    return REAL_DATA


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train` and `test` trips, generated."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(None, ROWS, SEED, folder / "train", folder / "test")
    return folder


def trained(prepared: Path, folder: Path, trees: int, commit: str = "") -> Path:
    params = {"max_iter": trees, "learning_rate": 0.1, "max_leaf_nodes": 31}
    train(prepared / "train", prepared / "test", folder, params, commit)
    return folder


@pytest.fixture(scope="session")
def strong_model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(prepared, tmp_path_factory.mktemp("strong") / "model", 80)


@pytest.fixture(scope="session")
def weak_model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(prepared, tmp_path_factory.mktemp("weak") / "model", 30)


StepRun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def step() -> StepRun:
    """Runs `python -m taxiops.steps.NAME` as a pipeline component does."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"taxiops.steps.{name}", *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
        )

    return run
