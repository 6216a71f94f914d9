"""`taxiops history`: parse, call the workflow, render."""

from typing import Annotated

import typer

from taxiops.cli.shared import Outcome, Session, command, verb

app = verb()

At = Annotated[
    str, typer.Option("--at", metavar="TIME", help="What served then, such as 2026-11-23T18:30Z.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many events to show.")]


@command(app, "history")
def history(session: Session, at: At = "", limit: Limit = 20) -> Outcome:
    """Show what served when at the environment's endpoint, and who put it there."""
    from taxiops.cli.console import Table
    from taxiops.cli.traffic import shares
    from taxiops.workflows.history import read_history

    result = read_history(session.settings, at, limit, session.progress)
    columns = ("at", "event", "slot", "version", "by", "traffic afterwards")
    rows = tuple(
        (
            each.texts["at"].partition(".")[0],
            each.texts["event"],
            each.texts["slot"],
            each.texts["model_version"],
            each.texts["actor"],
            shares(each.after),
        )
        for each in result.events
    )
    if not rows:
        return Outcome(result, headline=f"{result.endpoint}: nothing is recorded.")
    when = f" at {at}" if at else ""
    headline = f"{result.endpoint}{when}: {shares(result.traffic)}"
    return Outcome(result, headline=headline, blocks=(Table(columns, rows),))
