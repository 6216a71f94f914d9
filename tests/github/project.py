"""A repository with this project as it stands in the work tree, and the events GitHub sends of it.

The events hold what our workflows and commands read of them, in GitHub's shape.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "octo/taxi"
# Few and quick, and none of these here: a run's unit tests would run the runs again.
UNIT_TESTS = "tests/domain/test_traffic.py"
NO_COMMIT = "0" * 40


def make_project(folder: Path, branch: str = "integration") -> Path:
    """A repository with the project's files on main and on integration; branch is checked out.

    Any other branch is made from integration.
    """
    listed = run_git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        wanted = not name.startswith("tests/") or name.startswith((UNIT_TESTS, "tests/conftest.py"))
        if wanted and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return make_repository(folder, branch)


def make_repository(folder: Path, branch: str = "integration") -> Path:
    """Make a folder a repository whose first commit, on both branches, holds all its files."""
    run_git(folder, "init", "-q", "--initial-branch", "main")
    run_git(folder, "config", "user.name", "somebody")
    run_git(folder, "config", "user.email", "somebody@example.com")
    run_git(folder, "config", "commit.gpgSign", "false")
    # act takes the repository's name from it when an event does not say.
    run_git(folder, "remote", "add", "origin", f"https://github.com/{REPOSITORY}.git")
    commit(folder, {}, "The project")
    run_git(folder, "checkout", "-q", "-b", "integration")
    if branch != "integration":
        run_git(folder, "checkout", "-q", *(() if branch == "main" else ("-b",)), branch)
    return folder


def run_git(folder: Path, *arguments: str) -> str:
    """What git says; the machine's own settings have no part in it."""
    done = subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def head(project: Path, branch: str = "HEAD") -> str:
    return run_git(project, "rev-parse", branch)


def switch(project: Path, branch: str) -> None:
    """Check a branch out; a new one begins where the work tree is."""
    known = run_git(project, "branch", "--list", branch)
    run_git(project, "checkout", "-q", *(() if known else ("-b",)), branch)


def commit(
    project: Path,
    changes: Mapping[str, str | None],
    message: str = "A change",
    branch: str | None = None,
) -> str:
    """Write the files (None removes one), commit, and give the commit; branch as in switch()."""
    if branch is not None:
        switch(project, branch)
    for name, text in changes.items():
        path = project / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    run_git(project, "add", "--all")
    run_git(project, "commit", "-q", "--allow-empty", "--message", message)
    return head(project)


def push_event(before: str, after: str, ref: str = "refs/heads/integration") -> dict[str, Any]:
    """before: NO_COMMIT for a new branch. The work tree must be at `after`."""
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == NO_COMMIT,
        "deleted": False,
        "forced": False,
        "head_commit": {"id": after},
        **common(),
    }


def pull_request_event(
    base_sha: str,
    head_sha: str,
    number: int = 7,
    *,
    fork: bool = False,
    head_ref: str = "feature/fares",
    base_ref: str = "integration",
    action: str = "synchronize",
) -> dict[str, Any]:
    """The work tree must be at `head_sha`: GitHub would be at a merge of it with the base."""
    own = common()
    theirs = repository("stranger/taxi", fork=True) if fork else own["repository"]
    return {
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "state": "open",
            "draft": False,
            "title": "A pull request",
            "base": {"ref": base_ref, "sha": base_sha, "repo": own["repository"]},
            "head": {"ref": head_ref, "sha": head_sha, "repo": theirs},
        },
        **own,
    }


def dispatch_event(
    inputs: Mapping[str, str | bool] | None = None, ref: str = "refs/heads/integration"
) -> dict[str, Any]:
    """A manual run. GitHub sends every input as text, `true` and `false` too."""
    texts = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (inputs or {}).items()
    }
    return {"ref": ref, "inputs": texts, "workflow": "", **common()}


def common() -> dict[str, Any]:
    return {"repository": repository(REPOSITORY), "sender": {"login": "somebody", "type": "User"}}


def repository(full_name: str, *, fork: bool = False) -> dict[str, Any]:
    owner, _, name = full_name.partition("/")
    return {
        "full_name": full_name,
        "name": name,
        "owner": {"login": owner},
        "default_branch": "main",
        "fork": fork,
        "private": False,
    }
