"""Long-running operations: what a client polls until a resource is in its final state."""

import uuid
from typing import Any

from taxiops.emulator.state.storage.store import Store

KIND = "operation"
SCOPE = ""


class Operations:
    """Durable operations; one that was running when the emulator was killed is failed on start."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self) -> str:
        """A new operation in progress; returns its id."""
        operation = str(uuid.uuid4())
        self._store.put(KIND, SCOPE, operation, {"name": operation, "status": "InProgress"})
        return operation

    def succeed(self, operation: str, properties: dict[str, Any] | None = None) -> None:
        document: dict[str, Any] = {"name": operation, "status": "Succeeded"}
        if properties is not None:
            document["properties"] = properties
        self._store.put(KIND, SCOPE, operation, document)

    def fail(self, operation: str, code: str, message: str) -> None:
        error = {"code": code, "message": message, "details": []}
        self._store.put(
            KIND, SCOPE, operation, {"name": operation, "status": "Failed", "error": error}
        )

    def get(self, operation: str) -> dict[str, Any] | None:
        return self._store.get(KIND, SCOPE, operation)

    def are_in_progress(self) -> bool:
        return any(each["status"] == "InProgress" for each in self._store.all(KIND, SCOPE))

    def resume(self, operation: str) -> None:
        """Put an operation back in progress: what it stands for goes on after a restart."""
        self._store.put(KIND, SCOPE, operation, {"name": operation, "status": "InProgress"})

    def recover(self) -> None:
        """Fail what was in progress when the emulator stopped."""
        for document in self._store.all(KIND, SCOPE):
            if document["status"] == "InProgress":
                reason = "The emulator was stopped while this operation was in progress."
                self.fail(document["name"], "EmulatorRestarted", reason)
