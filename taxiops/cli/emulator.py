"""`taxiops emulator`: parse, call the workflows, render."""

from typing import TYPE_CHECKING, Annotated

import typer

from taxiops.cli.shared import Outcome, Session, Successor, command, noun

if TYPE_CHECKING:
    from taxiops.workflows.emulator import EmulatorResult

app = noun("The embedded Azure ML: started by itself when --cloud local needs it.")

Program = Annotated[
    list[str], typer.Argument(metavar="CMD", help="The program and its arguments, after --.")
]


@command(app, "start", both=True)
def start(session: Session) -> Outcome:
    """Start the emulator, or find the one that runs."""
    from taxiops.workflows import emulator

    return shown(emulator.start(session.settings), "The emulator runs.")


@command(app, "stop", both=True)
def stop(session: Session) -> Outcome:
    """Stop the emulator and every process it started; what it holds stays on disk."""
    from taxiops.workflows import emulator

    return shown(emulator.stop(session.settings), "The emulator is stopped.")


@command(app, "status", both=True)
def status(session: Session) -> Outcome:
    """Show whether it runs, and where."""
    from taxiops.workflows import emulator

    result = emulator.status(session.settings)
    runs = result.facts.get("running")
    return shown(result, "The emulator runs." if runs else "The emulator does not run.")


@command(app, "logs", both=True)
def logs(session: Session) -> Outcome:
    """Show the last lines of the emulator's log."""
    from taxiops.workflows import emulator

    result = emulator.logs(session.settings)
    return Outcome(result, blocks=tuple(result.facts["lines"]) or ("The log is empty.",))


@command(app, "reset", both=True)
def reset(session: Session) -> Outcome:
    """Forget every job, model and endpoint of the emulator."""
    from taxiops.workflows import emulator

    return shown(emulator.reset(session.settings), "The emulator is empty.")


@command(
    app,
    "exec",
    both=True,
    place_on_stderr=True,
    context_settings={"allow_interspersed_args": False},
)
def execute(session: Session, program: Program) -> Successor:
    """Run a program with the variables that point an unmodified azure-ai-ml at the emulator."""
    from taxiops.workflows import emulator

    return Successor(program, emulator.exec_environment(session.settings))


def shown(result: "EmulatorResult", headline: str) -> Outcome:
    from taxiops.cli.console import Facts

    hidden = ("schema_version", "running")
    facts = tuple((name, str(v)) for name, v in result.facts.items() if name not in hidden)
    return Outcome(result, headline=headline, blocks=(Facts(facts),) if facts else ())
