"""Runs jobs: one command, or a pipeline's steps as soon as what they depend on has ended."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.emulator.state import graph
from taxiops.emulator.state.assets import Unresolved
from taxiops.emulator.state.execution import StepEnd, StepFailed, StepRun, run_step
from taxiops.emulator.state.job_bindings import Bindings
from taxiops.emulator.state.job_documents import JobDocuments, now
from taxiops.emulator.state.job_environment import JobSecrets, Surroundings, run_variables

Json = dict[str, Any]
Paths = dict[str, str]
PARALLEL_STEPS = 3
SLOT_POLL_S = 0.05
BROKEN = (graph.BadGraph, Unresolved, OSError, ValueError, KeyError)


@dataclass(frozen=True)
class Run:
    """What all steps of one submitted job share."""

    scope: str
    root: str
    experiment: str | None
    cancelled: threading.Event

    def check(self) -> None:
        """Raises StepFailed when the job was cancelled."""
        if self.cancelled.is_set():
            raise StepFailed("The job was canceled.")


class Runner:
    """Runs submitted jobs to their end, at most PARALLEL_STEPS commands at a time."""

    def __init__(
        self,
        documents: JobDocuments,
        bindings: Bindings,
        surroundings: Surroundings,
        secrets: JobSecrets,
    ) -> None:
        self._documents, self._bindings = documents, bindings
        self._surroundings, self._secrets = surroundings, secrets
        self._slots = threading.Semaphore(PARALLEL_STEPS)

    def run(self, scope: str, name: str, cancelled: threading.Event) -> None:
        """Run a stored job; how it ended goes into its document. Raises Unresolved when deleted."""
        document = self._documents.update(scope, name, status="Running", started=now())
        properties = document["properties"]
        run = Run(scope, name, properties.get("experimentName"), cancelled)
        try:
            inputs = self._bindings.own_inputs(scope, properties.get("inputs") or {})
            if properties.get("jobType") == "Pipeline":
                self.pipeline(run, name, properties.get("jobs") or {}, inputs)
            else:
                self.command(run, name, graph.command_step(name, properties), inputs)
            end = StepEnd("Completed")
        except StepFailed as error:
            end = StepEnd("Canceled" if cancelled.is_set() else "Failed", str(error))
        except BROKEN as error:
            end = StepEnd("Failed", f"{type(error).__name__}: {error}")
        self._documents.update(scope, name, status=end.status, error=end.message, ended=now())

    def command(self, run: Run, name: str, step: graph.Step, values: Mapping[str, str]) -> Paths:
        """Run one command; returns its outputs' paths. Raises StepFailed and BROKEN."""
        self._bindings.make_outputs(run.scope, name, step)
        paths = self._documents.output_paths(run.scope, name)
        command = graph.command_of(str(step.spec.get("command", "")), values, paths)
        code = self._bindings.code(run.scope, step)
        with self._slot(run), self._secrets.lend() as secret:
            variables = self._variables(run, name, step, secret)
            folder = self._documents.folder / name
            end = run_step(StepRun(command, code, folder, variables, step.timeout_s), run.cancelled)
        if end.status != "Completed":
            raise StepFailed(end.message)
        self._bindings.register_outputs(run.scope, name, step)
        return paths

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

    def _variables(self, run: Run, name: str, step: graph.Step, secret: str) -> dict[str, str]:
        own = {**(step.spec.get("environment_variables") or {}), **step.environment_variables}
        return {
            **self._surroundings.variables(os.environ),
            **{str(key): str(value) for key, value in own.items()},
            **run_variables(run.scope, run.root, name, run.experiment or ""),
            **self._surroundings.identity(secret),
        }

    def pipeline(
        self, run: Run, name: str, nodes: Mapping[str, Json], inputs: Mapping[str, str]
    ) -> Paths:
        """Run a pipeline's steps; returns its outputs' paths. Raises StepFailed and BROKEN."""
        steps = self._bindings.steps(run.scope, nodes)
        PipelineRun(self._documents, self._bindings, self.step, run, name, steps, inputs).run()
        return self._documents.output_paths(run.scope, name)

    def step(self, run: Run, child: str, step: graph.Step, values: Mapping[str, str]) -> Paths:
        """Run one step of a pipeline, which may be a pipeline itself."""
        if step.kind == "pipeline":
            return self.pipeline(run, child, step.spec.get("jobs") or {}, values)
        return self.command(run, child, step, values)


