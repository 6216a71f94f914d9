"""The environment of the components is the one of the lock file."""

import importlib.util
from types import ModuleType

import pytest
import yaml

from .conftest import ROOT

FOLDER = ROOT / "components" / "environment"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


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


def test_every_package_has_the_version_of_the_lock(pin: ModuleType) -> None:
    locked = pin.pinned(LOCK)
    assert {name: locked.get(name) for name in conda_pins()} == conda_pins()


def test_all_that_the_steps_need_is_there(pin: ModuleType) -> None:
    assert set(conda_pins()) >= set(pin.ROOTS)
    assert pin.conda(LOCK).splitlines()[6:] == (FOLDER / "conda.yaml").read_text().splitlines()[6:]


def test_nothing_of_the_operators_side_is_shipped() -> None:
    assert not {"azure-ai-ml", "typer", "pytest", "uvicorn"} & set(conda_pins())
