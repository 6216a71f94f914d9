"""Which code this is (commit, branch) and where it stands; asks git, changes nothing."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taxiops.domain.chain import OBJECT_NAME
from taxiops.errors import UsageError

UNKNOWN = "unknown"
GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class Revision:
    """A commit (with -dirty when tracked files differ from it) and a branch, or `unknown`."""

    commit: str
    branch: str


def read_revision(root: Path, environ: Mapping[str, str] = os.environ) -> Revision:
    """What is checked out at `root`; on a GitHub runner the branch is the event's."""
    commit = git(root, "rev-parse", "HEAD")
    if not commit:
        return Revision(
            environ.get("GITHUB_SHA") or UNKNOWN, environ.get("GITHUB_REF_NAME") or UNKNOWN
        )
    dirty = "-dirty" if git(root, "status", "--porcelain", "--untracked-files=no") else ""
    branch = (
        environ.get("GITHUB_HEAD_REF")
        or environ.get("GITHUB_REF_NAME")
        or git(root, "rev-parse", "--abbrev-ref", "HEAD")
        or UNKNOWN
    )
    return Revision(commit + dirty, branch)


def git(root: Path, *arguments: str) -> str:
    """What git prints; empty when it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit_object(root: Path, name: str) -> bytes | None:
    """The bytes of a commit object of the repository at `root`; None when it is not there."""
    if not OBJECT_NAME.fullmatch(name):
        return None
    try:
        done = subprocess.run(
            ["git", "cat-file", "commit", name],
            cwd=root,
            capture_output=True,
            check=False,
            timeout=GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def require_file(root: Path, name: str) -> Path:
    """`root/name`; raises UsageError when this is not a checkout of the project."""
    path = root / name
    if not path.is_file():
        raise UsageError(
            f"{path}: not there, but a deployment needs it.",
            why="The code that Azure ML runs is uploaded from the repository.",
            hint="Run taxiops inside a clone of the repository.",
            code="not-in-repository",
        )
    return path
