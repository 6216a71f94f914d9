"""Running one step: its folder, its paths, its process, its end."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taxiops.emulator.state.processes import Process

POLL_S = 0.02
# What must not leak from the emulator's own environment into a job: credentials and identities,
# the workflow that started the emulator, the settings of its operator, another cloud.
SCRUBBED = frozenset({"AZUREML_CURRENT_CLOUD", "GH_TOKEN"})
SCRUBBED_PREFIXES = (
    "ACTIONS_",
    "AML_",
    "ARM_",
    "AZURE_",
    "GITHUB_",
    "IDENTITY_",
    "IMDS_",
    "MSI_",
    "TAXIOPS_",
)
TAIL_CHARACTERS = 4000


class StepFailed(Exception):
    """A step could not be run or failed; the text is what the job's error says."""


@dataclass(frozen=True)
class StepRun:
    """A resolved step: what to run, where, and where its log goes."""

    command: str
    code: Path | None
    folder: Path
    environment: Mapping[str, str]
    timeout_s: float | None

    @property
    def log(self) -> Path:
        return self.folder / "user_logs" / "std_log.txt"


@dataclass(frozen=True)
class StepEnd:
    """How a step ended: Completed, Failed or Canceled, and why it failed."""

    status: str
    message: str = ""


def run_step(run: StepRun, cancelled: threading.Event) -> StepEnd:
    """Run to the end, to the time limit or to cancellation. The process group ends in any case."""
    work = run.folder / "wd"
    work.mkdir(parents=True, exist_ok=True)
    if run.code is not None:
        shutil.copytree(run.code, work, dirs_exist_ok=True)
    shell = shutil.which("bash") or "/bin/sh"
    environment = step_environment(run.environment)
    begin = time.monotonic()
    process = Process([shell, "-c", run.command], cwd=work, env=environment, log=run.log)
    while True:
        if cancelled.is_set():
            process.end()
            return StepEnd("Canceled", "The job was canceled.")
        if run.timeout_s is not None and time.monotonic() - begin > run.timeout_s:
            process.end()
            return StepEnd(
                "Failed", f"The step ran longer than its limit of {run.timeout_s:.0f} s."
            )
        try:
            code = process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
        return end_of(code, run.log)


def end_of(code: int, log: Path) -> StepEnd:
    if code == 0:
        return StepEnd("Completed")
    return StepEnd("Failed", f"Execution failed with exit code {code}. Last lines:\n{tail(log)}")


def tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_CHARACTERS))
            return stream.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def step_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The emulator's environment without secrets, our interpreter first on PATH, and the step's."""
    environment = {key: value for key, value in os.environ.items() if not is_scrubbed(key)}
    binaries = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([binaries, environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    return {**environment, **own}


def is_scrubbed(variable: str) -> bool:
    return variable in SCRUBBED or variable.startswith(SCRUBBED_PREFIXES)
