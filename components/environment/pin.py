"""Writes the environments that jobs, scoring and CI share, each version from requirements.lock.

conda.yaml: what steps and scoring need. operations/: what taxiops itself needs inside a job, as a
Docker build context.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = "3.13"
MADE_BY = "# Written by components/environment/pin.py from requirements.lock; do not edit."
# What taxiops.steps imports, and the server that runs its scoring script.
STEPS = (
    "azureml-inference-server-http",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "skops",
    "threadpoolctl",
    "tzdata",
)
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)[^\n]*\n((?:[ \t]+--hash=[^\n]*\n?)*)", re.M)
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


def pinned(lock: str) -> dict[str, tuple[str, str]]:
    """Every package of the lock with its version and the lines of its hashes."""
    return {normal(name): (version, hashes) for name, version, hashes in ENTRY.findall(lock)}


def own_requirements() -> list[str]:
    """What pyproject.toml says taxiops itself needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


def needed(roots: Iterable[str]) -> list[str]:
    """The packages of the requirements and all that these require on the image, as installed here.

    A package may be met again with an extra, which then brings more; so both are remembered.
    """
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [wanted(root) for root in roots]
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        name, extras = one
        left += [wanted(text) for text in requires(name) or [] if is_wanted(text, extras)]
    return sorted({name for name, _ in seen})


def wanted(text: str) -> tuple[str, frozenset[str]]:
    requirement = Requirement(text)
    return normal(requirement.name), frozenset(requirement.extras)


def is_wanted(text: str, extras: frozenset[str]) -> bool:
    marker = Requirement(text).marker
    return marker is None or any(
        marker.evaluate({**IMAGE, "extra": extra}) for extra in ("", *extras)
    )


def conda(lock: str) -> str:
    """The text of conda.yaml."""
    versions = pinned(lock)
    lines = [
        MADE_BY,
        "name: taxiops",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {name}=={versions[name][0]}" for name in needed(STEPS)),
    ]
    return "\n".join(lines) + "\n"


def requirements(lock: str) -> str:
    """The text of operations/requirements.txt: versions with the lock's own hashes."""
    versions = pinned(lock)
    entries = [
        f"{name}=={versions[name][0]} \\\n{versions[name][1].rstrip()}\n"
        for name in needed(own_requirements())
    ]
    return f"{MADE_BY}\n" + "".join(entries)


def dockerfile() -> str:
    """The text of operations/Dockerfile."""
    return f"""{MADE_BY}
# The user stays root, as in Azure ML's own images: nothing promises that the mounts of a job's
# outputs can be written by another. Nothing lies in /root, so a compute may still choose one.
FROM python:{PYTHON}-slim-bookworm
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /opt/taxiops/
# Wheels only: the slim image has no compiler, and no package's build script runs here.
RUN pip install --no-cache-dir --only-binary=:all: --no-deps --require-hashes \\
    -r /opt/taxiops/requirements.txt
"""


def files(lock: str) -> dict[Path, str]:
    """Every file that is made here, with its text."""
    return {
        HERE / "conda.yaml": conda(lock),
        HERE / "operations" / "requirements.txt": requirements(lock),
        HERE / "operations" / "Dockerfile": dockerfile(),
    }


if __name__ == "__main__":
    for path, text in files((ROOT / "requirements.lock").read_text(encoding="utf-8")).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")
