"""Runs submitted jobs to their end: commands, pipelines and sweeps."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.jobs.commands import Run, ended
from taxiops.emulator.state.jobs.documents import now
from taxiops.emulator.state.jobs.execution import StepEnd
from taxiops.emulator.state.jobs.parts import Parts
from taxiops.emulator.state.jobs.pipeline_running import PipelineRun
from taxiops.emulator.state.jobs.sweep_running import SweepRun
from taxiops.emulator.state.jobs.values import Value, kind_of

Json = dict[str, Any]


class Runner:
    """Runs submitted jobs to their end."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(self, scope: str, name: str, cancellation: Cancellation) -> None:
        """Run a stored job; how it ended goes into its document. Raises Unresolved when deleted."""
        documents = self._parts.documents
        document = documents.update(scope, name, status="Running", started=now())
        properties = document["properties"]
        experiment = str(properties.get("experimentName") or "Default")
        settings = graph.settings_of(properties)
        run = Run(scope, name, experiment, settings, cancellation)
        try:
            given = properties.get("inputs") or {}
            inputs = self._parts.bindings.own_inputs(scope, name, given)
            ACTS[str(properties.get("jobType"))](self._parts, run, properties, inputs)
            end = StepEnd("Completed")
        except Exception as error:
            end = ended(run, error)
        documents.update(scope, name, status=end.status, error=end.message, ended=now())


def run_command(parts: Parts, run: Run, properties: Json, inputs: Mapping[str, Value]) -> None:
    parts.commands.run(run, run.root, graph.command_step(run.root, properties), inputs, {})


def run_pipeline(parts: Parts, run: Run, properties: Json, inputs: Mapping[str, Value]) -> None:
    outputs, nodes = properties.get("outputs") or {}, properties.get("jobs") or {}
    if properties.get("componentId") and not nodes:
        spec = parts.bindings.spec(run.scope, properties)
        nodes = spec.get("jobs") or {}
        inputs = {**defaults(spec), **inputs}
        given = {key: each for key, each in outputs.items() if each}
        outputs = {**(spec.get("outputs") or {}), **given}
    PipelineRun(parts, run, run.root, nodes, inputs, outputs).run()
    parts.outputs.register(run.scope, run.root, outputs)


def defaults(spec: Json) -> dict[str, Value]:
    """The values of a component's inputs that nobody gives."""
    declared = {
        key: (each or {}).get("default") for key, each in (spec.get("inputs") or {}).items()
    }
    return {
        key: Value(graph.literal_text(each)) for key, each in declared.items() if each is not None
    }


def run_sweep(parts: Parts, run: Run, properties: Json, inputs: Mapping[str, Value]) -> None:
    trial = {**(properties.get("trial") or {}), "outputs": properties.get("outputs")}
    step = replace(graph.command_step(run.root, trial), outputs={})
    step = replace(step, spec={**step.spec, "outputs": declared(properties)})
    SweepRun(parts, run, run.root, step, properties, inputs).run({})
    parts.outputs.register(run.scope, run.root, properties.get("outputs") or {})


def declared(properties: Json) -> Json:
    """The outputs of a sweep as those of a component that all trials have."""
    outputs = properties.get("outputs") or {}
    return {key: {"type": kind_of(each or {})} for key, each in outputs.items()}


ACTS: dict[str, Callable[[Parts, Run, Json, Mapping[str, Value]], None]] = {
    "Command": run_command,
    "Pipeline": run_pipeline,
    "Sweep": run_sweep,
}
