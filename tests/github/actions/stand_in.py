"""What our stand-ins for third-party actions share: inputs, outputs, state, the store.

They are run by the tests' own Python under the name of node, so that they get their inputs, and
their turn after the job, as the real ones do. Standard library only.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn


def read_input(name: str) -> str:
    return os.environ.get(f"INPUT_{name.replace(' ', '_').upper()}", "").strip()


def read_lines(name: str) -> list[str]:
    return [line.strip() for line in read_input(name).splitlines() if line.strip()]


def is_true(name: str) -> bool:
    """As @actions/core reads a boolean of YAML 1.2."""
    text = read_input(name) or "false"
    if text not in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        fail(f"input {name} is neither true nor false: {text!r}")
    return text.lower() == "true"


def refuse_unless_default(defaults: Mapping[str, str]) -> None:
    """Fail on an input that the real action obeys and this one would not."""
    for name, default in defaults.items():
        if read_input(name) not in {"", default}:
            fail(f"the stand-in does not know what {name}: {read_input(name)} does")


def set_output(name: str, value: str) -> None:
    append("GITHUB_OUTPUT", f"{name}={value}")


def save_state(name: str, value: str) -> None:
    """Give a text to this action's own post step, which finds it with read_state."""
    append("GITHUB_STATE", f"{name}={value}")


def read_state(name: str) -> str:
    return os.environ.get(f"STATE_{name}", "")


def add_path(folder: Path) -> None:
    append("GITHUB_PATH", str(folder))


def append(variable: str, line: str) -> None:
    with Path(os.environ[variable]).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def fail(text: str) -> NoReturn:
    say(f"::error::{text}")
    sys.exit(1)


def store(*names: str) -> Path:
    """A folder, not made here, that outlives the runs."""
    return Path(os.environ["ACT_STAND_IN_STORE"]).joinpath(*names)


def workspace() -> Path:
    return Path(os.environ["GITHUB_WORKSPACE"])


def scratch(path: Path) -> Path:
    """A name beside the path that no other job uses: fill it, then move it into place."""
    return path.with_name(f".{path.name}.{os.getpid()}.{os.environ['GITHUB_JOB']}")
