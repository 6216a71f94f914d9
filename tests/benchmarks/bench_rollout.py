"""The tool's own part of a rollout: beyond provisioning and tests, and until traffic is back."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from taxiops.cloud import connect
from taxiops.cloud.snapshot import code_snapshot
from taxiops.config import Settings, load_settings
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.shift_traffic import promote_traffic

ROOT = Path(__file__).parents[2]
TAXIOPS = Path(sys.executable).with_name("taxiops")
MOST_OVERHEAD_S, MOST_RESTORE_S = 2.0, 1.0


def measure() -> dict[str, Any]:
    """Seconds of one deployment, promotion and rollback after the SDK is loaded.

    overhead_ratio: the tool's own part over what provisioning and tests took in the same run.
    """
    with tempfile.TemporaryDirectory() as folder, code_snapshot(ROOT, PARTS) as root:
        (root / "pyproject.toml").write_text("[tool.taxiops]\n", encoding="utf-8")
        environment = {
            "TAXIOPS_EMULATOR_STATE": f"{folder}/emulator",
            "TAXIOPS_OUTPUT": f"{folder}/artifacts",
        }
        settings = load_settings({}, environment, root)
        settings = replace(settings, tables={"gate": {}, "rollout": {"requests": 20}})
        try:
            return measured(root, settings, {**os.environ, **environment})
        finally:
            call(root, {**os.environ, **environment}, "emulator", "stop")


PARTS = ["components", "pipelines"]


def measured(root: Path, settings: Settings, environment: dict[str, str]) -> dict[str, Any]:
    for trees in ("40", "60"):
        call(root, environment, "compare", "--set", "rows=8000", "--set", f"max_iter={trees}")
        call(root, environment, "gate", "--override", "--reason", "benchmark")
        call(root, environment, "promote")
        if trees == "40":
            call(root, environment, "deploy")
    # The SDK and the emulator are there from here on.
    connect("local", "dev", settings).workspace.online_endpoints.get("taxi-class-dev")
    deploy_s, state = timed(lambda: deploy(settings, DeployOptions(), ignore))
    at = {event["event"]: datetime.fromisoformat(event["at"]) for event in state.state["events"]}
    waited_s = (at["tested"] - at["planned"]).total_seconds()
    promote_s, _ = timed(lambda: promote_traffic(settings, None, 100, ignore))
    begun = time.time()
    rollback_s, _ = timed(lambda: roll_back(settings, None, ignore))
    restored = history_of_restore(settings)
    overhead_s = deploy_s - waited_s + promote_s
    restore_s = restored - begun
    return {
        "overhead_s": round(overhead_s, 2),
        "provisioning_and_tests_s": round(waited_s, 2),
        "overhead_ratio": round(overhead_s / waited_s, 3),
        "restore_s": round(restore_s, 2),
        "restore_ratio": round(restore_s / rollback_s, 3),
        "within_limit": overhead_s <= MOST_OVERHEAD_S and restore_s <= MOST_RESTORE_S,
    }


def history_of_restore(settings: Settings) -> float:
    """When the first event of the rollback was read back, in seconds since the epoch."""
    import json

    path = settings.root / ".taxiops" / "journal" / "dev-taxi-class-dev.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    back = [line for line in lines if line["event"] == "rolled_back" and "after" in line]
    return datetime.fromisoformat(back[0]["at"]).timestamp()


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = act()
    return time.perf_counter() - begun, result


def call(root: Path, environment: dict[str, str], *arguments: str) -> None:
    subprocess.run(
        [TAXIOPS, *arguments], cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL
    )


def ignore(_: str) -> None:
    """Progress that nobody reads."""
