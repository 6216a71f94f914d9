"""Runs the trials of a sweep, and takes the outputs of the best one."""

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.child_jobs import child_properties
from taxiops.emulator.state.jobs.commands import Run, ended
from taxiops.emulator.state.jobs.documents import SWEEP_LOG, now
from taxiops.emulator.state.jobs.execution import StepFailed
from taxiops.emulator.state.jobs.parts import Parts
from taxiops.emulator.state.jobs.run_log import RunLog
from taxiops.emulator.state.jobs.sweeps import Point, Sweep, best_of, sweep_of
from taxiops.emulator.state.jobs.values import Value

Json = dict[str, Any]
# The property by which the SDK finds the best trial (constants/_common.py).
BEST = "best_child_run_id"


class SweepRun:
    """One sweep; `step` is a trial, with what all trials share."""

    def __init__(
        self,
        parts: Parts,
        run: Run,
        name: str,
        step: graph.Step,
        given: Mapping[str, Any],
        values: Mapping[str, Value],
    ) -> None:
        """given: the sweep as submitted; values: the inputs of all trials. Raises BadGraph."""
        self._parts, self._run, self._name, self._values = parts, run, name, values
        self._sweep: Sweep = sweep_of(given)
        command = graph.SEARCHED.sub(r"${{inputs.\1}}", str(step.spec.get("command") or ""))
        self._step = replace(
            step,
            spec={**step.spec, "command": command},
            timeout_s=self._sweep.trial_timeout_s,
            node={**step.node, "limits": {"timeout": self._sweep.trial_timeout_s}},
        )
        self._failed: dict[str, str] = {}
        self._log = RunLog(parts.documents.artifacts(run.scope, name) / SWEEP_LOG)

    def run(self, bound: Mapping[str, Json]) -> dict[str, Value]:
        """Run all trials; returns the best one's outputs. Raises StepFailed when all failed."""
        points = list(self._sweep.points())
        most = max(1, min(self._sweep.concurrency, len(points)))
        trials = {f"{self._name}_{number}": point for number, point in enumerate(points)}
        self._log.write(f"{len(trials)} trials, at most {most} at a time.")
        with self._limited() as part, ThreadPoolExecutor(max_workers=most) as pool:
            list(pool.map(lambda each: self._try(part, each[0], each[1], bound), trials.items()))
        self._run.check()
        if len(self._failed) == len(trials):
            raise StepFailed(f"All trials failed. The first: {next(iter(self._failed.values()))}")
        return self._conclude(list(trials))

    @contextmanager
    def _limited(self) -> Iterator[Run]:
        """The run of the trials, which ends with the sweep's time."""
        with self._run.cancellation.derived() as cancellation:
            timer = threading.Timer(
                self._sweep.timeout_s or threading.TIMEOUT_MAX, cancellation.set
            )
            timer.daemon = True
            timer.start()
            try:
                yield replace(self._run, cancellation=cancellation)
            finally:
                timer.cancel()

    def _try(self, run: Run, child: str, point: Point, bound: Mapping[str, Json]) -> None:
        documents, scope = self._parts.documents, run.scope
        properties = child_properties(self._step, run.experiment)
        properties["tags"] = {"hyperparameters": json.dumps(point)}
        more = {"parent": self._name, "root": run.root, "step": child, "status": "Running"}
        documents.add(scope, child, properties, **more, started=now())
        values = {**self._values, **{key: Value(text) for key, text in point.items()}}
        shown = {key: value.rest() for key, value in values.items()}
        documents.amend(scope, child, inputs=shown)
        self._log.write(f"Trial {child} started: {json.dumps(point)}")
        try:
            run.check()
            self._parts.commands.run(run, child, self._step, values, bound)
            documents.update(scope, child, status="Completed", ended=now())
            self._log.write(f"Trial {child} completed.")
        except Exception as error:
            end = ended(run, error)
            documents.update(scope, child, status=end.status, error=end.message, ended=now())
            self._failed[child] = end.message
            self._log.write(f"Trial {child} {end.status.lower()}: {end.message}")

    def _conclude(self, trials: list[str]) -> dict[str, Value]:
        """Name the best trial; its outputs are the sweep's."""
        scope, sweep = self._run.scope, self._sweep
        measured = {}
        for trial in trials:
            for point in self._parts.tracking.latest(scope, trial):
                if point["key"] == sweep.metric and trial not in self._failed:
                    measured[trial] = float(point["value"])
        best = best_of(measured, is_maximised=sweep.is_maximised)
        if best is None:
            self._log.write(f"No trial logged {sweep.metric}: there is no best one.")
            return {}
        self._log.write(f"The best trial is {best}: {sweep.metric} {measured[best]}.")
        document = self._parts.documents.get(scope, self._name) or {"properties": {}}
        present = document["properties"].get("properties") or {}
        named = {**present, BEST: best, "score": str(measured[best])}
        self._parts.documents.amend(scope, self._name, properties=named)
        made = self._parts.outputs.reuse(scope, self._name, best)
        self._parts.outputs.show(scope, self._name, self._step.outputs)
        return made
