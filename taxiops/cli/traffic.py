"""`taxiops traffic`: parse, call the workflows, render."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from taxiops.cli.shared import Outcome, Session, command, noun

app = noun("Show, move and restore the traffic of an endpoint.")

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="FILE",
        help="deployment_state.json (default: the last deploy's; the endpoint itself suffices).",
    ),
]
Percent = Annotated[
    int, typer.Option("--percent", min=1, max=100, help="Share of the validated slot.")
]


def shares(traffic: Mapping[str, int]) -> str:
    """A distribution in words, the largest share first."""
    if not traffic:
        return "no traffic"
    ordered = sorted(traffic.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{slot} {percent} %" for slot, percent in ordered)


@command(app, "show")
def show(session: Session) -> Outcome:
    """Show the distribution, the slots, their model versions and health."""
    from taxiops.workflows.shift_traffic import show_traffic

    view = show_traffic(session.settings)
    return Outcome(view, headline=f"{view.endpoint}: {shares(view.traffic)}")


@command(app, "promote")
def promote(session: Session, state: State = None, percent: Percent = 100) -> Outcome:
    """Move the validated slot to the share; the other slot stays warm for a rollback."""
    from taxiops.workflows.shift_traffic import promote_traffic

    result = promote_traffic(session.settings, state, percent, session.progress)
    return Outcome(result, headline=f"{result.endpoint}: {shares(result.traffic)}")


@command(app, "rollback")
def rollback(session: Session, state: State = None) -> Outcome:
    """Restore the exact prior distribution, then delete the failed slot.

    Works without the state file; a second call changes nothing.
    """
    from taxiops.workflows.roll_back import roll_back

    result = roll_back(session.settings, state, session.progress)
    headline = "Rolled back" if result.changed else "Nothing to roll back"
    removed = (f"Slot {result.removed_slot} is deleted.",) if result.removed_slot else ()
    return Outcome(result, headline=f"{headline}: {shares(result.traffic)}", blocks=removed)
