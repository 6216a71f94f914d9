"""`taxiops history`: parse, call the workflow, render."""

from typing import Annotated

import typer

from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.errors import ExitCode

app = verb()

At = Annotated[
    str, typer.Option("--at", metavar="TIME", help="What served then, such as 2026-11-23T18:30Z.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many events to show.")]
Accept = Annotated[
    str,
    typer.Option(
        "--accept",
        metavar="REASON",
        help="Write into the ledger that you know of the damage in it, and why it is no matter.",
    ),
]


@command(app, "history")
def history(session: Session, at: At = "", limit: Limit = 20, accept: Accept = "") -> Outcome:
    """Show what served when at the environment's endpoint, and who put it there.

    Checks the ledger as a whole; exit code 3 when an entry was edited, deleted, inserted or moved.
    """
    from taxiops.cli.console import Facts, Table
    from taxiops.cli.traffic import shares
    from taxiops.workflows.history import accept_breaks, read_history

    if accept:
        accept_breaks(session.settings, accept, session.progress)
    result = read_history(session.settings, at, limit, session.progress)
    columns = ("entry", "at", "event", "slot", "version", "by", "traffic afterwards")
    rows = tuple(
        (
            str(each.sequence) if each.sequence >= 0 else "-",
            each.texts["at"].partition(".")[0],
            each.texts["event"],
            each.texts["slot"],
            each.texts["model_version"],
            each.texts["actor"],
            shares(each.after),
        )
        for each in result.events
    )
    serving = tuple(
        (slot, f"version {put.texts['model_version']} by {put.texts['actor']}, {put.texts['at']}")
        for slot, put in result.serving.items()
    )
    when = f" at {at}" if at else ""
    told = shares(result.traffic) if rows else "nothing is recorded"
    broken = tuple(("amiss", each.text) for each in result.breaks)
    whole = () if broken else (("ledger", f"{result.entries} entries, each after the one before"),)
    return Outcome(
        result,
        headline=f"{result.endpoint}{when}: {told}",
        blocks=(*((Table(columns, rows),) if rows else ()), Facts((*serving, *whole, *broken))),
        exit_code=ExitCode.GATE_REFUSED if broken else ExitCode.DONE,
        failure=f"The ledger is damaged: {result.breaks[0].text}." if broken else "",
    )
