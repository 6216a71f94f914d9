"""A command line to type on, in a folder and an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from taxiops.cli.app import app
from taxiops.config import KEYS

FOREIGN = (
    "GITHUB_ACTIONS",
    "GITHUB_ACTOR",
    "GITHUB_OUTPUT",
    "GITHUB_RUN_ID",
    "GITHUB_STEP_SUMMARY",
)

Typed = Callable[..., Result]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's configuration reaches a test."""
    for name in (*(key.variable for key in KEYS), *FOREIGN, "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def typed() -> Typed:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def document(typed: Typed) -> Callable[..., dict[str, Any]]:
    """Runs a command line with --json; its stdout must be one document."""

    def run(*arguments: str) -> dict[str, Any]:
        return dict(json.loads(typed(*arguments, "--json").stdout))

    return run


@pytest.fixture
def process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the installed program as a process."""
    program = str(Path(sys.executable).with_name("taxiops"))

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program, *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
