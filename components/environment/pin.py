"""Writes conda.yaml beside it from requirements.lock: what steps and scoring need, pinned."""

import re
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
LOCK, CONDA = HERE.parents[1] / "requirements.lock", HERE / "conda.yaml"
PYTHON = "3.13"
# What taxiops.steps imports, and the server that runs its scoring script.
ROOTS = (
    "azureml-inference-server-http",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "skops",
    "threadpoolctl",
    "tzdata",
)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
# The environment's image, for which the requirements' conditions are decided.
IMAGE = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "extra": "",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: str) -> dict[str, str]:
    """Every package of the lock with its version."""
    return {normal(name): version for name, version in PIN.findall(lock)}


def needed() -> list[str]:
    """The roots and everything they require on the image, as installed here."""
    found: set[str] = set()
    left = list(ROOTS)
    while left:
        name = normal(left.pop())
        if name in found:
            continue
        found.add(name)
        for text in requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(IMAGE):
                left.append(requirement.name)
    return sorted(found)


def conda(lock: str) -> str:
    """The text of conda.yaml."""
    versions = pinned(lock)
    lines = [
        "# Written by components/environment/pin.py from requirements.lock; do not edit.",
        "name: taxiops",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {name}=={versions[name]}" for name in needed()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    CONDA.write_text(conda(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{CONDA}\n")
