"""Command blocks of the documentation, and a copy of the project in which they are typed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
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


def blocks(page: Path) -> list[Block]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(n, text, int(code or 0)) for n, (code, text) in enumerate(found, 1)]


def copy_project(folder: Path) -> None:
    """What a person needs of the project, with a pipeline that generates few trips."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, target, **({"ignore": ignored} if source.is_dir() else {}))
    for path in (folder / "pipelines").glob("*.yaml"):
        text = path.read_text(encoding="utf-8").replace("rows: 50000", "rows: 8000")
        path.write_text(text, encoding="utf-8")


def typed(
    folder: Path, lines: str, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """The lines in a shell that stops at the first failure, as an operator does."""
    dropped = ("TAXIOPS_", "AML_", "AZURE", "GITHUB_", "CI", "PYTEST_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    return subprocess.run(
        ["bash", "-e", "-c", lines],
        cwd=folder,
        env={**environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
