"""The one error funnel: every exception becomes one clear message and one exit code."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from typer.core import TyperGroup
from typer.exceptions import TyperException

from taxiops.cli.nouns import NOUNS, Nouns
from taxiops.errors import ExitCode, Interrupted, TaxiopsError

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

    from taxiops.cli.console import Console


class RootGroup(TyperGroup):
    """The root of the program; the process and the test runner both call its `main`."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - Typer's signature
        super().__init__(**attributes)
        self.commands = Nouns()

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in NOUNS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        *_: object,
        **extra: Any,  # noqa: ANN401 - Typer's signature
    ) -> NoReturn:
        """Run the command line and exit; without arguments, show the help."""
        typed = list(sys.argv[1:] if args is None else args) or ["--help"]
        extra["standalone_mode"] = False
        code: int | None
        try:
            code = super().main(typed, prog_name or "taxiops", complete_var, **extra)
        except Exception as error:
            code = report(error, typed)
        else:
            # Typer answers Ctrl-C with this code and without a word.
            if code == ExitCode.INTERRUPTED:
                code = report(interrupted(typed), typed)
        sys.exit(code or 0)


def interrupted(typed: Sequence[str]) -> Interrupted:
    import shlex

    return Interrupted(
        "Interrupted.",
        why="What was done so far is kept.",
        hint=shlex.join(["taxiops", *typed]),
    )


def report(error: Exception, typed: Sequence[str]) -> int:
    """Write the message, the annotation and with --json the document; gives the exit code."""
    from taxiops.cli.console import Console
    from taxiops.cli.shared import annotate

    options = typed[: typed.index("--")] if "--" in typed else typed
    verbose = "--verbose" in options
    console = Console(json_wanted="--json" in options)
    if verbose:
        console.error(traceback_text(error))
    usage_shown = isinstance(error, TyperException) and show_usage(error)
    known = as_taxiops_error(error, verbose=verbose)
    if isinstance(known, Interrupted) and not known.hint:
        known.hint = interrupted(typed).hint
    if not usage_shown:
        console.error(message(known, verbose=verbose))
    annotate(console, known.code, f"{known.what} {known.why}".strip())
    summarise(console, known)
    if console.json_wanted:
        console.document(document(known))
    return int(known.exit_code)


def summarise(console: "Console", error: TaxiopsError) -> None:
    """The failure in the step summary too, with the Azure ML job it happened in."""
    from taxiops.cli import github
    from taxiops.cli.console import clean

    job = f"\n\nAzure ML job: `{error.details['job']}`" if error.details.get("job") else ""
    text = message(error, verbose=False)
    try:
        github.write_summary(os.environ, f"### Failed\n\n```text\n{clean(text)}\n```{job}\n")
    except TaxiopsError as second:
        console.error(message(second, verbose=False))


def show_usage(error: TyperException) -> bool:
    """Typer's own lines: usage, where to get help, what is wrong."""
    show = getattr(error, "show", None)
    if show is None:
        return False
    show()
    return True


def as_taxiops_error(error: Exception, *, verbose: bool) -> TaxiopsError:
    """Every exception as ours: a usage error by Typer, or an unexpected one."""
    if isinstance(error, TaxiopsError):
        return error
    if isinstance(error, TyperException):
        ours = TaxiopsError(error.format_message(), hint="taxiops --help", code="usage")
        ours.exit_code = ExitCode(error.exit_code)
        return ours
    first_line = (str(error).strip().splitlines() or [""])[0]
    return TaxiopsError(
        f"Unexpected {type(error).__name__}: {first_line}".removesuffix(": "),
        hint="" if verbose else "Run the same command with --verbose to see where.",
        code="unexpected",
    )


def message(error: TaxiopsError, *, verbose: bool) -> str:
    """What is wrong, why, where more is said, and what to type, a line each."""
    from taxiops.cli.shared import typeable

    lines = [f"Error: {error.what}"]
    lines += [f"  why:  {error.why}"] if error.why else []
    is_precise = error.code not in (type(error).default_code, "usage", "unexpected")
    lines += [f"  more: {typeable(f'taxiops explain {error.code}')}"] if is_precise else []
    lines += [f"  next: {typeable(error.hint)}"] if error.hint else []
    if verbose:
        lines += [f"  {name}: {value}" for name, value in error.details.items()]
        lines += [f"  code: {error.code} (exit {int(error.exit_code)})"]
    return "\n".join(lines)


def document(error: TaxiopsError) -> dict[str, Any]:
    """What `--json` prints in place of a result."""
    from taxiops.cli.console import redact

    return {
        "schema_version": 1,
        "error": {
            "code": error.code,
            "what": redact(error.what),
            "why": redact(error.why),
            "hint": redact(error.hint),
            "exit_code": int(error.exit_code),
            "details": {name: redact(value) for name, value in error.details.items()},
        },
    }


def traceback_text(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error)).rstrip()


def stop_on_terminate() -> None:
    """Make SIGTERM unwind like Ctrl-C, so that state is saved and children end with us."""
    import signal

    if os.name == "posix":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
