"""The verdict on a workflow run from its jobs' results; standard library only."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def problems_of(results: Mapping[str, str], required: set[str]) -> list[str]:
    """What keeps the run from being green, a sentence a job."""
    unknown = sorted(required - set(results))
    problems = [
        f"job {name} had to succeed, but the verdict does not wait for it" for name in unknown
    ]
    for name, result in results.items():
        accepted = {"success"} if name in required else {"success", "skipped"}
        if result not in accepted:
            wanted = "had to succeed" if name in required else "may not fail"
            problems.append(f"job {name} {wanted}, but it ended as {result}")
    return problems


def main() -> int:
    needs = json.loads(os.environ["RESULTS"])
    results = {name: str(job["result"]) for name, job in needs.items()}
    problems = problems_of(results, set(os.environ["REQUIRED"].split()))
    rows = [f"| {name} | {result} |" for name, result in results.items()]
    summary = "\n".join(["| job | result |", "| --- | --- |", *rows, ""])
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(summary)
    for problem in problems:
        sys.stdout.write(f"::error title=verdict::{problem}\n")
    sys.stdout.write("red\n" if problems else "green\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
