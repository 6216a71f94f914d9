"""Training, serving, the jobs that act, and CI have the same versions: those of the lock file."""

import ast
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from taxiops.workflows.rollouts.engine import slot_spec
from taxiops.workflows.rollouts.limits import Limits
from taxiops.workflows.rollouts.record import PLANNED, ModelReference, Record

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "components" / "environment"
CONDA, DOCKER = FOLDER / "conda.yaml", FOLDER / "operations" / "requirements.txt"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "taxiops").rglob("*.py"))
# What training and scoring import of ours; the layers hold them to that.
STEPS = ("steps/", "domain/", "errors.py")
# What no job that acts imports: .amlignore keeps the emulator out, and score.py is for the server.
NOT_ACTING = ("emulator/", "steps/score.py")


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin", FOLDER / "pin.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def conda_pins() -> dict[str, str]:
    pip = next(each["pip"] for each in read(CONDA)["dependencies"] if isinstance(each, dict))
    return dict(line.split("==") for line in pip)


def entries(text: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each requirement; not with pin.py's own pattern, which is on trial."""
    found: dict[str, tuple[str, list[str]]] = {}
    for block in re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines():
        requirement, *hashes = block.split("--hash=")
        name, exact = requirement.split(";")[0].split("==")
        assert name not in found, f"{name} stands there twice"
        found[name] = (exact.strip(), [each.strip() for each in hashes])
    return found


def docker_pins() -> dict[str, str]:
    pins = entries(DOCKER.read_text(encoding="utf-8"))
    return {name: exact for name, (exact, _) in pins.items()}


def test_every_file_is_what_the_lock_file_makes_of_it(pin: ModuleType) -> None:
    made = pin.files(LOCK)
    assert set(made) == {
        path for path in FOLDER.rglob("*.*") if path.suffix in {".yaml", ".txt"}
    } | {DOCKER.with_name("Dockerfile")}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, "run components/environment/pin.py"


def test_training_and_serving_have_the_versions_of_the_lock() -> None:
    locked = entries(LOCK)
    assert conda_pins() == {name: locked[name][0] for name in conda_pins()}


def test_jobs_that_act_have_the_versions_and_hashes_of_the_lock() -> None:
    locked, found = entries(LOCK), entries(DOCKER.read_text(encoding="utf-8"))
    assert found == {name: locked[name] for name in found}
    assert all(
        hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)
        for _, hashes in found.values()
    )


def test_what_runs_here_and_in_ci_has_these_versions_too() -> None:
    wanted = docker_pins() | conda_pins()
    assert {name: version(name) for name in wanted} == wanted


