"""Experiments, runs and what MLflow logs to them; a job's run has the job's name."""

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from taxiops.emulator.state.jobs.documents import KIND as JOB
from taxiops.emulator.state.storage.store import Store

Json = dict[str, Any]
EXPERIMENT, RUN, METRIC = "experiment", "run", "metric"
RUN_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
ACTIVE, DELETED = "active", "deleted"
# Tags with this prefix are MLflow's own; Azure does not show them on the job.
SYSTEM_TAG = "mlflow."


class NoSuchRun(LookupError):
    """A run or experiment that does not exist; the text says which."""


class ParameterChanged(ValueError):
    """A parameter was logged before with another value."""


@dataclass(frozen=True)
class Batch:
    """What is logged to a run at once. metrics: documents with key, value, timestamp, step."""

    metrics: Iterable[Json] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracking:
    """All experiments and runs of all workspaces, by workspace and id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def experiments(self, scope: str) -> list[Json]:
        return self._store.all(EXPERIMENT, scope)

    def ensure_experiment(self, scope: str, name: str) -> Json:
        """The experiment of a name, made when there is none."""
        with self._store.transaction():
            found = self._store.get(EXPERIMENT, scope, name)
            if found is None:
                now = now_ms()
                found = {"id": str(uuid.uuid4()), "name": name, "stage": ACTIVE, "tags": {}}
                found |= {"created_ms": now, "updated_ms": now}
                self._store.put(EXPERIMENT, scope, name, found)
        return found

    def experiment_named(self, scope: str, name: str) -> Json:
        """Raises NoSuchRun."""
        found = self._store.get(EXPERIMENT, scope, name)
        if found is None:
            raise NoSuchRun(f"Could not find experiment with name '{name}'")
        return found

    def experiment(self, scope: str, identifier: str) -> Json:
        """Raises NoSuchRun."""
        for each in self.experiments(scope):
            if each["id"] == identifier:
                return each
        raise NoSuchRun(f"Could not find experiment with ID {identifier}")

    def change_experiment(self, scope: str, identifier: str, changes: Json) -> Json:
        """Raises NoSuchRun."""
        with self._store.transaction():
            found = self.experiment(scope, identifier)
            self._store.delete(EXPERIMENT, scope, found["name"])
            found |= {**changes, "updated_ms": now_ms()}
            self._store.put(EXPERIMENT, scope, found["name"], found)
        return found

    def open(self, scope: str, run: str, experiment: str, tags: Mapping[str, str]) -> Json:
        """The run of a job that begins."""
        with self._store.transaction():
            present = self._store.get(RUN, scope, run)
            if present is not None:
                return present
            home = self.ensure_experiment(scope, experiment)
            return self._put(scope, new_run(run, home["id"], run, now_ms(), tags))

    def create(
        self, scope: str, experiment: str, name: str, start_ms: int, tags: Mapping[str, str]
    ) -> Json:
        """A run that no job stands behind. Raises NoSuchRun for an unknown experiment."""
        self.experiment(scope, experiment)
        return self._put(scope, new_run(str(uuid.uuid4()), experiment, name, start_ms, tags))

    def _put(self, scope: str, run: Json) -> Json:
        self._store.put(RUN, scope, run["id"], run)
        return run

    def runs(self, scope: str) -> list[Json]:
        """Oldest first, tags of their jobs included."""
        return [self._with_job(scope, each) for each in self._store.all(RUN, scope)]

    def run(self, scope: str, identifier: str) -> Json:
        """Raises NoSuchRun."""
        found = self._store.get(RUN, scope, identifier)
        if found is None:
            raise NoSuchRun(f"Run with id={identifier} not found")
        return self._with_job(scope, found)

    def parameters(self, scope: str, identifier: str) -> dict[str, str]:
        """What a job's run was told of its parameters; nothing when it never began."""
        found = self._store.get(RUN, scope, identifier) or {}
        return dict(found.get("params") or {})

    def _with_job(self, scope: str, run: Json) -> Json:
        """Jobs and their runs share tags and the name that is shown."""
        job = self._store.get(JOB, scope, run["id"])
        if job is None:
            return run
        properties = job["properties"]
        shown = properties.get("displayName") or run["name"]
        return {**run, "name": shown, "tags": {**run["tags"], **(properties.get("tags") or {})}}

    def change(self, scope: str, identifier: str, changes: Json) -> Json:
        """Raises NoSuchRun."""
        with self._store.transaction():
            return self._put(scope, {**self.run(scope, identifier), **changes})

    def close(self, scope: str, identifier: str, status: str) -> None:
        """End the run of a job; nothing when it never began. status: the job's."""
        if self._store.get(RUN, scope, identifier) is not None:
            changes = {"status": RUN_STATUS[status], "end_ms": now_ms()}
            self.change(scope, identifier, changes)

    def log(self, scope: str, identifier: str, batch: Batch) -> None:
        """All of it or, when a parameter would change, nothing.

        Raises NoSuchRun and ParameterChanged.
        """
        with self._store.transaction():
            run = self.run(scope, identifier)
            for key, value in batch.params.items():
                if run["params"].setdefault(key, value) != value:
                    raise ParameterChanged(
                        "Changing param values is not allowed. Param with key="
                        f"'{key}' was already logged with value='{run['params'][key]}' for run "
                        f"ID='{identifier}'. Attempted logging new value '{value}'."
                    )
            run["tags"] |= batch.tags
            self._put(scope, run)
            self._tag_job(scope, identifier, batch.tags)
            for point in batch.metrics:
                number = str(self._store.next_sequence("metrics"))
                self._store.put(METRIC, scope, identifier, point, number)

    def untag(self, scope: str, identifier: str, key: str) -> None:
        """Raises NoSuchRun."""
        with self._store.transaction():
            run = self.run(scope, identifier)
            run["tags"].pop(key, None)
            self._put(scope, run)
            job = self._store.get(JOB, scope, identifier)
            if job and key in (job["properties"].get("tags") or {}):
                del job["properties"]["tags"][key]
                self._store.put(JOB, scope, identifier, job)

    def _tag_job(self, scope: str, identifier: str, tags: Mapping[str, str]) -> None:
        own = {key: value for key, value in tags.items() if not key.startswith(SYSTEM_TAG)}
        job = self._store.get(JOB, scope, identifier) if own else None
        if job is not None:
            job["properties"]["tags"] = {**(job["properties"].get("tags") or {}), **own}
            self._store.put(JOB, scope, identifier, job)

    def points(self, scope: str, identifier: str) -> list[Json]:
        """Every value logged to a run's metrics, oldest first."""
        return self._store.all(METRIC, scope, identifier)

    def latest(self, scope: str, identifier: str) -> list[Json]:
        """The newest value of each metric: of the highest step, then time, as MLflow has it."""
        newest: dict[str, Json] = {}
        for point in self.points(scope, identifier):
            present = newest.get(point["key"])
            if present is None or rank(point) >= rank(present):
                newest[point["key"]] = point
        return list(newest.values())


def rank(point: Json) -> tuple[int, int]:
    return int(point["step"]), int(point["timestamp"])


def new_run(
    identifier: str, experiment: str, name: str, start_ms: int, tags: Mapping[str, str]
) -> Json:
    return {
        "id": identifier,
        "experiment": experiment,
        "name": name,
        "status": "RUNNING",
        "start_ms": start_ms,
        "end_ms": None,
        "stage": ACTIVE,
        "params": {},
        "tags": dict(tags),
        "outputs": [],
        "inputs": [],
    }


def now_ms() -> int:
    return int(time.time() * 1000)
