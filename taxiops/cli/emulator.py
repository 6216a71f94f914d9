"""`taxiops emulator`: parse, call the workflows, render."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taxiops.cli.completion import hazards
from taxiops.cli.shared import Outcome, Session, Successor, command, noun

if TYPE_CHECKING:
    from taxiops.workflows.emulator import EmulatorResult

app = noun("The embedded Azure ML: started by itself when --cloud local needs it.")
faults = noun("Hazards of Azure ML, inflicted on demand until the emulator stops.")
app.add_typer(faults, name="fault")

Program = Annotated[
    list[str], typer.Argument(metavar="CMD", help="The program and its arguments, after --.")
]

File = Annotated[Path, typer.Argument(metavar="FILE", help="The export, such as state.tar.gz.")]
Idle = Annotated[
    float | None,
    typer.Option("--idle-minutes", min=0, help="Stop after so long without a request; 0: never."),
]
Kind = Annotated[
    str,
    typer.Argument(
        help="What goes wrong, such as throttle, lost-answer, quota or slow.",
        autocompletion=hazards,
    ),
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="PATTERN",
        help="The operation: 'PUT onlineEndpoints', '* deployments', 'POST score', 'provision'.",
    ),
]
Target = Annotated[
    str, typer.Option("--target", metavar="PATTERN", help="Only for this name, such as a slot's.")
]
Count = Annotated[
    int, typer.Option("--count", min=0, help="How often it strikes; 0: until it is cleared.")
]
Skip = Annotated[int, typer.Option("--skip", min=0, help="Let so many operations pass first.")]
Probability = Annotated[
    float, typer.Option("--probability", min=0, max=1, help="Chance that it strikes.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="What the chances are drawn from.")]
Seconds = Annotated[
    float, typer.Option("--seconds", min=0, help="How long slow takes; Retry-After of throttle.")
]
Live = Annotated[
    bool, typer.Option("--live", help="Only scoring requests that the traffic rules routed.")
]
Environments = Annotated[
    str,
    typer.Option(
        "--environments",
        metavar="MODE",
        help="What steps run in: current (our own Python, the default), or isolated (a virtual "
        "environment for each conda specification).",
    ),
]


@command(app, "start", both=True)
def start(session: Session, environments: Environments = "", idle_minutes: Idle = None) -> Outcome:
    """Start the emulator, or find the one that runs."""
    from taxiops.workflows import emulator

    result = emulator.start(session.settings, environments, idle_minutes)
    return shown(result, "The emulator runs.")


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


@command(app, "export", both=True)
def export(session: Session, file: File) -> Outcome:
    """Write all that a stopped emulator holds to a new file: documents, blobs, endpoint keys."""
    from taxiops.workflows import emulator

    return shown(emulator.export(session.settings, file), "The state is exported.")


@command(app, "import", both=True)
def import_(session: Session, file: File) -> Outcome:
    """Fill an empty emulator from an export; what it deploys runs here, so import only your own."""
    from taxiops.workflows import emulator

    return shown(emulator.import_file(session.settings, file), "The state is imported.")


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


@command(faults, "add", both=True)
def fault_add(
    session: Session,
    kind: Kind,
    on: On,
    target: Target = "*",
    count: Count = 1,
    skip: Skip = 0,
    probability: Probability = 1.0,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    live: Live = False,
) -> Outcome:
    """Switch a hazard on, as docs/explanation/emulator.md lists them."""
    from taxiops.workflows import emulator

    fault = {
        "kind": kind,
        "on": on,
        "target": target,
        "count": count,
        "skip": skip,
        "probability": probability,
        "seed": seed,
        "seconds": seconds,
        "is_live": live,
    }
    return shown(emulator.add_fault(session.settings, fault), f"{on}: {kind} is switched on.")


@command(faults, "list", both=True)
def fault_list(session: Session) -> Outcome:
    """Show the hazards that are switched on, and how often each struck."""
    from taxiops.cli.console import Table
    from taxiops.workflows import emulator

    result = emulator.list_faults(session.settings)
    names = ("name", "kind", "on", "target", "count", "struck")
    rows = tuple(tuple(str(each[name]) for name in names) for each in result.facts["faults"])
    headline = "" if rows else "No fault is switched on."
    return Outcome(result, headline=headline, blocks=(Table(names, rows),) if rows else ())


@command(faults, "clear", both=True)
def fault_clear(session: Session) -> Outcome:
    """Switch all hazards off."""
    from taxiops.workflows import emulator

    result = emulator.clear_faults(session.settings)
    return Outcome(result, headline=f"{result.facts['cleared']} switched off.")


def shown(result: "EmulatorResult", headline: str) -> Outcome:
    from taxiops.cli.console import Facts

    hidden = ("schema_version", "running")
    facts = tuple((name, str(v)) for name, v in result.facts.items() if name not in hidden)
    return Outcome(result, headline=headline, blocks=(Facts(facts),) if facts else ())
