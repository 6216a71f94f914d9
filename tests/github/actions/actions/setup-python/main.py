"""Puts the interpreter that runs this on PATH, under every name a step may call it by."""

import platform
import re
import sys
from pathlib import Path

import stand_in

WRAPPER = '#!/bin/sh\nexec "{python}" "$@"\n'


def main() -> None:
    stand_in.refuse_unless_default(
        {
            "cache": "",
            "check-latest": "false",
            "freethreaded": "false",
            "pip-version": "",
            "pip-install": "",
            "python-version-file": "",
            "update-environment": "true",
        }
    )
    asked = stand_in.read_input("python-version")
    if not re.fullmatch(r"\d+(\.(\d+|x)){0,2}", asked):
        stand_in.fail(f"not a version of Python: {asked!r}")
    here = platform.python_version()
    # A link would do for most interpreters, but not for one that finds its library beside itself.
    folder = stand_in.store("tools", here)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        write_program(folder / name, WRAPPER.format(python=sys.executable))
    stand_in.say(f"Python {asked} was asked for, the tests run with {here}")
    stand_in.add_path(folder)
    stand_in.set_output("python-version", here)
    stand_in.set_output("python-path", str(folder / "python"))


def write_program(path: Path, text: str) -> None:
    """Jobs run side by side: none may find a program half-written."""
    if path.exists():
        return
    scratch = stand_in.scratch(path)
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(0o755)
    scratch.replace(path)


main()
