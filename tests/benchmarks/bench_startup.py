"""`taxiops --help` against the import of typer alone, in turn, as whole processes."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LIMIT = 1.5
ROUNDS = 15


def seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def measure() -> dict[str, Any]:
    """Medians in seconds and their ratio."""
    ours = [str(Path(sys.executable).with_name("taxiops")), "--help"]
    typer = [sys.executable, "-c", "import typer"]
    seconds(ours), seconds(typer)
    pairs = [(seconds(ours), seconds(typer)) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return {
        "help_s": statistics.median(a for a, _ in pairs),
        "import_typer_s": statistics.median(b for _, b in pairs),
        "ratio": ratio,
        "limit": LIMIT,
        "within_limit": ratio <= LIMIT,
    }
