"""`taxiops cleanup`: parse, call the workflows, render."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taxiops.cli import completion
from taxiops.cli.shared import Outcome, Session, command, noun
from taxiops.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from taxiops.workflows.clean_up_models import CleanupResult

RETAINED = 5
app = noun("Remove model versions and deployments nobody needs; shows the plan first.")

# The spellings with underscores are those of the script that this command took over from.
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model-name",
        "--model_name",
        help="The model (default: the configured one).",
        autocompletion=completion.models,
    ),
]
Registry = Annotated[
    str | None,
    typer.Option(
        "--registry",
        help="Clean this registry (default: the configured).",
        autocompletion=completion.registries,
    ),
]
Workspace = Annotated[
    str | None,
    typer.Option(
        "--workspace", help="Clean this workspace instead.", autocompletion=completion.workspaces
    ),
]
Retain = Annotated[
    int | None,
    typer.Option(
        "--retain-versions",
        "--retain_versions",
        min=1,
        metavar="N",
        help="Keep the newest N versions (default: 5).",
    ),
]
Apply = Annotated[bool, typer.Option("--apply", help="Delete; without it, only the plan is shown.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "--dry_run", help="Only show the plan, as without --apply.")
]
Plan = Annotated[
    Path | None,
    typer.Option(
        "--plan", metavar="FILE", help="Carry this plan out: delete what it names, if still unused."
    ),
]
OutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--output-folder",
        "--output_folder",
        metavar="FOLDER",
        help="Write plan and report below this folder (default: the output folder).",
    ),
]
Slot = Annotated[
    str | None,
    typer.Option("--slot", help="A slot without traffic.", autocompletion=completion.slots),
]
Endpoint = Annotated[bool, typer.Option("--endpoint", help="The whole endpoint; Dev only.")]


@command(app, "models", both=True)
def models(
    session: Session,
    model_name: ModelName = None,
    registry: Registry = None,
    workspace: Workspace = None,
    retain_versions: Retain = None,
    apply: Apply = False,
    dry_run: DryRun = False,
    plan: Plan = None,
    output_folder: OutputFolder = None,
) -> Outcome:
    """Delete old model versions; never one that serves or that a rollback needs."""
    if registry and workspace:
        raise UsageError("--registry and --workspace exclude each other.", hint="Give one.")
    if apply and dry_run:
        raise UsageError("--apply and --dry-run exclude each other.", hint="Give one.")
    if plan and retain_versions:
        raise UsageError(
            "--plan and --retain-versions exclude each other.", hint="The plan says how many stay."
        )
    from taxiops.workflows.clean_up_models import CleanupOptions, clean_up_models

    options = CleanupOptions(
        model_name=model_name,
        registry=registry,
        workspace=workspace,
        retain_versions=retain_versions or RETAINED,
        apply=apply,
        plan=plan,
        output_folder=output_folder,
    )
    return shown(clean_up_models(session.settings, options, session.progress))


def shown(result: "CleanupResult") -> Outcome:
    """The plan or what became of it, with every version's reason."""
    from collections import Counter

    from taxiops.cli.console import Table

    counts = Counter(row.action for row in result.versions)
    counted = ", ".join(f"{n} {action.replace('_', ' ')}" for action, n in sorted(counts.items()))
    headline = f"{result.name} in {result.place}: {counted}"
    rows = tuple((row.version, row.action.replace("_", " "), row.reason) for row in result.versions)
    files = f"report: {result.report}\nplan: {result.plan}"
    return Outcome(
        result,
        headline=headline,
        blocks=(Table(("version", "action", "reason"), rows), files),
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
    from taxiops.workflows.clean_up_deployment import clean_up_deployment

    result = clean_up_deployment(session.settings, slot, endpoint, apply, session.progress)
    verb = "would be deleted" if result.dry_run else "is deleted"
    removed = result.removed[:1].upper() + result.removed[1:]
    headline = f"{removed} {verb}; {result.endpoint} serves {shares(result.traffic)}"
    return Outcome(result, headline=headline, blocks=(result.note,) if result.note else ())
