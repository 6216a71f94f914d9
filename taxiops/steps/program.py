"""How a step runs as a program: its arguments, its log lines, one line for what is wrong."""

import argparse
import gc
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from taxiops.errors import ExitCode, TaxiopsError


class Arguments(argparse.ArgumentParser):
    """Arguments of a step; options must be written out in full."""

    def __init__(self, module: str, description: str) -> None:
        super().__init__(f"python -m {module}", description=description, allow_abbrev=False)


def say(line: str) -> None:
    """One line into the step's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run_program(
    parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], None]
) -> NoReturn:
    """Run the work and leave with the exit code of the contract; errors are one line on stderr."""
    warnings.simplefilter("default")
    options = parser.parse_args()
    try:
        work(options)
    except TaxiopsError as error:
        parts = (f"error: {error.what}", error.why, error.hint)
        sys.stderr.write(" ".join(" ".join(part.split()) for part in parts if part) + "\n")
        leave(error.exit_code)
    leave(ExitCode.DONE)


def leave(code: ExitCode) -> NoReturn:
    """End without the collector's last look at every object of the libraries."""
    gc.freeze()
    sys.exit(int(code))
