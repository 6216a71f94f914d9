"""Environments: our own interpreter, or one that is built from a conda specification."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state.assets.assets import Key
from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.jobs.environment_specs import BadEnvironment, specification_of
from taxiops.emulator.state.jobs.environments import Environments, own_interpreter, search_path
from taxiops.emulator.state.jobs.execution import StepFailed, StepRun, run_step

from .parts import SCOPE, Parts

CONDA = """
name: env
channels: [conda-forge]
dependencies:
  - python=3.10.4
  - pip=22.1
  - numpy=1.22
  - conda-forge::pandas=1.4.2=py310
  - scikit-learn >= 1.0, <1.2
  - pytorch
  - scipy 1.7.*
  - pip:
      - mlflow==2.6.0
      - --extra-index-url https://example.org/simple
"""


def stored(parts: Parts, name: str, **properties: Any) -> str:
    parts.assets.create(Key("environment", SCOPE, name, "1"), properties)
    return f"{SCOPE}/environments/{name}/versions/1"


def test_a_conda_file_becomes_requirements_for_pip() -> None:
    found = specification_of("env", {"condaFile": CONDA})
    assert found.python == "3.10"
    assert found.requirements == (
        "pip==22.1.*",
        "numpy==1.22.*",
        "pandas==1.4.2",
        "scikit-learn>=1.0,<1.2",
        "torch",
        "scipy==1.7.*",
        "mlflow==2.6.0",
        "--extra-index-url https://example.org/simple",
    )
    assert found.key == specification_of("other", {"condaFile": CONDA}).key


def test_a_curated_environment_is_what_is_known_of_its_packages() -> None:
    properties = {"image": "mcr.microsoft.com/x", "environmentType": "Curated"}
    found = specification_of("AzureML-sklearn-1.5:3", properties)
    assert found.python == "3.10"
    assert "scikit-learn==1.5.*" in found.requirements
    assert found == specification_of("sklearn-1.5:52", properties)


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"image": "python:3.11"}, r"image \(python:3.11\) without a conda .* would need Docker"),
        ({"build": {"contextUri": "https://x"}}, "would need Docker"),
        ({"condaFile": "a: [b"}, "is not YAML"),
        ({"condaFile": "- python"}, "no list of dependencies"),
        ({"condaFile": "dependencies: ['?']"}, "asks for"),
        ({"condaFile": "dependencies: [{pip: [-r requirements.txt]}]"}, "not part of the env"),
    ],
)
def test_what_cannot_be_built_says_what_would_do(properties: Any, told: str) -> None:
    with pytest.raises(BadEnvironment, match=told):
        specification_of("env", properties)


def test_steps_run_in_our_own_interpreter_unless_isolated(parts: Parts, tmp_path: Path) -> None:
    current = Environments(parts.assets, tmp_path / "none", is_isolated=False)
    log = tmp_path / "build.log"
    assert current.interpreter(SCOPE, "azureml:gone:1", log, Cancellation()) == own_interpreter()
    isolated = Environments(parts.assets, tmp_path / "none", is_isolated=True)
    assert isolated.interpreter(SCOPE, "", log, Cancellation()) == own_interpreter()
    reference = stored(parts, "docker", image="busybox")
    with pytest.raises(BadEnvironment, match="docker:1 is an image"):
        isolated.interpreter(SCOPE, reference, log, Cancellation())
    assert not (tmp_path / "none").exists()


def test_an_isolated_environment_is_built_once_and_has_its_own_packages(
    parts: Parts, tmp_path: Path
) -> None:
    if shutil.which("uv", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("uv is not installed beside this interpreter")
    version = f"3.{sys.version_info[1]}"
    conda = f"dependencies: [python={version}]"
    reference = stored(parts, "empty", condaFile=conda)
    environments = Environments(parts.assets, tmp_path / "built", is_isolated=True)
    log = tmp_path / "build.log"
    found = environments.interpreter(SCOPE, reference, log, Cancellation())
    (found.binaries.parent / "kept").touch()
    again = environments.interpreter(SCOPE, reference, log, Cancellation())
    assert again == found
    assert (found.binaries.parent / "kept").exists()
    command = "python -c 'import sys; print(sys.prefix); import yaml'"
    run = StepRun(command, None, tmp_path / "wd", tmp_path, {}, binaries=found.binaries)
    assert "No module named 'yaml'" in run_step(run, Cancellation()).message
    assert run.log.read_text().startswith(str(found.binaries.parent))
    (found.binaries.parent / ".complete").unlink()
    environments.interpreter(SCOPE, reference, log, Cancellation())
    assert not (found.binaries.parent / "kept").exists()


def test_a_package_that_there_is_not_fails_the_step_with_what_uv_said(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("uv", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("uv is not installed beside this interpreter")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    conda = "dependencies: [{pip: [there-is-no-such-package]}]"
    reference = stored(parts, "wrong", condaFile=conda)
    environments = Environments(parts.assets, tmp_path / "built", is_isolated=True)
    with pytest.raises(StepFailed, match="there-is-no-such-package"):
        environments.interpreter(SCOPE, reference, tmp_path / "build.log", Cancellation())
    assert list((tmp_path / "built").glob("*/.complete")) == []


def test_uv_looks_at_the_versions_of_pyenv_not_at_its_shims(tmp_path: Path) -> None:
    (tmp_path / "versions" / "3.10.1" / "bin").mkdir(parents=True)
    path = search_path(f"/usr/bin:{tmp_path}/shims")
    assert path == f"/usr/bin:{tmp_path}/versions/3.10.1/bin"
