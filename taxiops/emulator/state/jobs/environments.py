"""The interpreters that steps run in: our own, or a virtual environment for each specification."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from taxiops.emulator.state.assets.assets import Assets
from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.jobs.environment_specs import Specification, specification_of
from taxiops.emulator.state.jobs.execution import OWN_BINARIES, StepFailed, step_environment, tail
from taxiops.emulator.state.processes import Process

CURRENT, ISOLATED = "current", "isolated"
COMPLETE = ".complete"
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
}


@dataclass(frozen=True)
class Interpreter:
    """binaries: what stands first on the PATH; identity: what tells it from one with other
    packages.
    """

    binaries: Path
    identity: str


def own_interpreter() -> Interpreter:
    """Ours. Its identity is where its packages are and when they were last installed."""
    packages = Path(sysconfig.get_paths()["purelib"])
    identity = f"{sys.version} {packages} {packages.stat().st_mtime_ns}"
    return Interpreter(OWN_BINARIES, identity)


class Environments:
    """Finds or builds interpreters. `folder` holds what was built; it may be removed at any time
    while the emulator does not run.
    """

    def __init__(self, assets: Assets, folder: Path, *, is_isolated: bool) -> None:
        self._assets, self._folder, self._is_isolated = assets, folder, is_isolated
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def identity(self, scope: str, reference: str) -> str:
        """What tells the interpreter of an environment from another; builds nothing.

        Raises as `interpreter` does.
        """
        found = self._specification(scope, reference)
        return found.key if found else own_interpreter().identity

    def interpreter(
        self, scope: str, reference: str, log: Path, cancellation: Cancellation
    ) -> Interpreter:
        """The interpreter of an environment, built when it is not there yet.

        Raises StepFailed, BadEnvironment, and Unresolved for an environment that does not exist.
        """
        found = self._specification(scope, reference)
        if found is None:
            return own_interpreter()
        folder = self._folder / found.key
        with self._locks[found.key]:
            if not (folder / COMPLETE).exists():
                shutil.rmtree(folder, ignore_errors=True)
                self._build(found, folder, log, cancellation)
                (folder / COMPLETE).touch()
        return Interpreter(folder / "bin", found.key)

    def _specification(self, scope: str, reference: str) -> Specification | None:
        """None for our own interpreter."""
        if not self._is_isolated or not reference:
            return None
        document = self._assets.document(reference, scope, "environment")
        name = f"{document['name']}:{document['version']}"
        return specification_of(name, document["properties"])

    def _build(
        self, found: Specification, folder: Path, log: Path, cancellation: Cancellation
    ) -> None:
        uv = self._uv()
        python = found.python or ".".join(map(str, sys.version_info[:2]))
        make = [uv, "venv", "--quiet", "--no-python-downloads", "--python"]
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._run([*make, python, str(folder)], log, cancellation) != 0:
            with log.open("a", encoding="utf-8") as stream:
                stream.write(f"Python {python} is not installed; the emulator's own is taken.\n")
            self._check([*make, sys.executable, str(folder)], log, cancellation)
        if found.requirements:
            listed = folder / "requirements.txt"
            listed.write_text("\n".join(found.requirements) + "\n", encoding="utf-8")
            install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
            self._check([*install, "--requirement", str(listed)], log, cancellation)

    def _uv(self) -> str:
        for path in (str(OWN_BINARIES), None):
            if found := shutil.which("uv", path=path):
                return found
        raise StepFailed(
            "Isolated environments are built by uv, which is not installed: pip install uv, then "
            "submit the job again."
        )

    def _check(self, command: Sequence[str], log: Path, cancellation: Cancellation) -> None:
        if self._run(command, log, cancellation) != 0:
            raise StepFailed(f"The environment could not be built:\n{tail(log)}")

    def _run(self, command: Sequence[str], log: Path, cancellation: Cancellation) -> int:
        environment = step_environment({})
        environment["PATH"] = search_path(environment["PATH"])
        environment = {**pip_indexes(), **environment}
        process = Process(command, cwd=self._folder, env=environment, log=log)
        with cancellation.calling(process.ask_to_end):
            code = process.wait()
        if cancellation.is_set():
            raise StepFailed("The job was canceled.")
        return code


def search_path(path: str) -> str:
    """Where uv looks for interpreters: pyenv's own instead of its shims, which answer for one."""
    parts = path.split(os.pathsep)
    shims = [Path(part) for part in parts if Path(part).name == "shims"]
    found = [str(each) for shim in shims for each in (shim.parent / "versions").glob("*/bin")]
    kept = [part for part in parts if Path(part) not in shims]
    return os.pathsep.join([*kept, *sorted(found)])


@cache
def pip_indexes() -> dict[str, str]:
    """Pip's configured indexes as uv's variables, as uv does not read pip's configuration."""
    asked = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    variables: dict[str, str] = {}
    for key, value in re.findall(r"^[\w:]*\.([\w-]+)='(.*)'$", told, re.MULTILINE):
        if variable := UV_VARIABLES.get(key):
            separator = "," if variable == "UV_FIND_LINKS" else " "
            variables[variable] = separator.join(value.replace("\\n", " ").split())
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **variables} if variables else {}
