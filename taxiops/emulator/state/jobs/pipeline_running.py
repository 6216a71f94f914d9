"""Runs the steps of a pipeline as soon as what they depend on has ended."""

import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.child_jobs import child_properties, reused_properties
from taxiops.emulator.state.jobs.commands import Run, ended
from taxiops.emulator.state.jobs.documents import PIPELINE_LOG, now
from taxiops.emulator.state.jobs.execution import StepFailed
from taxiops.emulator.state.jobs.outputs import joined
from taxiops.emulator.state.jobs.parts import Parts
from taxiops.emulator.state.jobs.reuse import key_of
from taxiops.emulator.state.jobs.run_log import RunLog
from taxiops.emulator.state.jobs.sweep_running import SweepRun
from taxiops.emulator.state.jobs.values import Value

Json = dict[str, Any]


class PipelineRun:
    """One pass through the steps of one pipeline, which may be a step itself."""

    def __init__(
        self,
        parts: Parts,
        run: Run,
        name: str,
        nodes: Mapping[str, Json],
        inputs: Mapping[str, Value],
        outputs: Mapping[str, Json],
    ) -> None:
        """outputs: what is asked of the pipeline's own outputs. Raises as Bindings.steps does."""
        self._parts, self._run, self._name = parts, run, name
        self._inputs, self._asked = inputs, outputs
        self._steps = parts.bindings.steps(run.scope, nodes, inputs)
        log = parts.documents.artifacts(run.scope, name) / PIPELINE_LOG
        self._log = RunLog(log)
        self._children = {step.name: str(uuid.uuid4()) for step in self._steps}
        self._ended = {step.name: threading.Event() for step in self._steps}
        self._outputs: dict[tuple[str, str], Value] = {}
        self._failed: dict[str, str] = {}
        self._skipped: set[str] = set()

    def run(self) -> dict[str, Value]:
        """Run all steps; returns the pipeline's outputs.

        Raises StepFailed; the outputs of steps that ran are published first.
        """
        for step in self._steps:
            self._create_child(step)
        with (
            self._run.cancellation.derived() as cancellation,
            ThreadPoolExecutor(max_workers=max(1, len(self._steps))) as pool,
        ):
            part = replace(self._run, cancellation=cancellation)
            list(pool.map(lambda step: self._run_step(part, step), self._steps))
        children = {self._children[step.name]: step for step in self._steps}
        self._parts.outputs.publish(self._run.scope, self._name, children)
        self._parts.outputs.show(self._run.scope, self._name, self._asked)
        self._run.check()
        if self._failed:
            raise StepFailed(failure_of(self._failed))
        return self._parts.outputs.values(self._run.scope, self._name)

    def _create_child(self, step: graph.Step) -> None:
        self._parts.documents.add(
            self._run.scope,
            self._children[step.name],
            child_properties(step, self._run.experiment),
            parent=self._name,
            root=self._run.root,
            step=step.name,
            status="NotStarted",
        )

    def _run_step(self, run: Run, step: graph.Step) -> None:
        child = self._children[step.name]
        try:
            needed = graph.dependencies(step)
            for dependency in needed:
                self._ended[dependency].wait()
            if run.cancellation.is_set() or needed & {*self._failed, *self._skipped}:
                self._skipped.add(step.name)
                self._update(child, status="Canceled", ended=now())
                return
            self._log.write(f"Step {step.name} ({child}) started.")
            self._update(child, status="Running", started=now())
            made = self._begin(run, child, step)
            self._update(child, status="Completed", ended=now())
            self._outputs.update({(step.name, key): value for key, value in made.items()})
            self._log.write(f"Step {step.name} completed.")
        except Exception as error:
            end = ended(run, error)
            self._update(child, status=end.status, error=end.message, ended=now())
            self._log.write(f"Step {step.name} {end.status.lower()}: {end.message}")
            if end.status == "Canceled":
                self._skipped.add(step.name)
                return
            self._failed[step.name] = end.message
            if not run.settings.does_continue:
                run.cancellation.set()
        finally:
            self._ended[step.name].set()

    def _begin(self, run: Run, child: str, step: graph.Step) -> dict[str, Value]:
        """Run a step, or take what an identical one made; returns its outputs."""
        scope, bindings = run.scope, self._parts.bindings
        values = bindings.inputs(scope, child, step, self._inputs, self._outputs)
        variables = bindings.variables(step.environment_variables, self._inputs, self._outputs)
        step = replace(step, environment_variables=variables)
        shown = {key: value.rest() for key, value in values.items()}
        self._parts.documents.amend(scope, child, inputs=shown)
        asked = self._asked_of(step)
        if step.kind == "pipeline":
            nodes = step.spec.get("jobs") or {}
            made = PipelineRun(self._parts, run, child, nodes, values, asked).run()
            self._parts.outputs.register(scope, child, step.outputs)
            return made
        if step.kind == "sweep":
            made = SweepRun(self._parts, run, child, step, step.node, values).run(asked)
            self._parts.outputs.register(scope, child, step.outputs)
            return made
        interpreter = self._parts.commands.environments.identity(scope, step.environment)
        key = key_of(step, values, asked, interpreter)
        original = self._parts.reuse.find(scope, key) if key else None
        if original and not run.settings.is_rerun_forced:
            self._log.write(f"Step {step.name} reuses the outputs of {original['name']}.")
            self._parts.documents.amend(scope, child, properties=reused_properties(original))
            made = self._parts.outputs.reuse(scope, child, original["name"])
            self._parts.outputs.show(scope, child, step.outputs)
            return made
        made = self._parts.commands.run(run, child, step, values, asked)
        if key:
            self._parts.reuse.keep(scope, key, child)
        return made

    def _asked_of(self, step: graph.Step) -> dict[str, Json]:
        """What is asked of a step's outputs: by itself, and by the pipeline's they are bound to."""
        asked = {}
        for key, binding in step.outputs.items():
            own = {k: v for k, v in (binding or {}).items() if v is not None}
            match = graph.PARENT_OUTPUT.search(graph.address(own))
            asked[key] = joined(own, (self._asked.get(match[1]) or {}) if match else {})
        return asked

    def _update(self, child: str, **changes: object) -> None:
        self._parts.documents.update(self._run.scope, child, **changes)


def failure_of(failed: Mapping[str, str]) -> str:
    """Why a pipeline failed, first as Azure says it, then what its steps said."""
    nodes = ", ".join(f"/{name}" for name in sorted(failed))
    return "\n".join(
        [
            f"Pipeline has failed child jobs. Failed nodes: {nodes}. For more details and logs, "
            "please go to the job detail page and check the child jobs.",
            *(f"Step {name} failed: {message}" for name, message in failed.items()),
        ]
    )
