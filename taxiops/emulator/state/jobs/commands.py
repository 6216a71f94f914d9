"""Runs the commands of jobs, a few at a time; knows no pipeline."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from taxiops.emulator.state.assets.assets import Unresolved
from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.bindings import Bindings
from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.jobs.documents import JobDocuments
from taxiops.emulator.state.jobs.downloads import NotFetched
from taxiops.emulator.state.jobs.environment_specs import BadEnvironment
from taxiops.emulator.state.jobs.environments import Environments
from taxiops.emulator.state.jobs.execution import StepEnd, StepFailed, StepRun, run_step
from taxiops.emulator.state.jobs.outputs import Outputs, make_folders
from taxiops.emulator.state.jobs.surroundings import JobSecrets, Surroundings, run_variables
from taxiops.emulator.state.jobs.values import Value
from taxiops.emulator.state.tracking.runs import Tracking

Json = dict[str, Any]
logger = logging.getLogger(__name__)
# Where Azure ML keeps the log of the image that it built for a job.
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
PARALLEL_STEPS = 3
SLOT_POLL_S = 0.05
# Errors whose text is a sentence for the user, and others that a job may end in.
IN_WORDS = (StepFailed, graph.BadGraph, Unresolved, BadEnvironment, NotFetched)
BROKEN = (OSError, ValueError, KeyError)


@dataclass(frozen=True)
class Run:
    """What all steps of one submitted job share."""

    scope: str
    root: str
    experiment: str
    settings: graph.Settings
    cancellation: Cancellation

    def check(self) -> None:
        """Raises StepFailed when the job was cancelled."""
        if self.cancellation.is_set():
            raise StepFailed("The job was canceled.")


class Commands:
    """Runs commands, at most PARALLEL_STEPS at a time."""

    def __init__(
        self,
        documents: JobDocuments,
        bindings: Bindings,
        outputs: Outputs,
        surroundings: Surroundings,
        secrets: JobSecrets,
        tracking: Tracking,
        environments: Environments,
    ) -> None:
        self.environments = environments
        self._tracking = tracking
        self._documents, self._bindings, self._outputs = documents, bindings, outputs
        self._surroundings, self._secrets = surroundings, secrets
        self._slots = threading.Semaphore(PARALLEL_STEPS)

    def run(
        self,
        run: Run,
        name: str,
        step: graph.Step,
        values: Mapping[str, Value],
        bound: Mapping[str, Json],
    ) -> dict[str, Value]:
        """Run one command to its end; returns its outputs. Raises IN_WORDS and BROKEN."""
        made = self._outputs.make(run.scope, name, step, bound, run.settings.datastore)
        self._outputs.show(run.scope, name, step.outputs)
        command = graph.command_of(
            str(step.spec.get("command", "")),
            {key: each.text for key, each in values.items()},
            {key: each.text for key, each in made.items()},
        )
        artifacts = self._documents.artifacts(run.scope, name)
        interpreter = self.environments.interpreter(
            run.scope, step.environment, artifacts / BUILD_LOG, run.cancellation
        )
        with self._slot(run), self._secrets.lend() as secret:
            tags = {"mlflow.rootRunId": run.root, "mlflow.source.type": "JOB"}
            tracked = self._tracking.open(run.scope, name, run.experiment, tags)
            own = self._variables(step, {**values, **made})
            telling = run_variables(run.scope, run.root, name, run.experiment)
            reaching = self._surroundings.reach(run.scope, secret, tracked["experiment"])
            step_run = StepRun(
                command=command,
                code=self._bindings.code(run.scope, step),
                work=self._documents.folder / name / "wd",
                artifacts=artifacts,
                environment={**own, **ports(values, made), **telling, **reaching},
                timeout_s=step.timeout_s,
                binaries=interpreter.binaries,
            )
            end = run_step(step_run, run.cancellation)
            if end.status == "Failed" and make_folders(made.values(), end.message):
                end = run_step(step_run, run.cancellation)
            self._tracking.close(run.scope, name, end.status)
        if end.status != "Completed":
            raise StepFailed(end.message)
        self._outputs.register(run.scope, name, step.outputs)
        return made

    @contextmanager
    def _slot(self, run: Run) -> Iterator[None]:
        """Wait for a slot. Raises StepFailed when the job is cancelled first."""
        while not self._slots.acquire(timeout=SLOT_POLL_S):
            run.check()
        try:
            run.check()
            yield
        finally:
            self._slots.release()

    def _variables(self, step: graph.Step, values: Mapping[str, Value]) -> dict[str, str]:
        """What points at the emulator, unless the step's own variables say otherwise."""
        own = {**(step.spec.get("environment_variables") or {}), **step.environment_variables}
        texts = {key: each.text for key, each in values.items()}
        filled = {str(key): graph.filled(str(value), texts) for key, value in own.items()}
        return {**self._surroundings.variables(os.environ), **filled}


def ports(inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> dict[str, str]:
    """The variables in which Azure ML repeats the values of inputs and outputs."""
    return {
        f"AZURE_ML_{direction}_{key}": value.text
        for direction, values in (("INPUT", inputs), ("OUTPUT", outputs))
        for key, value in values.items()
    }


def ended(run: Run, error: Exception) -> StepEnd:
    """How work ended that raised; what is our own fault goes to the log."""
    if run.cancellation.is_set():
        return StepEnd("Canceled", "The job was canceled.")
    if isinstance(error, IN_WORDS):
        return StepEnd("Failed", str(error))
    if isinstance(error, BROKEN):
        return StepEnd("Failed", f"{type(error).__name__}: {error}")
    logger.error("%s of the job %s", type(error).__name__, run.root, exc_info=error)
    return StepEnd("Failed", "The emulator failed; see its log: taxiops emulator logs.")
