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
    return [Requirement(text).name for text in project["dependencies"]]


def needed(roots: Iterable[str]) -> list[str]:
    """The roots and everything they require on the image, as installed here."""
    found: set[str] = set()
    left = [(name, frozenset[str]()) for name in roots]
    while left:
        name, extras = left.pop()
        for text in requires(name) or []:
            requirement = Requirement(text)
            if is_wanted(requirement, extras) and normal(requirement.name) not in found:
                left.append((requirement.name, frozenset(requirement.extras)))
        found.add(normal(name))
    return sorted(found)


def is_wanted(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
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
# Azure ML mounts a job's outputs as root's, so that the image keeps its default user.
FROM python:{PYTHON}-slim-bookworm
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /opt/taxiops/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/taxiops/requirements.txt
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