@pytest.mark.parametrize("pins", [conda_pins, docker_pins])
def test_what_an_environment_requires_is_in_it_and_in_range(pin: ModuleType, pins: Any) -> None:
    """pip installs with --no-deps, and so would notice neither."""
    there = pins()
    for name in there:
        for requirement in map(Requirement, requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate(pin.IMAGE):
                exact = there.get(pin.normal(requirement.name))
                assert exact, f"{name} requires {requirement}"
                assert requirement.specifier.contains(exact, prereleases=True), f"{name}, {exact}"


def test_an_extra_met_after_its_package_still_brings_what_it_requires(
    pin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"a": ["b", "c"], "b": ['d; extra == "more"'], "c": ["b[more]"], "d": []}
    monkeypatch.setattr(pin, "requires", wanted.__getitem__)
    assert pin.needed(["a"]) == pin.needed(["b", "a"]) == ["a", "b", "c", "d"]
    assert pin.needed(["b"]) == ["b"]


def python_versions(node: Any) -> Iterator[str]:
    """Every python-version that is asked for anywhere in a workflow or an action."""
    if isinstance(node, list):
        for each in node:
            yield from python_versions(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "python-version":
                yield str(value)
            yield from python_versions(value)


def test_every_environment_has_the_python_of_ci(pin: ModuleType) -> None:
    asked = [
        each
        for path in sorted((ROOT / ".github").rglob("*.yml"))
        for each in python_versions(read(path))
    ]
    assert asked
    assert {*asked} == {pin.PYTHON}
    assert (FOLDER / "pin.py").read_text(encoding="utf-8").count(pin.PYTHON) == 1
    assert f"python={pin.PYTHON}" in read(CONDA)["dependencies"]
    image = DOCKER.with_name("Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (.*)$", image, re.M) == [f"python:{pin.PYTHON}-slim-bookworm"]


def test_ci_installs_the_lock_file_with_its_hashes() -> None:
    steps = read(ROOT / ".github/actions/setup/action.yml")["runs"]["steps"]
    assert any("--require-hashes --requirement requirements.lock" in str(each) for each in steps)


def test_serving_has_the_environment_of_training() -> None:
    model = ModelReference("registry", "model", "7", f"sha256:{'a' * 64}")
    record = Record("dev", "endpoint", "green", PLANNED, True, {}, {}, model, "", "")
    served = slot_spec(ROOT, ROOT, record, Limits())
    trained = read(ROOT / "components" / "train.yaml")["environment"]
    assert served.image == trained["image"]
    assert Path(served.conda_file).resolve() == CONDA
    assert (ROOT / "components" / trained["conda_file"]).resolve() == CONDA


def test_every_component_runs_what_it_calls_in_the_environment_made_for_that() -> None:
    trained = read(ROOT / "components" / "train.yaml")["environment"]
    operations = {"build": {"path": str(DOCKER.parent.relative_to(ROOT / "components"))}}
    paths = sorted((ROOT / "components").glob("*.yaml"))
    assert paths
    for path in paths:
        component = read(path)
        acts = "python -m taxiops.cli" in component["command"]
        assert acts != ("python -m taxiops.steps." in component["command"]), path.name
        assert component["environment"] == (operations if acts else trained), path.name


def third_party(paths: Iterable[Path]) -> dict[str, set[str]]:
    """The modules of others that the sources import anywhere, with who may provide each."""
    modules: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module)
    known = packages_distributions()
    foreign = {
        module
        for module in modules
        if module.split(".")[0] not in {*sys.stdlib_module_names, "taxiops"}
    }
    return {module: providers(module, known[module.split(".")[0]]) for module in foreign}


def providers(module: str, distributions: list[str]) -> set[str]:
    """Of many that share a namespace, as azure's do, the ones whose name begins the module's."""
    if module == "opentelemetry.trace":
        return {"opentelemetry-api"}
    names = {re.sub(r"[-_.]+", "-", each).lower() for each in distributions}
    dashed = re.sub(r"[_.]", "-", module) + "-"
    return names if len(names) == 1 else {name for name in names if dashed.startswith(f"{name}-")}


def place(path: Path) -> str:
    return path.relative_to(ROOT / "taxiops").as_posix()


def test_all_that_the_steps_import_is_in_the_environment_of_training() -> None:
    imported = third_party(path for path in SOURCES if place(path).startswith(STEPS))
    assert "sklearn" in " ".join(imported)
    assert not {name: who for name, who in imported.items() if not who & set(conda_pins())}


def test_all_that_taxiops_imports_is_in_the_environment_of_jobs_that_act() -> None:
    imported = third_party(path for path in SOURCES if not place(path).startswith(NOT_ACTING))
    assert {"azure.ai.ml", "typer", "yaml"} <= set(imported)
    assert not {name: who for name, who in imported.items() if not who & set(docker_pins())}


def test_nothing_of_the_operators_side_is_shipped_with_a_model() -> None:
    assert not {"azure-ai-ml", "typer", "pytest", "uvicorn"} & set(conda_pins())


def test_nothing_that_only_developers_or_the_emulator_need_is_in_the_image() -> None:
    assert not {"pytest", "mypy", "uvicorn", "azureml-inference-server-http"} & set(docker_pins())