class PipelineRun:
    """One pass through the steps of one pipeline; its first failure ends the rest."""

    def __init__(
        self,
        documents: JobDocuments,
        bindings: Bindings,
        run_one: Callable[[Run, str, graph.Step, Mapping[str, str]], Paths],
        run: Run,
        name: str,
        steps: list[graph.Step],
        inputs: Mapping[str, str],
    ) -> None:
        self._documents, self._bindings, self._run_one = documents, bindings, run_one
        self._run, self._name, self._steps, self._inputs = run, name, steps, inputs
        self._log = PipelineLog(documents.folder / name / "logs" / "azureml" / "executionlogs.txt")
        self._children = {step.name: str(uuid.uuid4()) for step in steps}
        self._ended = {step.name: threading.Event() for step in steps}
        self._outputs: dict[tuple[str, str], str] = {}
        self._failures: list[str] = []

    def run(self) -> None:
        """Run all steps. Raises StepFailed; the outputs of steps that ran are published first."""
        for step in self._steps:
            self._create_child(step)
        with ThreadPoolExecutor(max_workers=max(1, len(self._steps))) as pool:
            list(pool.map(self._run_step, self._steps))
        children = {self._children[step.name]: step for step in self._steps}
        self._bindings.publish_outputs(self._run.scope, self._name, children)
        self._run.check()
        if self._failures:
            raise StepFailed(self._failures[0])

    def _create_child(self, step: graph.Step) -> None:
        properties = {
            "jobType": "Pipeline" if step.kind == "pipeline" else "Command",
            "displayName": step.display_name,
            "experimentName": self._run.experiment,
            "command": step.spec.get("command"),
            "environmentId": arm_id(step.spec.get("environment")),
            "codeId": arm_id(step.spec.get("code")),
            "inputs": {},
            "outputs": {
                key: {"jobOutputType": "uri_folder"} for key in step.spec.get("outputs") or {}
            },
            "tags": {},
            "properties": {},
        }
        self._documents.add(
            self._run.scope,
            self._children[step.name],
            properties,
            parent=self._name,
            root=self._run.root,
            step=step.name,
            status="NotStarted",
        )

    def _run_step(self, step: graph.Step) -> None:
        child = self._children[step.name]
        try:
            for dependency in graph.dependencies(step):
                self._ended[dependency].wait()
            if self._failures or self._run.cancelled.is_set():
                self._update(child, status="Canceled", ended=now())
                return
            values = self._bindings.inputs(self._run.scope, step, self._inputs, self._outputs)
            self._log.write(f"Step {step.name} ({child}) started.")
            self._update(child, status="Running", started=now())
            made = self._run_one(self._run, child, step, values)
            self._update(child, status="Completed", ended=now())
            self._outputs.update({(step.name, key): path for key, path in made.items()})
            self._log.write(f"Step {step.name} completed.")
        except (StepFailed, *BROKEN) as error:
            status = "Canceled" if self._run.cancelled.is_set() else "Failed"
            self._update(child, status=status, error=str(error), ended=now())
            self._log.write(f"Step {step.name} failed: {error}")
            self._failures.append(f"Step {step.name} failed: {error}")
        finally:
            self._ended[step.name].set()

    def _update(self, child: str, **changes: object) -> None:
        self._documents.update(self._run.scope, child, **changes)


class PipelineLog:
    """The execution log of a pipeline; lines from several steps never mix."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = path, threading.Lock()

    def write(self, line: str) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"[{now()}] {line}\n")


def arm_id(reference: object) -> object:
    """A job names its code and environment by plain ARM id; a component with `azureml:` before."""
    return reference.removeprefix("azureml:") if isinstance(reference, str) else reference
