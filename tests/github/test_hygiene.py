"""What the linters do not see in our workflows and actions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .project import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.y*ml"))
FILES = [*WORKFLOWS, *ACTIONS]
USES = re.compile(r"uses:\s*(\S+)(?:\s+#\s*(\S+))?")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
# Text that somebody outside may have written, put where a shell would read it as code.
EXPRESSION = re.compile(r"\$\{\{")
# Besides taxiops itself: making its environment, and the two scripts of our own actions.
OTHER_COMMANDS = (
    ".venv/bin/python -m pip install",
    "python -m venv",
    'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"',
    'bash "$GITHUB_ACTION_PATH/changes.sh"',
    'python3 -I "$GITHUB_ACTION_PATH/verdict.py"',
    'echo "Version $MODEL_VERSION of commit $COMMIT is approved for Prod."',
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / ".github").as_posix()


def read(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def jobs() -> Iterator[Any]:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield pytest.param(job, id=f"{path.stem}-{name}")


def steps(path: Path) -> list[dict[str, Any]]:
    document = read(path)
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


def test_both_workflows_are_there() -> None:
    assert [path.name for path in WORKFLOWS] == ["integration-ml-ci.yml", "prod-ml-release.yml"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_action_of_somebody_else_is_pinned_by_its_commit_with_the_version_beside_it(
    path: Path,
) -> None:
    for used, version in USES.findall(path.read_text(encoding="utf-8")):
        if used.startswith("./"):
            continue
        assert PINNED.fullmatch(used), used
        assert re.fullmatch(r"v\d+(\.\d+)*", version), f"{used}: no version in a comment"


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_a_workflow_may_do_nothing_by_default_and_fails_when_a_pipe_does(path: Path) -> None:
    document = read(path)
    assert document["permissions"] == {}
    assert document["defaults"] == {"run": {"shell": "bash"}}
    assert "pull_request_target" not in document[True]


@pytest.mark.parametrize("job", jobs())
def test_a_job_states_its_permissions_and_its_longest_duration(job: dict[str, Any]) -> None:
    assert job["permissions"]
    assert 0 < job["timeout-minutes"] <= 360


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_checkout_leaves_no_credentials_behind(path: Path) -> None:
    for step in steps(path):
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_expression_is_pasted_into_a_command(path: Path) -> None:
    for step in steps(path):
        assert not EXPRESSION.search(str(step.get("run", ""))), step["run"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_step_only_calls_taxiops_and_its_failure_counts(path: Path) -> None:
    for step in steps(path):
        assert "continue-on-error" not in step
        for line in str(step.get("run", "")).strip().splitlines():
            assert line.startswith(("taxiops ", *OTHER_COMMANDS)), line
            assert "|" not in line
            assert ";" not in line
