"""Runs a workflow file of a repository for real, on this machine, with act.

Nothing of a run is left but its store: `<project>-store` beside the repository, with artifacts and
caches. Facts about act are of version 0.2.89.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pytest

from .record import Run, read_run
from .stand_ins import FOLDER, LABELS, find_stand_ins, read_workflow

ACT = Path(sys.executable).with_name("act")
NOTHING: Mapping[str, str] = MappingProxyType({})
TAIL_LINES = 40
# A namespace of processes ends whatever a step leaves behind. From a terminal act loses what a
# failing step wrote last; without /dev/ptmx it reads a pipe, and loses nothing.
ISOLATION = (
    *("unshare", *(() if os.geteuid() == 0 else ("-r",)), "--mount", "--pid", "--fork"),
    *("--kill-child", "--mount-proc", "--", "/bin/sh", "-c"),
    *('mount --bind /dev/null /dev/ptmx && exec "$@"', "_"),
)
# Our stand-ins say that they run on node, so that they get their inputs and a turn after the job as
# the real ones do; this is the node they meet. act itself calls it for hashFiles(), and takes the
# hash for empty, without a word, where there is none. It is bash that runs it: some other shells
# drop a variable whose name has a dash, as INPUT_RESTORE-KEYS.
# Without site-packages a start takes half the time, and a run starts dozens.
NODE = """#!/usr/bin/env bash
export PYTHONPATH="$ACT_STAND_IN_CODE" PYTHONDONTWRITEBYTECODE=1
case "$1" in
  */workflow/hashfiles/index.js) set -- "$ACT_STAND_IN_CODE/hash_files.py" ;;
  *.py) ;;
  *) echo "::error::the node of these tests runs only stand-ins, not $1" && exit 1 ;;
esac
exec "$ACT_STAND_IN_PYTHON" -S "$@"
"""


class ActTimeout(AssertionError):
    """The run did not end in time; all its processes are gone. The text ends with its log's."""


class ActFailure(AssertionError):
    """act gave up before any job began."""


@functools.cache
def why_unusable() -> str:
    """Why act cannot run on this machine; empty when it can."""
    if not ACT.is_file():
        return f"act is not installed beside {sys.executable}"
    try:
        done = subprocess.run(
            [*ISOLATION, "true"], capture_output=True, text=True, check=False, timeout=30
        )
    except FileNotFoundError:
        return "there is no unshare on this machine"
    return done.stderr.strip() or f"unshare: exit code {done.returncode}" if done.returncode else ""


def run_workflow(
    project: Path,
    workflow: str,
    event: str,
    payload: Mapping[str, Any],
    *,
    variables: Mapping[str, str] = NOTHING,
    secrets: Mapping[str, str] = NOTHING,
    environment: Mapping[str, str] = NOTHING,
    timeout_s: float = 280,
) -> Run:
    """Run `.github/workflows/<workflow>` of a git work tree to its end.

    payload: the event as GitHub sends it; the work tree must be at the commit it speaks of, for
    GITHUB_SHA is its HEAD. environment: for every step, and over ours: GITHUB_RUN_ID (else one more
    than the last), ACT_STAND_IN_STORE, ACT_STAND_IN_VENV. GITHUB_TOKEN belongs among the secrets.
    Raises UnfitWorkflow, ActFailure or ActTimeout; skips the test where act cannot run.
    """
    if why_unusable():
        pytest.skip(f"act cannot run here: {why_unusable()}")
    path = project / ".github" / "workflows" / workflow
    document = read_workflow(path)
    own = {**own_environment(project, environment), **environment}
    artifacts = Path(own["ACT_STAND_IN_STORE"]) / "artifacts" / own["GITHUB_RUN_ID"]
    artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="act-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        command = [
            *(*ISOLATION, str(ACT), event, "--workflows", str(path), "--json", "--strict"),
            *(part for label in LABELS for part in ("--platform", f"{label}=-self-hosted")),
            *("--eventpath", write_json(home / "event.json", payload)),
            # YAML, which JSON is: the other format that act reads gives some signs a meaning.
            *("--secret-file", write_json(home / "secrets.yml", secrets)),
            *("--var-file", write_json(home / "variables.yml", variables)),
            *("--env-file", "/dev/null", "--input-file", "/dev/null", "--no-cache-server"),
            *("--action-offline-mode", "--action-cache-path", str(home / "actions")),
            *("--actor", own.get("GITHUB_ACTOR", "somebody")),
            *(part for name, value in own.items() for part in ("--env", f"{name}={value}")),
        ]
        for name, folder in find_stand_ins(project, document).items():
            command += ["--local-repository", f"{name}={folder}"]
        exit_code, stream = execute(command, project, home, timeout_s)
    run = read_run(stream, exit_code, document, artifacts)
    if exit_code and set(run.results.values()) == {"skipped"}:
        raise ActFailure(f"act ran no job of {workflow}:\n{tail(stream)}")
    return run


def own_environment(project: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What the stand-ins need, and a number that this repository's runs have not had."""
    store = Path(given.get("ACT_STAND_IN_STORE", project.with_name(f"{project.name}-store")))
    had = [int(path.name) for path in store.glob("artifacts/*") if path.name.isdecimal()]
    return {
        "ACT_STAND_IN_CODE": str(FOLDER),
        "ACT_STAND_IN_PYTHON": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
        "ACT_STAND_IN_STORE": str(store),
        "ACT_STAND_IN_VENV": sys.prefix,
        "GITHUB_RUN_ID": str(max(had, default=1000) + 1),
    }


def write_json(path: Path, document: Mapping[str, Any]) -> str:
    path.write_text(json.dumps(dict(document)), encoding="utf-8")
    return str(path)


def execute(command: list[str], project: Path, home: Path, timeout_s: float) -> tuple[int, str]:
    """Exit code and all that was written; no process of it is left, however this ends."""
    process = subprocess.Popen(
        command,
        cwd=project,
        env={"PATH": search_path(home), "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        written, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        written = end(process)
        text = tail(written.decode(errors="replace"))
        raise ActTimeout(f"act did not end within {timeout_s} s; it last wrote:\n{text}") from None
    except BaseException:
        end(process)
        raise
    return process.returncode, written.decode(errors="replace")


def end(process: subprocess.Popen[bytes]) -> bytes:
    """Kill the first process of the namespace: the kernel ends the others before unshare hears."""
    try:
        children = psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        children = []
    for child in children:
        child.kill()
    if not children:
        process.kill()
    written, _ = process.communicate()
    return written


def search_path(home: Path) -> str:
    """Ours without the environment that the tests run in: what a step wants, it must set up."""
    programs = home / "programs"
    programs.mkdir()
    (programs / "node").write_text(NODE, encoding="utf-8")
    (programs / "node").chmod(0o755)
    here = Path(sys.executable).parent
    others = [each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != here]
    return os.pathsep.join([str(programs), *others])


def tail(stream: str) -> str:
    return "\n".join(list(readable(stream))[-TAIL_LINES:])


def readable(stream: str) -> Iterator[str]:
    for line in stream.splitlines():
        try:
            told = json.loads(line)
            yield f"{told.get('jobID', '-')} | {str(told['msg']).rstrip()}"
        except (ValueError, TypeError, KeyError, AttributeError):
            yield line
