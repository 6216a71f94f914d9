"""`taxiops trace`: parse, call the workflow, render."""

from typing import Annotated

import typer

from taxiops.cli.completion import deployments
from taxiops.cli.deploy import Commit, ModelVersion
from taxiops.cli.shared import Outcome, Session, command, verb

app = verb()

Deployment = Annotated[
    str | None,
    typer.Option(
        "--deployment",
        metavar="ENV/SLOT",
        help="The version that this slot serves.",
        autocompletion=deployments,
    ),
]
Validated = Annotated[
    bool, typer.Option("--validated", help="Only a version that was validated in Dev.")
]


@command(app, "trace")
def trace(
    session: Session,
    model_version: ModelVersion = None,
    commit: Commit = None,
    deployment: Deployment = None,
    validated: Validated = False,
) -> Outcome:
    """Show the chain behind a promoted version: commit, job, comparison, registry, deployments.

    Every digest is checked; exit code 3 when a link is broken.
    """
    from taxiops.cli.console import Facts, Table
    from taxiops.workflows.trace import TraceOptions
    from taxiops.workflows.trace import trace as run

    # An empty option is one left away, as in a workflow whose input is empty.
    options = TraceOptions(model_version or None, commit or None, deployment or None, validated)
    result = run(session.settings, options, session.progress)
    facts = (
        ("digest", result.model.sha256),
        ("comparison job", f"{result.tags.get('comparison_run', '')} {result.job_status}".strip()),
        *sorted(result.tags.items()),
    )
    rows = tuple(
        (each.environment, each.slot, f"{each.percent} %", each.endpoint)
        for each in result.deployments
    )
    shown = (Table(("environment", "slot", "share", "endpoint"), rows),) if rows else ()
    return Outcome(
        result,
        headline=f"{result.model.name} version {result.model.version}: every link holds.",
        blocks=(Facts(facts), *shown, *(f"not readable: {text}" for text in result.unread)),
        outputs={
            "model_name": result.model.name,
            "model_version": result.model.version,
            "commit": result.commit.removesuffix("-dirty"),
        },
    )
