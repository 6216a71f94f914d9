"""Runs a workflow file with act on this machine, against stand-ins for third-party actions."""

import json
import os
import platform
import re
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ACT = Path(sys.executable).with_name("act")
STAND_INS = Path(__file__).parent / "stand_ins"
USES = re.compile(r"^\s*(?:-\s+)?uses:\s*([\w./-]+)@(\w+)", re.MULTILINE)
# Part of act itself: it copies the work tree.
BUILT_IN = "actions/checkout"
# act drops what a failing step wrote last when it reads it from a terminal; without /dev/ptmx it
# takes a pipe. The namespace of processes ends whatever a step leaves behind.
ISOLATED = ("unshare", *(("-r",) if os.geteuid() else ()), "--mount", "--pid", "--fork")
ISOLATED += ("--kill-child", "--mount-proc", "--", "/bin/sh", "-c")
ISOLATED += ('mount --bind /dev/null /dev/ptmx && exec "$@"', "_")
DEADLINE_S = 280


@dataclass
class Job:
    """What became of one job. result: success, failure or skipped."""

    result: str = "skipped"
    steps: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    summary: str = ""
    log: str = ""


@dataclass(frozen=True)
class Run:
    """A finished workflow run. jobs: by id, all of the workflow's; log: everything act wrote."""

    exit_code: int
    jobs: Mapping[str, Job]
    log: str
    artifacts: Path

    @property
    def results(self) -> dict[str, str]:
        return {name: job.result for name, job in self.jobs.items()}

    def artifact(self, name: str, path: str) -> dict[str, Any]:
        """A JSON file of an artifact."""
        document = json.loads((self.artifacts / name / path).read_text(encoding="utf-8"))
        assert isinstance(document, dict)
        return document


def is_usable() -> str:
    """Why act cannot run here; empty when it can."""
    if not ACT.is_file():
        return "act is not installed"
    done = subprocess.run([*ISOLATED, "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def run_workflow(
    project: Path,
    workflow: str,
    event: str,
    payload: Mapping[str, Any],
    *,
    run_id: str,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run `.github/workflows/NAME` of a git work tree to its end; folder keeps the artifacts."""
    path = project / ".github" / "workflows" / workflow
    artifacts = folder / "store" / run_id
    artifacts.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="act-") as scratch:
        home = Path(scratch)
        own = {
            "GITHUB_RUN_ID": run_id,
            "STAND_IN_STORE": str(artifacts),
            "STAND_IN_VERSION": platform.python_version(),
            "STAND_IN_PYTHON": str(Path(sys.base_prefix) / "bin"),
            "STAND_IN_PACKAGES": site.getsitepackages()[0],
            **(environment or {}),
        }
        command = [
            *ISOLATED,
            *(str(ACT), event, "--workflows", str(path), "--json", "--strict"),
            *("--platform", "ubuntu-latest=-self-hosted", "--no-cache-server"),
            *("--eventpath", written(home / "event.json", json.dumps(payload))),
            *("--secret-file", pairs(home / "secrets", secrets or {})),
            *("--var-file", pairs(home / "variables", variables or {})),
            *("--env-file", "/dev/null", "--input-file", "/dev/null"),
            *("--action-offline-mode", "--action-cache-path", str(home / "actions")),
            *(part for pair in own.items() for part in ("--env", "=".join(pair))),
            *local_repositories(project, path),
        ]
        log = executed(command, project, home)
    return parsed(log[1], log[0], path, artifacts)


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def pairs(path: Path, values: Mapping[str, str]) -> str:
    return written(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def local_repositories(project: Path, workflow: Path) -> list[str]:
    """act's options that put our stand-in in the place of every action of somebody else."""
    files = [workflow, *(project / ".github" / "actions").glob("*/action.yml")]
    used = {found for file in files for found in USES.findall(file.read_text(encoding="utf-8"))}
    options = []
    for name, ref in sorted(used):
        if name == BUILT_IN:
            continue
        stand_in = STAND_INS / name
        assert stand_in.is_dir(), f"{workflow.name} uses {name}, which has no stand-in here"
        options += ["--local-repository", f"{name}@{ref}={stand_in}"]
    return options


def executed(command: list[str], project: Path, home: Path) -> tuple[int, str]:
    """act's exit code and what it wrote; nothing of it is left afterwards."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb"}
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=DEADLINE_S)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, output


def parsed(output: str, exit_code: int, workflow: Path, artifacts: Path) -> Run:
    """act's lines of JSON as jobs; a job that act never began was skipped."""
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    jobs = {name: Job() for name in document["jobs"]}
    plain = []
    for line in output.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            plain.append(line)
            continue
        plain.append(f"{told.get('jobID', '')}| {str(told.get('msg', '')).rstrip()}")
        if told.get("jobID") in jobs:
            note(jobs[told["jobID"]], told)
    return Run(exit_code, jobs, "\n".join(plain), artifacts)


def note(job: Job, told: Mapping[str, Any]) -> None:
    job.log += f"{told.get('msg', '')}".rstrip() + "\n"
    job.result = told.get("jobResult", job.result)
    if "stepResult" in told and told.get("stage") == "Main" and len(told.get("stepID", [])) == 1:
        job.steps[told["step"]] = told["stepResult"]
    if told.get("command") == "error":
        job.errors.append(told.get("arg", ""))
    if told.get("command") == "summary":
        job.summary += told.get("content", "")
