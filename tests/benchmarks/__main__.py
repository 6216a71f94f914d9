"""Runs the benchmarks of this folder: every figure is a ratio measured in one run."""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(chosen: list[str]) -> int:
    """Run all `bench_*.py`, or the named ones; print one JSON document; 1 if a limit is missed."""
    sys.path.insert(0, str(HERE))
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = set(chosen) - set(known)
    if unknown:
        print(f"no such benchmark: {sorted(unknown)}; known: {known}", file=sys.stderr)
        return 2
    results = {}
    for name in chosen or known:
        print(f"{name} ...", file=sys.stderr)
        results[name] = importlib.import_module(f"bench_{name}").measure()
    print(json.dumps(results, indent=2))
    missed = [name for name, result in results.items() if not result["within_limit"]]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
