"""`taxiops promote`: parse, call the workflow, render."""

from pathlib import Path
from typing import Annotated

import typer

from taxiops.cli.shared import Outcome, Session, command, verb

app = verb()

Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="comparison.json (default: the last compare's)."),
]


@command(app, "promote")
def promote(session: Session, report: Report = None) -> Outcome:
    """Put the compared model, and no other, into the registry with its evidence as tags.

    Refuses without a passed gate; a second call changes nothing.
    """
    from taxiops.cli.console import Facts
    from taxiops.workflows.promote import promote as run

    result = run(session.settings, report, session.progress)
    verb = "is already promoted" if result.already_promoted else "is promoted"
    facts = (("model", result.name), ("version", result.version), ("digest", result.sha256))
    return Outcome(
        result,
        headline=f"{result.name} version {result.version} {verb} to registry {result.registry}.",
        blocks=(Facts((*facts, *sorted(result.tags.items()))),),
        outputs={"model_name": result.name, "model_version": result.version},
    )
