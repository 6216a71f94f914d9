"""`taxiops status`: parse, call the workflow, render."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.cli.traffic import shares
from taxiops.errors import UsageError

if TYPE_CHECKING:
    from taxiops.cli.console import Block
    from taxiops.workflows.status import EnvironmentStatus, StatusResult

app = verb()

BAR = 20
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Look again and again until Ctrl-C; without a terminal, a line a change."
    ),
]


# A look is written while the body runs; a spinner beside a page refreshed in place breaks both.
@command(app, "status", both=True, own_stdout=True, plain_progress=True)
def status(session: Session, watch: Watch = False) -> Outcome:
    """Show what serves in Dev and Prod, since when, who changes it, and what to type next."""
    from taxiops.workflows.status import read_status
    from taxiops.workflows.status import watch as run

    if watch and session.json_wanted:
        raise UsageError(
            "--watch and --json exclude each other.", hint="taxiops status --json, in a loop"
        )
    if watch:
        with session.watching() as show:
            run(session.settings, lambda seen, lines: show(page(seen), lines))
    result = read_status(session.settings, session.progress)
    return Outcome(result, blocks=page(result))


def page(result: "StatusResult") -> "tuple[Block, ...]":
    """Everything there is to see of both environments."""
    return tuple(block for each in result.environments for block in section(each, result.at))


def section(status: "EnvironmentStatus", at: datetime) -> "tuple[Block, ...]":
    """One environment: what serves, its slots, and what an operator must know."""
    from taxiops.cli.console import Facts

    if status.unread:
        return (f"{status.environment}: not readable: {status.unread}",)
    if not status.exists:
        missing = f"{status.environment}: {status.endpoint} does not exist yet."
        return missing, Facts(facts(status))
    headline = f"{status.environment}: {status.endpoint} serves {shares(status.traffic)}"
    return headline, slots_table(status, at), Facts(facts(status))


def slots_table(status: "EnvironmentStatus", at: datetime) -> "Block":
    from taxiops.cli.console import Table

    rows = []
    for slot in status.slots:
        percent = status.traffic.get(slot.name, 0)
        tags = slot.tags
        rows.append(
            (
                slot.name,
                f"{percent:>3} %",
                bar(percent),
                f"{tags.get('model', '')} {tags.get('model_version', '')}".strip() or "-",
                tags.get("commit", "")[:10] or "-",
                slot.state,
                age(tags.get("deployed_at", ""), at),
            )
        )
    columns = ("slot", "share", "traffic", "model", "commit", "state", "age")
    return Table(columns, tuple(rows))


def facts(status: "EnvironmentStatus") -> tuple[tuple[str, str], ...]:
    """What is known beside the slots, by name."""
    last, holder = status.last_event, status.holder
    happened = (
        f"{last['event']} at {last['at'].partition('.')[0]} by {last['actor']}" if last else ""
    )
    changing = (
        f"{holder.doing} by {holder.owner} on {holder.host}, since {holder.since}" if holder else ""
    )
    rows = (
        ("phase", status.phase.replace("_", " ")),
        ("slot's test", status.tested),
        ("mirrored", shares(status.mirror) if status.mirror else ""),
        ("last event", happened),
        ("lease", changing),
        *(("drift", text) for text in status.drift),
        ("undo", status.undo_command),
        ("next", status.next_command),
    )
    return tuple((name, text) for name, text in rows if text)


def bar(percent: int) -> str:
    """The share as a bar of plain characters, the same in every locale."""
    filled = round(percent * BAR / 100)
    return "#" * filled + "." * (BAR - filled)


def age(since: str, at: datetime) -> str:
    """How long ago a moment was, in its two largest units; `-` where it is not known."""
    try:
        seconds = int((at - datetime.fromisoformat(since)).total_seconds())
    except (ValueError, TypeError):
        return "-"
    for name, size, smaller, part in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // part} {smaller}"
    return f"{max(seconds, 0)} s"
