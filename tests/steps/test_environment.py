"""Training, serving, the jobs that act, and CI have the same versions: those of the lock file."""

import ast
import importlib.util
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from taxiops.workflows.engine import ENVIRONMENT_FROM

from .conftest import ROOT

FOLDER = ROOT / "components" / "environment"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# What jobs that act import of ours; the emulator stays outside of every image.
ACTING = ("cli", "workflows", "cloud", "report", "domain", "github")
# Not imported in a job, but by a developer or by the emulator.
OPTIONAL = {"pytest"}


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin", FOLDER / "pin.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def conda_pins() -> dict[str, str]:
    document = yaml.safe_load((FOLDER / "conda.yaml").read_text(encoding="utf-8"))
    pip = next(each["pip"] for each in document["dependencies"] if isinstance(each, dict))
    return dict(line.split("==") for line in pip)


def docker_pins(pin: ModuleType) -> dict[str, tuple[str, str]]:
    text = (FOLDER / "operations" / "requirements.txt").read_text(encoding="utf-8")
    return dict(pin.pinned(text))


def test_every_file_is_what_the_lock_file_makes_of_it(pin: ModuleType) -> None:
    for path, text in pin.files(LOCK).items():
        assert path.read_text(encoding="utf-8") == text, f"run {FOLDER.name}/pin.py: {path.name}"


def test_training_and_the_jobs_that_act_have_the_versions_and_hashes_of_the_lock(
    pin: ModuleType,
) -> None:
    locked = pin.pinned(LOCK)
    assert conda_pins()
    assert conda_pins() == {name: locked[name][0] for name in conda_pins()}
    assert docker_pins(pin) == {name: locked[name] for name in docker_pins(pin)}
    assert all(hashes.count("--hash=sha256:") for _, hashes in docker_pins(pin).values())


def test_what_runs_here_has_these_versions_too(pin: ModuleType) -> None:
    wanted = {name: found for name, (found, _) in docker_pins(pin).items()} | conda_pins()
    assert {name: version(name) for name in wanted} == wanted


def test_serving_and_ci_use_what_training_uses(pin: ModuleType) -> None:
    assert ENVIRONMENT_FROM == "components/train.yaml"
    setup = yaml.safe_load((ROOT / ".github/actions/setup/action.yml").read_text(encoding="utf-8"))
    steps = setup["runs"]["steps"]
    assert steps[0]["with"]["python-version"] == pin.PYTHON
    assert any("--requirement requirements.lock" in step.get("run", "") for step in steps)


def imported(rooms: tuple[str, ...]) -> set[str]:
    """Distributions of the third-party modules that the rooms import anywhere."""
    modules: set[str] = set()
    for room in rooms:
        for path in (ROOT / "taxiops" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules.add(node.module)
    return {distribution_of(module) for module in modules} - {""}


def distribution_of(module: str) -> str:
    """The distribution that a module comes from; empty for Python's own and ours."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top == "taxiops":
        return ""
    if top == "azure":
        known = {"azure.ai.ml": "azure-ai-ml", "azure.identity": "azure-identity"}
        return next((name for key, name in known.items() if module.startswith(key)), "azure-core")
    return packages_distributions()[top][0].lower().replace("_", "-")


def test_all_that_a_room_imports_is_in_its_environment(pin: ModuleType) -> None:
    assert imported(("steps", "domain")) <= set(conda_pins())
    assert imported(ACTING) - OPTIONAL <= set(docker_pins(pin))


def test_nothing_of_the_operators_side_is_shipped_with_a_model() -> None:
    assert not {"azure-ai-ml", "typer", "pytest", "uvicorn"} & set(conda_pins())


def test_the_build_context_is_what_the_components_name() -> None:
    for path in sorted(Path(ROOT / "components").glob("*.yaml")):
        build = yaml.safe_load(path.read_text(encoding="utf-8"))["environment"].get("build")
        if build:
            assert (path.parent / build["path"] / "Dockerfile").is_file()
