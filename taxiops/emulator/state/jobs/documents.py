"""What is stored of jobs: their documents, where their outputs and logs are; runs nothing."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets.assets import Unresolved
from taxiops.emulator.state.jobs.execution import LOG
from taxiops.emulator.state.jobs.values import workspace_uri
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store

Json = dict[str, Any]
KIND = "job"
FINAL = frozenset({"Completed", "Failed", "Canceled"})
ARTIFACT_DATASTORE = "workspaceartifactstore"
# How `azureml://jobs/NAME/outputs/...` names the artifacts of a run.
ARTIFACT_OUTPUTS = frozenset({"artifacts", "default"})
PIPELINE_LOG = "logs/azureml/executionlogs.txt"
SWEEP_LOG = "azureml-logs/hyperdrive.txt"
# Where the client looks for the log of a job, by the job's type.
LOGS = {"Pipeline": PIPELINE_LOG, "Sweep": SWEEP_LOG}


class JobDocuments:
    """Durable documents of all jobs and child jobs of all workspaces, by workspace and name."""

    def __init__(self, store: Store, blobs: Blobs, folder: Path) -> None:
        self._store, self._blobs, self.folder = store, blobs, folder

    def get(self, scope: str, name: str) -> Json | None:
        return self._store.get(KIND, scope, name)

    def all(self, scope: str) -> list[Json]:
        """Oldest first, children included."""
        return self._store.all(KIND, scope)

    def children(self, scope: str, name: str) -> list[Json]:
        return [each for each in self.all(scope) if each.get("parent") == name]

    def add(self, scope: str, name: str, properties: Json, **more: object) -> Json:
        """Store a new job. Raises AlreadyExists."""
        document = {**new_document(name, properties), **more}
        self._store.create(KIND, scope, name, document)
        return document

    def update(self, scope: str, name: str, **changes: object) -> Json:
        """Raises Unresolved for a job that does not exist."""
        with self._store.transaction():
            document = self._store.get(KIND, scope, name)
            if document is None:
                raise Unresolved(f"The job {name} was not found.")
            document.update(changes)
            self._store.put(KIND, scope, name, document)
        return document

    def amend(self, scope: str, name: str, **properties: object) -> Json:
        """Change some of a job's properties. Raises Unresolved."""
        with self._store.transaction():
            present = (self.get(scope, name) or {}).get("properties", {})
            return self.update(scope, name, properties={**present, **properties})

    def remove(self, scope: str, name: str) -> bool:
        """Forget a job and all jobs below it; True if there was such a job."""
        for child in self.children(scope, name):
            self.remove(scope, child["name"])
        return self._store.delete(KIND, scope, name)

    def fail_unfinished(self, reason: str) -> None:
        """Fail every job that has not ended."""
        for scope, name, _ in self._store.keys(KIND):
            document = self._store.get(KIND, scope, name)
            if document and document["status"] not in FINAL:
                self.update(scope, name, status="Failed", error=reason, ended=now())

    def output_blob(self, scope: str, job: str, output: str) -> tuple[str, str]:
        """(container, blob prefix) of an output, or of the artifacts. Raises Unresolved."""
        location = self.locations(scope, job).get(output)
        if location is not None:
            return location["container"], location["path"]
        if output in ARTIFACT_OUTPUTS and self.get(scope, job) is not None:
            return self.artifact_blob(scope, job)
        raise Unresolved(f"The job {job} has no output {output!r}.")

    def output_uri(self, scope: str, job: str, output: str, path: str = "") -> str:
        """The address of an output, or of a path in it, in its datastore. Raises Unresolved."""
        location = self.locations(scope, job).get(output)
        if location is None:
            _, prefix = self.output_blob(scope, job, output)
            base = workspace_uri(scope, ARTIFACT_DATASTORE, f"{prefix}/")
        else:
            base = location["uri"]
        return f"{base.rstrip('/')}/{path}" if path else base

    def output_paths(self, scope: str, job: str) -> dict[str, str]:
        return {
            key: str(self._blobs.path(each["container"], each["path"]))
            for key, each in self.locations(scope, job).items()
        }

    def locations(self, scope: str, job: str) -> Mapping[str, Any]:
        """Output -> the document of its place (values.Place), as far as the job has made them."""
        found: Mapping[str, Any] = (self.get(scope, job) or {}).get("output_locations", {})
        return found

    def artifact_blob(self, scope: str, run: str) -> tuple[str, str]:
        """(container, blob prefix) of a run's artifacts, as Azure lays them out.

        Raises Unresolved for a workspace that has no artifact store.
        """
        store = self._store.get("datastore", scope, ARTIFACT_DATASTORE)
        if store is None:
            raise Unresolved(f"The datastore {ARTIFACT_DATASTORE!r} was not found.")
        return str(store["container"]), f"ExperimentRun/dcid.{run}"

    def artifacts(self, scope: str, run: str) -> Path:
        """The folder of a run's artifacts, its logs among them. Raises Unresolved."""
        return self._blobs.path(*self.artifact_blob(scope, run))

    def logs(self, scope: str, name: str) -> dict[str, Path]:
        """Log names as the client filters them, and their files."""
        document = self.get(scope, name)
        if document is None:
            return {}
        log = LOGS.get(str(document["properties"].get("jobType")), LOG)
        path = self.artifacts(scope, name) / log
        return {log: path} if path.exists() else {}


def now() -> str:
    return datetime.now(UTC).isoformat()


def new_document(name: str, properties: Json) -> Json:
    return {
        "name": name,
        "properties": properties,
        "status": "Preparing",
        "created": now(),
        "started": None,
        "ended": None,
        "error": "",
        "output_locations": {},
        "run_id": str(uuid.uuid4()),
    }
