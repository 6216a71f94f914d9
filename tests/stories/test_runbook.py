"""Every command block of the runbook is typed, in order, in a project on the emulator."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
BLOCK = re.compile(r"^```sh(?: exits=(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Of the tests some that are quick: that they all pass is seen elsewhere.
UNIT_TESTS = "tests/domain/test_traffic.py"
COPIED = ("taxiops", "components", "pipelines", UNIT_TESTS, "pyproject.toml", ".amlignore")
DEADLINE_S = 280


@dataclass(frozen=True)
class Block:
    """Some lines to type and the exit code that they end with."""

    number: int
    lines: str
    exit_code: int


def blocks() -> list[Block]:
    found = BLOCK.findall(RUNBOOK.read_text(encoding="utf-8"))
    return [Block(n, text, int(code or 0)) for n, (code, text) in enumerate(found, 1)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project whose pipeline generates few trips."""
    folder = tmp_path_factory.mktemp("runbook")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, target, **({"ignore": ignored} if source.is_dir() else {}))
    for path in (folder / "pipelines").glob("*.yaml"):
        text = path.read_text(encoding="utf-8").replace("rows: 50000", "rows: 8000")
        path.write_text(text, encoding="utf-8")
    yield folder
    typed(folder, "taxiops emulator stop\n")


def typed(folder: Path, lines: str) -> "subprocess.CompletedProcess[str]":
    """The lines in a shell that stops at the first failure, as an operator does."""
    dropped = ("TAXIOPS_", "AML_", "AZURE", "GITHUB_", "CI", "PYTEST_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    return subprocess.run(
        ["bash", "-e", "-c", lines],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"block-{block.number}")
def test_a_block_of_the_runbook_does_what_it_says(block: Block, project: Path) -> None:
    done = typed(project, block.lines)
    assert done.returncode == block.exit_code, f"{block.lines}\n{done.stdout}\n{done.stderr}"


def test_the_six_scenarios_are_there_with_what_to_look_at_and_to_clean_up() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    scenarios = re.split(r"^## (?=\d\. )", text, flags=re.MULTILINE)[1:]
    assert len(scenarios) == 6
    for scenario in scenarios:
        assert "```sh" in scenario
        assert "**Look at**" in scenario
