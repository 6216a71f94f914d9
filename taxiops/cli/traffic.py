"""`taxiops traffic`: parse, call the workflows, render."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taxiops.cli.shared import Outcome, Session, command, noun
from taxiops.domain.rollout import live_only

if TYPE_CHECKING:
    from taxiops.cli.console import Block, Table

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


RunId = Annotated[
    str,
    typer.Option(
        "--run-id", metavar="ID", help="Only if the last deployment was made by this run."
    ),
]


def shares(traffic: Mapping[str, int]) -> str:
    """A distribution in words, the largest share first; slots without a share are left out."""
    ordered = sorted(live_only(traffic).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{slot} {percent} %" for slot, percent in ordered) or "no traffic"


def slots_table(slots: Sequence[Mapping[str, Any]]) -> "Table":
    from taxiops.cli.console import Table

    rows = tuple(
        (
            slot["slot"],
            f"{slot['percent']} %",
            f"{slot['model']} {slot['model_version']}".strip() or "-",
            slot["commit"][:10] or "-",
            slot["state"],
            slot["deployed_at"].partition(".")[0] or "-",
        )
        for slot in slots
    )
    return Table(("slot", "share", "model", "commit", "state", "deployed"), rows)


@command(app, "show")
def show(session: Session) -> Outcome:
    """Show the distribution, the slots, their model versions and health."""
    from taxiops.workflows.shift_traffic import show_traffic

    view = show_traffic(session.settings)
    blocks: tuple[Block, ...] = (slots_table(view.document()["slots"]),) if view.slots else ()
    if live_only(view.mirror):
        blocks += (f"mirrored: {shares(view.mirror)}",)
    return Outcome(view, headline=f"{view.endpoint}: {shares(view.traffic)}", blocks=blocks)


@command(app, "promote")
def promote(session: Session, state: State = None, percent: Percent = 100) -> Outcome:
    """Move the validated slot to the share; the other slot stays warm for a rollback."""
    from taxiops.workflows.shift_traffic import promote_traffic

    result = promote_traffic(session.settings, state, percent, session.progress)
    note = () if result.changed else ("It was so already.",)
    return Outcome(result, headline=f"{result.endpoint}: {shares(result.traffic)}", blocks=note)


@command(app, "rollback")
def rollback(session: Session, state: State = None, run_id: RunId = "") -> Outcome:
    """Restore the exact prior distribution, then delete the failed slot.

    Works without the state file; a second call changes nothing.
    """
    from taxiops.workflows.roll_back import roll_back

    result = roll_back(session.settings, state, session.progress, run_id=run_id)
    headline = "Rolled back" if result.changed else "Nothing to roll back"
    removed = (f"Slot {result.removed_slot} is deleted.",) if result.removed_slot else ()
    return Outcome(
        result,
        headline=f"{headline}: {result.endpoint} serves {shares(result.traffic)}",
        blocks=(result.note, *removed),
    )
