"""`taxiops test unit`: the fast tests, then a static check of every pipeline and component."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import jobs
from taxiops.config import Settings
from taxiops.errors import NotFound, StepFailed, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.pipelines import check_pipeline, read_yaml, to_text

FAST = ("tests/domain", "tests/steps", "tests/report", "tests/cli")
# Exit codes of pytest: docs.pytest.org/en/stable/reference/exit-codes.html.
PYTEST_USAGE, PYTEST_NOTHING = 4, 5


@dataclass(frozen=True)
class UnitTestsResult:
    """The files that were checked; the tests passed, or there would be no result."""

    folders: tuple[str, ...]
    validated: tuple[str, ...]
    next_command: str = "taxiops compare"

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "passed": True,
            "folders": list(self.folders),
            "validated": list(self.validated),
            "next_command": self.next_command,
        }


def run_unit_tests(
    settings: Settings, pytest_args: Sequence[str], progress: Progress
) -> UnitTestsResult:
    """Run pytest, stopping at the first failure, and validate every YAML with the SDK.

    Raises StepFailed when a test fails, UsageError naming file and key when a YAML is wrong.
    """
    folders = tuple(name for name in FAST if (settings.root / name).is_dir())
    if not folders:
        raise NotFound(
            f"{settings.root}: no tests there.",
            hint="Run it inside a clone of the repository.",
            code="tests-missing",
        )
    run_pytest(settings.root, folders, pytest_args, progress)
    validated = validate_documents(settings.root, progress)
    return UnitTestsResult(folders, validated)


def run_pytest(
    root: Path, folders: Sequence[str], pytest_args: Sequence[str], progress: Progress
) -> None:
    if importlib.util.find_spec("pytest") is None:
        raise UsageError(
            "pytest is not installed.", hint="pip install 'taxiops[dev]'", code="pytest-missing"
        )
    chosen = [] if any((root / arg.split("::")[0]).exists() for arg in pytest_args) else folders
    progress(f"pytest {' '.join([*chosen, *pytest_args])}")
    arguments = [sys.executable, "-m", "pytest", "--exitfirst", *chosen, *pytest_args]
    # Else our own GitHub outputs would be written by the tests of the command line.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    done = subprocess.run(arguments, cwd=root, check=False, env=environ, stdin=subprocess.DEVNULL)
    if done.returncode == PYTEST_USAGE:
        raise UsageError("pytest does not take these arguments.", hint="taxiops test unit -k NAME")
    if done.returncode == PYTEST_NOTHING:
        raise UsageError("No test matches these arguments.", hint="taxiops test unit -k NAME")
    if done.returncode:
        raise StepFailed(
            "A unit test failed.", hint="Mend it; pytest shows it above.", code="unit-tests"
        )


def validate_documents(root: Path, progress: Progress) -> tuple[str, ...]:
    """Check every pipeline and component below `root`; gives their names."""

    checked = []
    # Components first: a pipeline's error would name only the pipeline.
    for path in sorted((root / "components").glob("*.y*ml")):
        jobs.load_component(path)
        checked.append(path)
    for path in sorted((root / "pipelines").glob("*.y*ml")):
        document = read_yaml(path)
        check_pipeline(document, path)
        jobs.load_pipeline(to_text(document), path)
        checked.append(path)
    names = tuple(path.relative_to(root).as_posix() for path in checked)
    progress(f"valid: {', '.join(names) or 'nothing to check'}")
    return names
