"""The fault matrix at length: how many cases of verb x hazard x death end as promised.

`make bench`, or by hand with more time: FAULT_CASES=2000 FAULT_SEED=7 python
tests/benchmarks/bench_fault_matrix.py docs/explanation/fault-matrix.md, which writes the page.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
TEST = "tests/workflows/test_fault_matrix.py"
WORKERS = 2
CASES, SEED = int(os.environ.get("FAULT_CASES", "60")), int(os.environ.get("FAULT_SEED", "1"))


@dataclass(frozen=True)
class Result:
    """One case as it ended. facts: verb, hazard, first, second, end."""

    facts: Mapping[str, str]
    held: bool
    told: str


def measure() -> dict[str, Any]:
    """The share of the cases in which the promise held; the limit is all of them."""
    results = run(CASES, SEED)
    broken = [result.told for result in results if not result.held]
    return {
        "cases": len(results),
        "killed": sum(result.facts.get("first") == "killed" for result in results),
        "held_ratio": (len(results) - len(broken)) / len(results) if results else 0.0,
        "broken": broken[:10],
        "within_limit": bool(results) and not broken,
    }


def run(cases: int, seed: int) -> list[Result]:
    """The cases, shared out to workers that each have an emulator and seeds of their own."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.xml" for number in range(WORKERS)]
        started = [
            start(file, -(-cases // WORKERS), seed * 1000 + number)
            for number, file in enumerate(files)
        ]
        for process in started:
            process.wait()
        return [result for file in files for result in read(file)]


def start(file: Path, cases: int, seed: int) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "MATRIX_CASES": str(cases), "MATRIX_SEED": str(seed)}
    arguments = [sys.executable, "-m", "pytest", "-q", TEST, f"--junitxml={file}"]
    arguments += ["--override-ini", "junit_family=xunit1"]
    return subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=sys.stderr)


def read(file: Path) -> Iterable[Result]:
    for case in ElementTree.parse(file).iter("testcase"):
        facts = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        if facts:
            failure = case.find("failure")
            told = "" if failure is None else f"{case.get('name')}: {failure.get('message')}"
            yield Result(facts, failure is None, " ".join(told.split())[:500])


def page(results: list[Result], seed: int) -> str:
    """The results as a page for people."""
    verbs = sorted({result.facts["verb"] for result in results})
    counts = Counter((r.facts["hazard"], r.facts["verb"], r.facts["end"]) for r in results)
    lines = [
        "# The fault matrix",
        "",
        "A verb, a hazard of Azure, `kill -9` at one of its writes or requests (before or after "
        "it), then",
        "the same command again or a rollback. Held means: the traffic is as wanted or exactly as "
        "before, no",
        "slot, lease or partial file is left over, and the second command ended without a signal "
        "or exit 7.",
        "",
        f"{len(results)} cases of seed {seed}: "
        f"{sum(r.facts['first'] == 'killed' for r in results)} died, "
        f"{sum(r.held for r in results)} held.",
        "",
        "Each cell: cases that ended as wanted / as before.",
        "",
        f"| hazard | {' | '.join(verbs)} |",
        f"| --- |{' --- |' * len(verbs)}",
    ]
    for hazard in sorted({result.facts["hazard"] for result in results}):
        cells = [
            f"{counts[hazard, verb, 'as wanted']} / {counts[hazard, verb, 'as before']}"
            for verb in verbs
        ]
        lines.append(f"| {hazard} | {' | '.join(cells)} |")
    command = f"FAULT_CASES={len(results)} FAULT_SEED={seed}"
    script = "tests/benchmarks/bench_fault_matrix.py docs/explanation/fault-matrix.md"
    lines += ["", "```", f"{command} \\", f"  python {script}", "```", ""]
    broken = [f"- {result.told}" for result in results if not result.held]
    return "\n".join([*lines, *(["Broken:", "", *broken, ""] if broken else [])])


if __name__ == "__main__":
    found = run(CASES, SEED)
    Path(sys.argv[1]).write_text(page(found, SEED), encoding="utf-8")
    sys.exit(0 if found and all(result.held for result in found) else 1)
