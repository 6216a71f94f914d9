"""No step can fail and leave a run green: each is broken in turn, the commands being played."""

import re
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from .act import run_workflow
from .project import (
    NO_COMMIT,
    ROOT,
    dispatch_event,
    head,
    make_repository,
    pull_request_event,
    push_event,
)
from .record import Run
from .world import CI, RELEASE

PLAYER = Path(__file__).with_name("player.sh")
BROKEN = {"shell": "bash", "run": "exit 1"}
SETUP = "./.github/actions/setup"
Document = dict[Any, Any]
Files = dict[str, str]


def payload(project: Path, event: str) -> Document:
    """An event in which as much as possible runs."""
    if event == "pull_request":
        return pull_request_event(NO_COMMIT, head(project))
    if event == "push":
        return push_event(NO_COMMIT, head(project))
    return dispatch_event({"run_dev_validation": True, "artifact_suffix": "x"})


def played(project: Path, workflow: str, event: str) -> Run:
    return run_workflow(
        project,
        workflow,
        event,
        payload(project, event),
        secrets={"GITHUB_TOKEN": "token"},
        environment={"ACT_STAND_IN_TAXIOPS": str(PLAYER)},
    )


@pytest.fixture(scope="module")
def project(act_usable: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflows and what their steps read; the commands themselves are played."""
    folder = tmp_path_factory.mktemp("broken") / "project"
    shutil.copytree(ROOT / ".github", folder / ".github")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, folder / name)
    return make_repository(folder)


def read(path: Path) -> Document:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 takes the key `on` for a truth value.
    if True in document:
        document["on"] = document.pop(True)
    assert isinstance(document, dict)
    return document


def variants(project: Path, workflow: str, jobs: list[str]) -> Iterator[tuple[str, Files]]:
    """(what is broken, files that are otherwise) for every step of the jobs and their actions."""
    file = f".github/workflows/{workflow}"
    document = read(project / file)
    users: dict[str, list[str]] = {}
    for job in jobs:
        steps = document["jobs"][job]["steps"]
        for at, step in enumerate(steps):
            if str(step.get("uses", "")).startswith("./"):
                users.setdefault(step["uses"].removeprefix("./"), []).append(job)
            changed = with_broken(lightened(document, [job]), job, at)
            yield f"{job}[{at}]", {file: yaml.safe_dump(changed)}
    for action in sorted(users):
        name = f"{action}/action.yml"
        inner = read(project / name)
        light = yaml.safe_dump(lightened(document, users[action]))
        for at, step in enumerate(inner["runs"]["steps"]):
            if "cache-hit" in str(step.get("if", "")):
                continue
            changed = {
                **inner,
                "runs": {**inner["runs"], "steps": broken(inner["runs"]["steps"], at)},
            }
            yield f"{name}[{at}]", {file: light, name: yaml.safe_dump(changed)}


def lightened(document: Document, whole: Collection[str]) -> Document:
    """The workflow with only what other jobs need of those that are not to be whole.

    To check out and to set up is most of a run's work. What they leave and tell is the same.
    """
    jobs = {}
    for name, job in document["jobs"].items():
        own = [each for each in job["steps"] if str(each.get("uses", "")).startswith("./")]
        if name in whole or any(each["uses"] != SETUP for each in own):
            jobs[name] = job
            continue
        left = [each for each in job["steps"] if not is_set_up(each)]
        played = [
            {**each, "run": re.sub(r"\btaxiops (?=[a-z])", f"sh {PLAYER} ", each["run"])}
            if "run" in each
            else each
            for each in left
        ]
        jobs[name] = {**job, "steps": played}
    return {**document, "jobs": jobs}


def is_set_up(step: Document) -> bool:
    uses = str(step.get("uses", ""))
    return uses == SETUP or uses.startswith("actions/checkout@")


def broken(steps: list[Document], at: int) -> list[Document]:
    """The steps, of which one fails whenever it would have run."""
    kept = {key: steps[at][key] for key in ("if", "id") if key in steps[at]}
    return [*steps[:at], {**kept, **BROKEN}, *steps[at + 1 :]]


def with_broken(document: Document, job: str, at: int) -> Document:
    steps = broken(document["jobs"][job]["steps"], at)
    jobs = {**document["jobs"], job: {**document["jobs"][job], "steps": steps}}
    return {**document, "jobs": jobs}


@pytest.mark.parametrize(
    ("workflow", "event", "only"),
    [
        (CI, "push", ()),
        (CI, "pull_request", ("comment",)),
        (CI, "workflow_dispatch", ("validate-dev",)),
        (RELEASE, "workflow_dispatch", ()),
    ],
)
def test_a_run_is_red_whichever_step_fails(
    project: Path, tmp_path: Path, workflow: str, event: str, only: tuple[str, ...]
) -> None:
    green = played(project, workflow, event)
    assert green.exit_code == 0, green.log
    ran = [name for name, result in green.results.items() if result == "success"]
    assert set(only) <= set(ran)
    file = f".github/workflows/{workflow}"
    light = yaml.safe_dump(lightened(read(project / file), ()))
    jobs = [name for name in ran if not only or name in only]
    cases = [("nothing", {file: light}), *variants(project, workflow, jobs)]

    def colour(case: tuple[str, Files]) -> tuple[str, int, str]:
        what, files = case
        copy = tmp_path / what.replace("/", "_")
        shutil.copytree(project, copy / "project", symlinks=True)
        for name, text in files.items():
            (copy / "project" / name).write_text(text, encoding="utf-8")
        run = played(copy / "project", workflow, event)
        shutil.rmtree(copy)
        return what, run.exit_code, run.results["verdict"]

    with ThreadPoolExecutor(max_workers=2) as pool:
        (_, exit_code, verdict), *found = pool.map(colour, cases)
    assert (exit_code, verdict) == (0, "success")
    assert len(found) > 3
    assert [
        what for what, exit_code, verdict in found if not exit_code or verdict != "failure"
    ] == []


def test_a_failed_deployment_is_followed_by_a_rollback_whose_failure_is_told(
    project: Path, tmp_path: Path
) -> None:
    for workflow, event, env in ((CI, "push", "dev"), (RELEASE, "workflow_dispatch", "prod")):
        file = f".github/workflows/{workflow}"
        document = read(ROOT / file)
        copy = tmp_path / env
        shutil.copytree(project, copy / "project", symlinks=True)
        document = with_broken(document, f"deploy-{env}", 2)
        target = copy / "project" / file
        target.write_text(yaml.safe_dump(document), encoding="utf-8")
        run = played(copy / "project", workflow, event)
        assert run.results[f"rollback-{env}"] == "success"
        assert run.results["verdict"] == "failure"
        target.write_text(yaml.safe_dump(with_broken(document, f"rollback-{env}", 2)))
        run = played(copy / "project", workflow, event)
        assert run.results[f"rollback-{env}"] == "failure"
        assert run.results["verdict"] == "failure"
