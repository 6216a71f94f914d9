"""Jobs behind no server: the state rooms alone, and what waits for them."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets.assets import Assets, Key
from taxiops.emulator.state.jobs.jobs import Jobs
from taxiops.emulator.state.storage.blobs import Blobs

SCOPE = "/subscriptions/s/resourcegroups/g/providers/microsoft.machinelearningservices/workspaces/w"


@dataclass(frozen=True)
class Parts:
    """Jobs and the assets they use, behind no server."""

    jobs: Jobs
    assets: Assets
    blobs: Blobs

    def put_component(self, name: str, spec: dict[str, Any]) -> str:
        """Store a component; gives the id that a pipeline's node names."""
        self.assets.create(Key("component", SCOPE, name, "1"), {"componentSpec": spec})
        return f"{SCOPE}/components/{name}/versions/1"

    def output(self, job: str, name: str) -> Path:
        """Where an output of a job is."""
        return self.blobs.path(*self.jobs.output_blob(SCOPE, job, name))

    def put_blob(self, name: str, content: bytes) -> None:
        self.blobs.put("workspace", name, content)


def submit(jobs: Jobs, name: str, command: str, **more: Any) -> None:
    jobs.create(SCOPE, name, {"jobType": "Command", "command": command, **more})


def await_status(jobs: Jobs, name: str, *wanted: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while True:
        document = jobs.get(SCOPE, name) or {}
        if document.get("status") in wanted:
            return document
        assert time.monotonic() < end, document
        time.sleep(0.02)
