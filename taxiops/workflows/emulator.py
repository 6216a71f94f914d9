"""`taxiops emulator`: start, stop, look at, reset the emulator, and point programs at it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.config import Settings
from taxiops.errors import UsageError
from taxiops.workflows.documents import SCHEMA_VERSION

LOG_LINES = 200
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class EmulatorResult:
    """What the emulator says of itself; never its secret."""

    facts: Mapping[str, Any]
    next_command: str

    def document(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, **self.facts, "next_command": self.next_command}


def start(settings: Settings) -> EmulatorResult:
    """Start it, or find the one that runs; seeds the workspaces and the registry."""
    from taxiops.cloud.local import begin_start, finish_start

    require_local(settings)
    finish_start(begin_start(settings), settings)
    return status(settings)


def stop(settings: Settings) -> EmulatorResult:
    """End it and every process it started; its state stays on disk."""
    from taxiops.emulator import server

    require_local(settings)
    return EmulatorResult(server.stop(settings.emulator_state), "taxiops emulator start")


def status(settings: Settings) -> EmulatorResult:
    """Whether it runs, and where."""
    from taxiops.emulator import server

    require_local(settings)
    facts = server.status(settings.emulator_state)
    return EmulatorResult(
        facts, "taxiops traffic show" if facts.get("running") else "taxiops emulator start"
    )


def reset(settings: Settings) -> EmulatorResult:
    """Forget everything it holds."""
    from taxiops.emulator import server

    require_local(settings)
    return EmulatorResult(server.reset(settings.emulator_state), "taxiops demo")


def logs(settings: Settings) -> EmulatorResult:
    """The last lines of its log."""
    require_local(settings)
    path = settings.emulator_state / "emulator.log"
    lines: list[str] = []
    if path.is_file():
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:]
    return EmulatorResult({"log": str(path), "lines": lines}, "taxiops emulator status")


def exec_environment(settings: Settings) -> dict[str, str]:
    """Variables that point an unmodified azure-ai-ml and azure-identity at the emulator.

    Starts it if need be. With them, MLClient needs only a credential and names.
    """
    from taxiops.cloud import local

    require_local(settings)
    emulator = local.finish_start(local.begin_start(settings), settings)
    return local.variables(emulator, os.environ)


def require_local(settings: Settings) -> None:
    if not settings.is_local:
        raise UsageError(
            "The emulator belongs to --cloud local.", hint="taxiops emulator status --cloud local"
        )
