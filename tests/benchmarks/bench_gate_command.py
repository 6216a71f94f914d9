"""`taxiops gate` on a saved report against the interpreter alone, in turn, as whole processes."""

import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.steps.compare import arguments, comparison
from taxiops.steps.prepare import prepare
from taxiops.steps.train import train

LIMIT_S = 0.5
ROUNDS = 15


def measure() -> dict[str, Any]:
    """Medians in seconds, and how much longer the gate takes than an interpreter's start.

    cpu_s: of one call, whatever else the machine does meanwhile.
    """
    gate = [str(Path(sys.executable).with_name("taxiops")), "gate"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_report(folder)
        interpreter = [sys.executable, "-c", "pass"]
        seconds(gate, folder), seconds(interpreter, folder)
        begun = cpu_of_children_s()
        seconds(gate, folder)
        cpu_s = cpu_of_children_s() - begun
        pairs = [(seconds(gate, folder), seconds(interpreter, folder)) for _ in range(ROUNDS)]
    beyond = statistics.median(one - other for one, other in pairs)
    return {
        "gate_s": statistics.median(one for one, _ in pairs),
        "interpreter_s": statistics.median(other for _, other in pairs),
        "beyond_interpreter_s": beyond,
        "cpu_s": cpu_s,
        "limit_s": LIMIT_S,
        "within_limit": beyond <= LIMIT_S,
    }


def cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(command: list[str], folder: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


def write_report(folder: Path) -> None:
    """A small model that beats the naive fare, where `taxiops gate` looks for its report."""
    with contextlib.redirect_stdout(sys.stderr):
        prepare(None, 6_000, 7, folder / "train", folder / "test")
        train(folder / "train", folder / "test", folder / "model", {"max_iter": 30}, "")
    options = ["--train-trips", folder / "train", "--test-trips", folder / "test"]
    options += ["--candidate-model", folder / "model", "--report", folder]
    given = arguments().parse_args([str(each) for each in options])
    path = folder / "artifacts" / "compare" / "metrics" / "comparison.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(comparison(given, {}, datetime.now(UTC))[0]), encoding="utf-8")
