"""A git repository with this project as it stands, and the events that GitHub would send of it."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REPOSITORY = "octo/taxi"
PIPELINE = "pipelines/integration-compare-pipeline.yaml"
# A run's unit tests need not be all of them, least of all these here.
UNIT_TESTS = "tests/domain/test_traffic.py"


@dataclass(frozen=True)
class Project:
    """The repository. Its branches are main and integration."""

    folder: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                "git",
                "-c",
                "user.name=somebody",
                "-c",
                "user.email=somebody@example.com",
                *arguments,
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def checkout(self, branch: str, *, new: bool = False) -> None:
        self.git("checkout", "-q", *(["-b"] if new else []), branch)

    def commit(self, changes: Mapping[str, str]) -> str:
        """Write the files and commit them; gives the commit."""
        for name, text in changes.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "-q", "--message", "a change")
        return self.head

    def pipeline_with(self, **inputs: object) -> dict[str, str]:
        """The compare pipeline with other defaults, to be committed."""
        lines = (self.folder / PIPELINE).read_text(encoding="utf-8").splitlines()
        changed = [
            f"  {name}: {inputs[name]}"
            if (name := line.strip().partition(":")[0]) in inputs
            and line.startswith("  ")
            and not line.startswith("   ")
            else line
            for line in lines
        ]
        return {PIPELINE: "\n".join(changed) + "\n"}

    def push(self, before: str) -> dict[str, Any]:
        return {
            "ref": "refs/heads/integration",
            "before": before,
            "after": self.head,
            "repository": repository(),
        }

    def pull_request(self, base: str, number: int, *, fork: bool = False) -> dict[str, Any]:
        branch = self.git("rev-parse", "--abbrev-ref", "HEAD")
        head = {"ref": branch, "sha": self.head, "repo": {"fork": fork}}
        return {
            "action": "synchronize",
            "number": number,
            "pull_request": {
                "number": number,
                "base": {"ref": "integration", "sha": base},
                "head": head,
            },
            "repository": repository(),
        }

    def dispatch(self, **inputs: str) -> dict[str, Any]:
        """A manual run's event; GitHub sends every input as text, `true` and `false` too."""
        branch = self.git("rev-parse", "--abbrev-ref", "HEAD")
        return {"ref": f"refs/heads/{branch}", "inputs": inputs, "repository": repository()}


def repository() -> dict[str, Any]:
    owner, _, name = REPOSITORY.partition("/")
    return {"full_name": REPOSITORY, "name": name, "owner": {"login": owner}}


def make_bare_project(folder: Path) -> Project:
    """The workflows and what their steps read, where the commands themselves are played."""
    names = ["pyproject.toml", "requirements.lock"]
    names += [path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.*")]
    return committed(folder, [name for name in names if (ROOT / name).is_file()])


def make_project(folder: Path) -> Project:
    """A copy of the project's files, with few trips to train on, committed on both branches."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    kept = [name for name in names if not name.startswith("tests/") or name == UNIT_TESTS]
    project = committed(folder, [name for name in kept if (ROOT / name).is_file()])
    project.commit(project.pipeline_with(rows=6000, max_iter=40))
    project.git("branch", "--force", "main")
    return project


def committed(folder: Path, names: Sequence[str]) -> Project:
    """A repository with these files of the project, on main and on integration."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    project = Project(folder)
    project.git("init", "-q", "--initial-branch", "main")
    project.git("remote", "add", "origin", f"https://github.com/{REPOSITORY}.git")
    project.commit({})
    project.checkout("integration", new=True)
    return project
