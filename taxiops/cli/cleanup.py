"""`taxiops cleanup`: parse, call the workflows, render."""

from typing import Annotated

import typer

from taxiops.cli.shared import Outcome, Session, command, noun
from taxiops.errors import ExitCode, UsageError

app = noun("Remove model versions and deployments nobody needs; shows the plan first.")

ModelName = Annotated[
    str | None, typer.Option("--model-name", help="The model (default: the configured one).")
]
Registry = Annotated[
    str | None, typer.Option("--registry", help="Clean this registry (default: the configured).")
]
Workspace = Annotated[str | None, typer.Option("--workspace", help="Clean this workspace instead.")]
Retain = Annotated[
    int, typer.Option("--retain-versions", min=1, metavar="N", help="Keep the newest N versions.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Delete; without it, only the plan is shown.")]
Slot = Annotated[str | None, typer.Option("--slot", help="A slot without traffic.")]
Endpoint = Annotated[bool, typer.Option("--endpoint", help="The whole endpoint; Dev only.")]


@command(app, "models", both=True)
def models(
    session: Session,
    model_name: ModelName = None,
    registry: Registry = None,
    workspace: Workspace = None,
    retain_versions: Retain = 5,
    apply: Apply = False,
) -> Outcome:
    """Delete old model versions; never one that serves or that a rollback needs."""
    if registry and workspace:
        raise UsageError("--registry and --workspace exclude each other.", hint="Give one.")
    from collections import Counter

    from taxiops.cli.console import Table
    from taxiops.workflows.clean_up import CleanupOptions, clean_up_models

    options = CleanupOptions(
        model_name=model_name,
        registry=registry,
        workspace=workspace,
        retain_versions=retain_versions,
        apply=apply,
        output_folder=session.settings.output,
    )
    result = clean_up_models(session.settings, options, session.progress)
    counts = Counter(row.action for row in result.versions)
    counted = ", ".join(f"{n} {action.replace('_', ' ')}" for action, n in sorted(counts.items()))
    headline = f"{result.name} in {result.place}: {counted}"
    rows = tuple((row.version, row.action.replace("_", " "), row.reason) for row in result.versions)
    return Outcome(
        result,
        headline=headline,
        blocks=(Table(("version", "action", "reason"), rows), f"report: {result.report}"),
        exit_code=ExitCode.FAILED if counts["failed"] else ExitCode.DONE,
        failure=headline if counts["failed"] else "",
    )


@command(app, "deployment")
def deployment(
    session: Session, slot: Slot = None, endpoint: Endpoint = False, apply: Apply = False
) -> Outcome:
    """Remove a slot without traffic, or the Dev endpoint."""
    if bool(slot) == endpoint:
        raise UsageError(
            "Give either --slot or --endpoint.", hint="taxiops cleanup deployment --slot blue"
        )
    from taxiops.cli.traffic import shares
    from taxiops.workflows.clean_up import clean_up_deployment

    result = clean_up_deployment(session.settings, slot, endpoint, apply, session.progress)
    verb = "would be deleted" if result.dry_run else "is deleted"
    removed = result.removed[:1].upper() + result.removed[1:]
    return Outcome(
        result, headline=f"{removed} {verb}; {result.endpoint} serves {shares(result.traffic)}"
    )
