"""`taxiops trace`: parse, call the workflow, render."""

from pathlib import Path
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
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE",
        help="Write the chain as in-toto statements, signed when TAXIOPS_SIGNING_KEY is set.",
    ),
]
Verify = Annotated[
    Path | None,
    typer.Option(
        "--verify",
        metavar="FILE",
        help="Check an export's signatures, and that the chain still fits it.",
    ),
]


@command(app, "trace")
def trace(
    session: Session,
    model_version: ModelVersion = None,
    commit: Commit = None,
    deployment: Deployment = None,
    validated: Validated = False,
    export: Export = None,
    verify: Verify = None,
) -> Outcome:
    """Show the chain from the commit to the traffic, each link checked against the bytes.

    Commit, job, training data, model, comparison, policy, verdict, registry version, deployments,
    ledger, traffic. Exit code 3 names the first broken link; trace/trace.json has all of them.
    """
    from taxiops.cli.console import Facts, Table
    from taxiops.workflows.trace import TraceOptions
    from taxiops.workflows.trace import trace as run

    # An empty option is one left away, as in a workflow whose input is empty.
    which = (model_version or None, commit or None, deployment or None, validated)
    options = TraceOptions(*which, export, verify)
    result = run(session.settings, options, session.progress)
    links = tuple(
        (each.state, each.link, each.checked, each.why or each.against) for each in result.findings
    )
    rows = tuple(
        (each.environment, each.slot, f"{each.percent} %", each.endpoint)
        for each in result.deployments
    )
    serving = (Table(("environment", "slot", "share", "endpoint"), rows),) if rows else ()
    count = len(result.unread)
    more = f"; {count} could not be checked" if count else ""
    return Outcome(
        result,
        headline=f"{result.model.name} version {result.model.version}: no link is broken{more}.",
        blocks=(
            Table(("", "link", "checked", "against, or why not"), links),
            *serving,
            Facts(tuple(sorted(result.tags.items()))),
            *((f"exported to {result.exported}",) if result.exported else ()),
            *((f"{verify}: signed, and of this very chain",) if verify else ()),
        ),
        outputs={
            "model_name": result.model.name,
            "model_version": result.model.version,
            "commit": result.commit.removesuffix("-dirty"),
        },
    )
