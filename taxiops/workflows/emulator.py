"""`taxiops emulator`: start, stop, look at, reset the emulator, and point programs at it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import local
from taxiops.config import Settings
from taxiops.errors import NotFound, StepFailed, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION

ENVIRONMENTS = ("current", "isolated")
LOG_LINES = 200
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class EmulatorResult:
    """What the emulator says of itself; never its secret."""

    facts: Mapping[str, Any]
    next_command: str

    def document(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, **self.facts, "next_command": self.next_command}


def start(
    settings: Settings, environments: str = "", idle_minutes: float | None = None
) -> EmulatorResult:
    """Start it, or find the one that runs; seeds the workspaces and the registry.

    environments: what steps run in; empty: what they do already, or the emulator's own Python.
    idle_minutes: after which it stops by itself, when not as configured; 0: never.
    Raises UsageError for what there is not.
    """
    require_local(settings)
    if environments not in {"", *ENVIRONMENTS}:
        raise UsageError(
            f"--environments is {environments!r}, but must be one of {', '.join(ENVIRONMENTS)}.",
            hint="taxiops emulator start --environments isolated",
            code="emulator-environments",
        )
    if idle_minutes is not None:
        settings = replace(settings, emulator_idle_minutes=idle_minutes)
    local.finish_start(local.begin_start(settings, environments), settings)
    return status(settings)


def stop(settings: Settings) -> EmulatorResult:
    """End it and every process it started; its state stays on disk."""
    return EmulatorResult(called("stop", settings), "taxiops emulator start")


def status(settings: Settings) -> EmulatorResult:
    """Whether it runs, and where."""
    facts = called("status", settings)
    return EmulatorResult(
        facts, "taxiops traffic show" if facts.get("running") else "taxiops emulator start"
    )


def reset(settings: Settings) -> EmulatorResult:
    """Forget everything it holds."""
    return EmulatorResult(called("reset", settings), "taxiops demo")


def export(settings: Settings, file: Path) -> EmulatorResult:
    """Write everything a stopped emulator holds to a new file."""
    facts = called("export", settings, "--file", str(file.absolute()))
    return EmulatorResult(facts, f"taxiops emulator import {file}")


def import_file(settings: Settings, file: Path) -> EmulatorResult:
    """Fill an empty state folder from an export. Raises NotFound for a file that is not there."""
    if not file.is_file():
        raise NotFound(
            f"There is no file {file}.", hint=f"taxiops emulator export {file}", code="file-missing"
        )
    facts = called("import", settings, "--file", str(file.absolute()))
    return EmulatorResult(facts, "taxiops emulator start")


def add_fault(settings: Settings, fault: Mapping[str, Any]) -> EmulatorResult:
    """Switch on a hazard of Azure; starts the emulator if need be.

    Raises UsageError for a hazard that there is not, or that cannot happen there.
    """
    start(settings)
    try:
        facts = called("fault", settings, "--add", json.dumps(dict(fault)))
    except StepFailed as error:
        raise UsageError(
            f"The emulator cannot do that: {error.why}",
            hint="taxiops emulator fault add throttle --on 'PUT onlineEndpoints'",
            code="emulator-fault",
        ) from error
    return EmulatorResult(facts, "taxiops emulator fault list")


def list_faults(settings: Settings) -> EmulatorResult:
    """Every fault that is switched on, and how often it struck."""
    return EmulatorResult(called("fault", settings), "taxiops emulator fault clear")


def clear_faults(settings: Settings) -> EmulatorResult:
    """Switch all faults off."""
    return EmulatorResult(called("fault", settings, "--clear"), "taxiops emulator status")


def called(action: str, settings: Settings, *options: str) -> dict[str, Any]:
    """What `python -m taxiops.emulator ACTION` prints; raises StepFailed with its own words."""
    require_local(settings)
    arguments = [sys.executable, "-P", "-m", "taxiops.emulator", action]
    arguments += ["--state", str(settings.emulator_state), *options]
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StepFailed(
            f"The emulator could not {action}.",
            why=(done.stderr.strip().splitlines() or ["no message"])[-1][:500],
            hint="taxiops emulator logs",
            code=f"emulator-{action}",
        )
    return dict(json.loads(done.stdout))


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
    """Variables that point an unmodified azure-ai-ml, azure-identity and MLflow at the emulator.

    Starts it if need be. With them, MLClient needs only a credential and names; MLflow reads and
    writes the Dev workspace.
    """

    require_local(settings)
    emulator = local.finish_start(local.begin_start(settings), settings)
    tracking = local.tracking(emulator, settings)
    return {**local.variables(emulator, os.environ), **tracking}


def require_local(settings: Settings) -> None:
    if not settings.is_local:
        raise UsageError(
            "The emulator belongs to --cloud local.", hint="taxiops emulator status --cloud local"
        )
