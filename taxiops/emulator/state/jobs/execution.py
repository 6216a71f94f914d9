"""Running one step: its folder, its paths, its process, its end."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.processes import Process

OWN_BINARIES = Path(sys.executable).parent
LOG = "user_logs/std_log.txt"
# The folders below the working directory that Azure ML uploads as the job's artifacts.
COLLECTED = ("outputs", "logs")
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
# What says where our own interpreter finds packages, and means nothing to another one.
OF_OUR_INTERPRETER = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
TAIL_CHARACTERS = 4000


class StepFailed(Exception):
    """A step could not be run or failed; the text is what the job's error says."""


@dataclass(frozen=True)
class StepRun:
    """A resolved step: what to run, where, and where what it leaves goes.

    work: the folder it runs in, a copy of `code`; artifacts: the folder of its log and of what it
    writes to `./outputs` and `./logs`; binaries: what stands first on its PATH.
    """

    command: str
    code: Path | None
    work: Path
    artifacts: Path
    environment: Mapping[str, str]
    timeout_s: float | None = None
    binaries: Path = OWN_BINARIES

    @property
    def log(self) -> Path:
        return self.artifacts / LOG


@dataclass(frozen=True)
class StepEnd:
    """How a step ended: Completed, Failed or Canceled, and why it failed."""

    status: str
    message: str = ""


def run_step(run: StepRun, cancellation: Cancellation) -> StepEnd:
    """Run to the end, to the time limit or to cancellation. The process group ends in any case."""
    lay_out(run)
    shell = shutil.which("bash") or "/bin/sh"
    environment = step_environment(run.environment, run.binaries)
    process = Process([shell, "-c", run.command], cwd=run.work, env=environment, log=run.log)
    with cancellation.calling(process.ask_to_end), limit(run.timeout_s, process) as is_late:
        code = process.wait()
    for name in COLLECTED:
        collect(run.work / name, run.artifacts / name)
    if cancellation.is_set():
        return StepEnd("Canceled", "The job was canceled.")
    if is_late():
        return StepEnd(
            "Failed",
            f"The step ran longer than its limit of {run.timeout_s:.0f} s and was ended "
            f"(JobExceededTimeLimit). Last lines:\n{tail(run.log)}",
        )
    return end_of(code, run.log)


def lay_out(run: StepRun) -> None:
    """A copy of the code to run in, with the folders Azure ML makes for what it collects."""
    run.work.mkdir(parents=True, exist_ok=True)
    if run.code is not None and run.code.is_file():
        shutil.copy2(run.code, run.work)
    elif run.code is not None:
        shutil.copytree(run.code, run.work, dirs_exist_ok=True)
    for name in COLLECTED:
        if not (run.work / name).exists():
            (run.work / name).mkdir()


def collect(source: Path, target: Path) -> None:
    """Move what a step left in a folder to its artifacts; what is there of that name goes."""
    if not source.is_dir() or source.is_symlink():
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, destination)


@contextmanager
def limit(timeout_s: float | None, process: Process) -> Iterator[Callable[[], bool]]:
    """End the process after a time; gives what tells whether that happened."""
    if timeout_s is None:
        yield lambda: False
        return
    late = threading.Event()

    def strike() -> None:
        late.set()
        process.ask_to_end()

    timer = threading.Timer(timeout_s, strike)
    timer.daemon = True
    timer.start()
    try:
        yield late.is_set
    finally:
        timer.cancel()


def end_of(code: int, log: Path) -> StepEnd:
    """In the words of Azure ML, with the end of the log."""
    if code == 0:
        return StepEnd("Completed")
    return StepEnd(
        "Failed",
        f"Execution failed. User process '/bin/bash' exited with status code {code}. "
        "Please check log file "
        f"'{LOG}' for error details. Error:\n{tail(log)}",
    )


def tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_CHARACTERS))
            return stream.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def step_environment(own: Mapping[str, str], binaries: Path = OWN_BINARIES) -> dict[str, str]:
    """The emulator's environment without secrets, an interpreter first on PATH, and the step's."""
    environment = {key: value for key, value in os.environ.items() if not is_scrubbed(key)}
    if binaries != OWN_BINARIES:
        for name in OF_OUR_INTERPRETER:
            environment.pop(name, None)
    environment["PATH"] = os.pathsep.join([str(binaries), environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    return {**environment, **own}


def is_scrubbed(variable: str) -> bool:
    return variable in SCRUBBED or variable.startswith(SCRUBBED_PREFIXES)
