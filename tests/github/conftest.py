"""Skips what needs act where it cannot run; a world for workflows that act on an emulator."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .act import why_unusable
from .fake_github import BOT, TOKEN, FakeGitHub
from .project import make_project, run_git
from .world import MERGE_TOKEN, World


@pytest.fixture(scope="session")
def act_usable() -> None:
    """For fixtures that would prepare something costly before the first run."""
    if why_unusable():
        pytest.skip(f"act cannot run here: {why_unusable()}")


@pytest.fixture(scope="module")
def world(act_usable: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A repository of this project, few trips to train on, and an emulator that ends with us."""
    folder = tmp_path_factory.mktemp("github")
    (folder / "project").mkdir()
    make_project(folder / "project")
    program = [sys.executable, "-m", "taxiops.emulator"]
    state = ["--state", str(folder / "emulator")]
    owner = ["--owner-pid", str(os.getpid())]
    subprocess.run([*program, "start", *state, *owner], check=True, capture_output=True)
    with FakeGitHub(tokens={TOKEN: BOT, MERGE_TOKEN: "releaser"}) as github:
        made = World(folder, github)
        made.commit_pipeline(rows=6000, max_iter=40)
        run_git(made.project, "branch", "--force", "main", "integration")
        yield made
    subprocess.run([*program, "stop", *state], check=True, capture_output=True)
