"""The emulator's commands, and programs that know nothing of us but its variables."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taxiops.errors import UsageError
from taxiops.workflows import emulator
from taxiops.workflows.demo import run_demo

if TYPE_CHECKING:
    from conftest import Promoted, World

PLAIN = """
import os
import requests
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential, EnvironmentCredential

where = ("00000000-0000-0000-0000-000000000000", "rg-local-dev", "mlwdevcc01")
workspace = MLClient(DefaultAzureCredential(), *where)
registry = MLClient(EnvironmentCredential(), registry_name="mlrdevcc01")
base = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search"
principal = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
assert requests.get(base, auth=principal, timeout=30).json()["experiments"]
assert requests.get(base, auth=("a", "b"), timeout=30).status_code == 401
print(len(list(workspace.jobs.list())), [m.name for m in registry.models.list()])
"""


def test_a_program_of_somebody_else_is_pointed_at_the_emulator(
    world: "World", first: "Promoted"
) -> None:
    variables = emulator.exec_environment(world.settings())
    # The SDK itself sets this one in our process; a program of somebody else's starts without.
    inherited = {k: v for k, v in os.environ.items() if k != "AZUREML_CURRENT_CLOUD"}
    environ = {**inherited, **variables}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PLAIN],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    count, _, names = done.stdout.strip().partition(" ")
    assert int(count) >= 1
    assert first.promotion.name in names


def test_what_it_says_of_itself_holds_no_secret(world: "World") -> None:
    settings = world.settings()
    for result in (emulator.start(settings), emulator.status(settings)):
        assert result.facts["running"] is True
        assert "client_secret" not in result.document()


def test_the_demo_leaves_an_emulator_alone_that_others_use(
    world: "World", first: "Promoted"
) -> None:
    with pytest.raises(UsageError) as caught:
        run_demo(world.settings(), lambda _: None)
    assert caught.value.code == "emulator-in-use"


def test_azure_has_no_emulator(world: "World") -> None:
    with pytest.raises(UsageError, match="--cloud local"):
        emulator.status(replace(world.settings(), cloud="azure"))
