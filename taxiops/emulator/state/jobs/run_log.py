"""The log of what runs other jobs: a pipeline's of its steps, a sweep's of its trials."""

import threading
from pathlib import Path

from taxiops.emulator.state.jobs.documents import now


class RunLog:
    """A log to which several threads write; their lines never mix."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = path, threading.Lock()

    def write(self, line: str) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"[{now()}] {line}\n")
