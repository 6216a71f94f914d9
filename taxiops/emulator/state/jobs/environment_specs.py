"""What an environment asks for, as requirements for pip; pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from taxiops.emulator.state.assets.curated import requirements

Json = dict[str, Any]
CONDA = re.compile(r"^(?:[\w.-]+::)?(?P<name>[\w.-]+)\s*(?P<version>.*)$")
# Packages that PyPI knows by another name, and those that are no Python packages.
PYPI_NAMES = {"pytorch": "torch", "py-xgboost": "xgboost", "py-opencv": "opencv-python-headless"}
LEFT_OUT = frozenset({"cudatoolkit", "_openmp_mutex"})
FILES = ("-r", "-c", "-e", "--requirement", "--constraint", "--editable", "./", "../", "/")


class BadEnvironment(ValueError):
    """An environment that cannot be built as a virtual environment; the text says what would do."""


@dataclass(frozen=True)
class Specification:
    """What a virtual environment is built from. python: a version such as 3.10, or empty."""

    python: str
    requirements: tuple[str, ...]

    @property
    def key(self) -> str:
        text = "\n".join([self.python, *self.requirements])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def specification_of(name: str, properties: Mapping[str, Any]) -> Specification:
    """Of a stored environment. Raises BadEnvironment."""
    if conda := properties.get("condaFile"):
        return of_conda(name, str(conda))
    curated = requirements(name.partition(":")[0])
    if curated and properties.get("environmentType") == "Curated":
        return Specification(*curated)
    build = properties.get("build") or {}
    base = properties.get("image") or build.get("contextUri") or "nothing"
    raise BadEnvironment(
        f"The environment {name} is an image ({base}) without a conda specification. Building it "
        "would need Docker, which the emulator does not use: give the environment a conda_file, or "
        "start the emulator without --environments isolated, so that steps run in its own Python."
    )


def of_conda(name: str, text: str) -> Specification:
    """Of a conda specification. Raises BadEnvironment."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadEnvironment(f"The conda file of {name} is not YAML: {error}") from error
    listed = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise BadEnvironment(f"The conda file of {name} has no list of dependencies.")
    python, wanted = "", []
    for each in listed:
        if isinstance(each, dict):
            wanted += pip_requirements(name, each.get("pip"))
            continue
        match = CONDA.match(str(each).strip())
        if match is None:
            raise BadEnvironment(f"The conda file of {name} asks for {each!r}.")
        if match["name"].lower() == "python":
            python = ".".join(re.findall(r"\d+", match["version"])[:2])
        elif match["name"].lower() not in LEFT_OUT:
            found = PYPI_NAMES.get(match["name"].lower(), match["name"])
            wanted.append(found + pip_version(match["version"].strip()))
    return Specification(python, tuple(wanted))


def pip_requirements(name: str, listed: object) -> list[str]:
    """The lines of a conda file's part for pip. Raises BadEnvironment for those that name files."""
    lines = [str(each).strip() for each in listed] if isinstance(listed, list) else []
    for line in lines:
        if line.startswith(FILES):
            raise BadEnvironment(
                f"The conda file of {name} asks pip for {line!r}, a file that is not part of the "
                "environment; name the packages instead."
            )
    return lines


def pip_version(conda: str) -> str:
    """`=1.2` is any 1.2.x, `=1.2=build` that build's version, `>=1.2` as in pip."""
    if not conda or conda[0] in "<>!~" or conda.startswith("=="):
        return conda.replace(" ", "")
    version, _, build = conda.lstrip("= ").partition("=")
    if build or version.endswith("*"):
        return f"=={version}"
    return f"=={version}.*"
