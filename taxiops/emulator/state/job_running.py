"""Runs submitted jobs to their end: commands and pipelines."""

from collections.abc import Mapping
from typing import Any

from taxiops.emulator.state import graph
from taxiops.emulator.state.cancellation import Cancellation
from taxiops.emulator.state.execution import StepEnd
from taxiops.emulator.state.job_bindings import Bindings
from taxiops.emulator.state.job_commands import Commands, Run, ended
from taxiops.emulator.state.job_documents import JobDocuments, now
from taxiops.emulator.state.job_outputs import Outputs
from taxiops.emulator.state.pipeline_running import Parts, PipelineRun
from taxiops.emulator.state.reuse import Reuse
from taxiops.emulator.state.values import Value

Json = dict[str, Any]


class Runner:
    """Runs submitted jobs to their end."""

    def __init__(
        self,
        documents: JobDocuments,
        bindings: Bindings,
        outputs: Outputs,
        commands: Commands,
        reuse: Reuse,
    ) -> None:
        self._documents, self._bindings, self._outputs = documents, bindings, outputs
        self._commands = commands
        self._parts = Parts(documents, bindings, outputs, commands, reuse)

    def run(self, scope: str, name: str, cancellation: Cancellation) -> None:
        """Run a stored job; how it ended goes into its document. Raises Unresolved when deleted."""
        document = self._documents.update(scope, name, status="Running", started=now())
        properties = document["properties"]
        experiment = str(properties.get("experimentName") or "Default")
        settings = graph.settings_of(properties)
        run = Run(scope, name, experiment, settings, cancellation)
        try:
            inputs = self._bindings.own_inputs(scope, name, properties.get("inputs") or {})
            if properties.get("jobType") == "Pipeline":
                self._pipeline(run, name, properties, inputs)
            else:
                self._commands.run(run, name, graph.command_step(name, properties), inputs, {})
            end = StepEnd("Completed")
        except Exception as error:
            end = ended(run, error)
        self._documents.update(scope, name, status=end.status, error=end.message, ended=now())

    def _pipeline(self, run: Run, name: str, properties: Json, inputs: Mapping[str, Value]) -> None:
        outputs = properties.get("outputs") or {}
        PipelineRun(self._parts, run, name, properties.get("jobs") or {}, inputs, outputs).run()
        self._outputs.register(run.scope, name, outputs)
