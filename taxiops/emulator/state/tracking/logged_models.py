"""Models that MLflow 3 logs as things of their own; their files are among a run's artifacts."""

import secrets
from typing import Any

from taxiops.emulator.state.storage.store import Store
from taxiops.emulator.state.tracking.runs import NoSuchRun, now_ms

Json = dict[str, Any]
KIND = "logged-model"


class LoggedModels:
    """All logged models of all workspaces, by workspace and id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, scope: str, model: Json) -> Json:
        """model: name, experiment, run, type, params, tags.

        As on Azure, its files go to the run's artifacts under its name, so that
        `runs:/RUN/NAME` and `azureml://jobs/RUN/outputs/artifacts/paths/NAME` are the model.
        """
        identifier = f"m-{secrets.token_hex(16)}"
        name, run = model["name"] or "model", model["run"]
        with self._store.transaction():
            taken = {each["path"] for each in self._store.all(KIND, scope)}
            path = f"{run}/{name}" if run else f"{identifier}/artifacts"
            path = path if path not in taken else f"{run}/models/{identifier}"
            now = now_ms()
            stored = {**model, "id": identifier, "name": name, "path": path}
            stored |= {"status": "LOGGED_MODEL_PENDING", "created_ms": now, "updated_ms": now}
            self._store.put(KIND, scope, identifier, stored)
        return stored

    def all(self, scope: str) -> list[Json]:
        return self._store.all(KIND, scope)

    def get(self, scope: str, identifier: str) -> Json:
        """Raises NoSuchRun."""
        found = self._store.get(KIND, scope, identifier)
        if found is None:
            raise NoSuchRun(f"Logged model with ID '{identifier}' not found.")
        return found

    def change(self, scope: str, identifier: str, changes: Json) -> Json:
        """Raises NoSuchRun."""
        with self._store.transaction():
            found = {**self.get(scope, identifier), **changes, "updated_ms": now_ms()}
            self._store.put(KIND, scope, identifier, found)
        return found

    def delete(self, scope: str, identifier: str) -> None:
        """Raises NoSuchRun."""
        self.get(scope, identifier)
        self._store.delete(KIND, scope, identifier)
