"""`taxiops cleanup models`: versions nobody needs, planned first, deleted when asked to."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from taxiops.cloud import models
from taxiops.cloud.client import Connection
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.cleanup_plan import PlanFile, parse_cleanup_plan
from taxiops.domain.outcome_files import CleanedVersion, CleanupReport
from taxiops.domain.retention import (
    FAILED,
    KEPT,
    WOULD_DELETE,
    ModelVersion,
    RetentionPolicy,
    plan_cleanup,
    protections,
)
from taxiops.errors import NotFound, UsageError
from taxiops.workflows.deletions import Outcomes, World, carry_out
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    Progress,
    append_line,
    now,
    read_document,
    write_document,
)
from taxiops.workflows.evidence.ledger import JOURNAL_FOLDER, Ledger, actor
from taxiops.workflows.in_use import read_uses
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.rollouts.turn import turn_at

FOLDER = Path("cleanup")
REPORT, PLAN = FOLDER / "cleanup_report.json", FOLDER / "cleanup_plan.json"
# What runners set: GitHub, GitLab and most others; Azure Pipelines; Jenkins; TeamCity.
CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION")
NOT_SET = ("", "0", "false", "no")


@dataclass(frozen=True)
class CleanupOptions:
    """Whose versions (None: as configured), how many to keep, whether to delete.

    plan: a plan file to carry out, and nothing but what it says.
    """

    model_name: str | None = None
    registry: str | None = None
    workspace: str | None = None
    retain_versions: int = 5
    apply: bool = False
    plan: Path | None = None
    output_folder: Path | None = None


@dataclass(frozen=True)
class CleanupResult:
    """What became, or would become, of every version."""

    name: str
    place: str
    written: CleanupReport
    report: Path
    plan: Path
    next_command: str

    @property
    def versions(self) -> tuple[CleanedVersion, ...]:
        return self.written.versions

    def document(self) -> dict[str, Any]:
        return {
            **report_document(self.written),
            "name": self.name,
            "place": self.place,
            "report": str(self.report),
            "plan": str(self.plan),
            "next_command": self.next_command,
        }


@dataclass(frozen=True)
class Place:
    """The registry or workspace to clean. client: the SDK's client of it."""

    connection: Connection
    client: Any
    is_registry: bool
    text: str

    def versions(self, name: str) -> list[ModelVersion]:
        return [seen(each) for each in models.list_versions(self.client, name)]

    def version(self, name: str, version: str) -> ModelVersion | None:
        found = models.read_version(self.client, name, version)
        return seen(found) if found else None

    def delete(self, name: str, version: str) -> None:
        models.delete_version(self.connection, name, version, registry=self.is_registry)


def seen(version: models.ModelVersion) -> ModelVersion:
    """A version as the domain wants it told."""
    return ModelVersion(version.version, version.tags, version.path)


def clean_up_models(
    settings: Settings, options: CleanupOptions, progress: Progress
) -> CleanupResult:
    """Plan, and with `apply` carry out, the deletion of versions that nothing uses.

    Never one that a deployment in either workspace or a rollback needs: if one workspace cannot be
    read, nothing is planned. Raises UsageError in CI, NotFound when there is no such model.
    """
    refuse_in_ci(os.environ)
    policy = RetentionPolicy(options.retain_versions)
    place = place_of(settings, options)
    output = options.output_folder or settings.output
    agreed = agreed_plan(options, place)
    name = agreed.name if agreed else options.model_name or settings.model_name
    if agreed is None:
        progress(f"listing the versions of {name} in {place.text}")
        versions = place.versions(name)
        if not versions:
            raise NotFound(f"There is no model {name} in {place.text}.", code="model-missing")
        progress("reading what both workspaces use")
        protected = protections(name, read_uses(settings))
        plan = plan_cleanup(versions, protected, policy)
        agreed = PlanFile(name, place.text, policy.retain_versions, plan, now(), actor())
    path = options.plan or output / PLAN
    if options.plan is None:
        write_document(path, agreed.document())
    if not options.apply:
        rows = tuple(shown(agreed))
        report = CleanupReport(True, agreed.retain_versions, rows)
    else:
        report = applied(settings, agreed, place, output / REPORT, progress)
    write_document(output / REPORT, report_document(report))
    command = next_command(report, path)
    return CleanupResult(name, place.text, report, output / REPORT, path, command)


def refuse_in_ci(environ: Mapping[str, str]) -> None:
    """Deleting what Prod may need is a person's decision; raises UsageError on a CI runner."""
    found = [name for name in CI_VARIABLES if environ.get(name, "").lower() not in NOT_SET]
    if found:
        raise UsageError(
            "Nothing is cleaned up from CI.",
            why=f"{found[0]} is set.",
            hint="Run taxiops cleanup on your own machine.",
            code="cleanup-in-ci",
        )


def place_of(settings: Settings, options: CleanupOptions) -> Place:
    """The place to clean; raises UsageError for one that is not configured."""
    if options.workspace is None:
        if options.registry not in (None, settings.registry):
            raise UsageError(
                f"--registry {options.registry}: not the configured registry {settings.registry}.",
                why="Its users are unknown here, so nothing there can be called unused.",
                hint="Set AML_DEV_REGISTRY.",
                code="place-unknown",
            )
        connection = connect_to(settings, DEV)
        return Place(connection, connection.registry, True, f"registry {settings.registry}")
    for env in (DEV, PROD):
        if settings.environment(env).workspace == options.workspace:
            connection = connect_to(settings, env)
            text = f"workspace {options.workspace}"
            return Place(connection, connection.workspace, False, text)
    raise UsageError(
        f"--workspace {options.workspace}: not a configured workspace.",
        hint=f"Configured: {settings.dev.workspace}, {settings.prod.workspace}.",
        code="place-unknown",
    )


def agreed_plan(options: CleanupOptions, place: Place) -> PlanFile | None:
    """The plan file that was named; raises UsageError when it is for another model or place."""
    if options.plan is None:
        return None
    document = read_document(options.plan, "cleanup plan", "taxiops cleanup models")
    plan = parse_cleanup_plan(document, str(options.plan))
    pairs = (("place", plan.place, place.text), ("model", plan.name, options.model_name))
    for what, theirs, ours in pairs:
        if ours not in (None, theirs):
            raise UsageError(
                f"{options.plan} is a plan for {what} {theirs!r}, not {ours!r}.",
                hint="taxiops cleanup models",
                code="plan-of-another",
            )
    return plan


def shown(agreed: PlanFile) -> Iterator[CleanedVersion]:
    for each in agreed.plan.decisions:
        action = KEPT if each.is_kept else WOULD_DELETE
        yield CleanedVersion(each.version, action, each.reason)


def applied(
    settings: Settings,
    agreed: PlanFile,
    place: Place,
    report: Path,
    progress: Progress,
) -> CleanupReport:
    """Carry the plan out; the report is written even when something ends it halfway."""
    outcomes: Outcomes = {}
    journal = settings.root / JOURNAL_FOLDER / "cleanup.jsonl"

    def note(event: str, version: str, detail: str = "") -> None:
        line = {"at": now(), "event": event, "model": agreed.name, "version": version}
        append_line(journal, {**line, "place": place.text, "actor": actor(), "detail": detail})
        progress(f"{event} {agreed.name} version {version}{': ' * bool(detail)}{detail}")

    try:
        with nobody_deploying(settings, progress) as check:
            world = World(
                check=check,
                version=partial(place.version, agreed.name),
                uses=partial(read_uses, settings),
                delete=partial(place.delete, agreed.name),
            )
            carry_out(agreed, world, outcomes, note)
    finally:
        rows = tuple(
            CleanedVersion(each.version, *outcomes.get(each.version, (KEPT, each.reason)))
            for each in agreed.plan.decisions
        )
        made = CleanupReport(False, agreed.retain_versions, rows)
        write_document(report, report_document(made))
    return made


@contextmanager
def nobody_deploying(settings: Settings, progress: Progress) -> Iterator[Callable[[], None]]:
    """Hold both endpoints' leases, so that no rollout of ours begins to use a version meanwhile.

    Gives what is to be called before each act. Raises Conflict naming who rolls out.
    """
    with ExitStack() as stack:
        turns = []
        for env in (DEV, PROD):
            connection = connect_to(settings, env)
            ledger = Ledger(settings, env, connection.environment.endpoint)
            turn = turn_at(connection, ledger, "cleanup models", "", progress)
            turns.append(stack.enter_context(turn))

        def check() -> None:
            for turn in turns:
                turn.check()

        yield check


def report_document(report: CleanupReport) -> dict[str, Any]:
    """cleanup/cleanup_report.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "dry_run": report.dry_run,
        "retain_versions": report.retain_versions,
        "versions": [
            {"version": row.version, "action": row.action, "reason": row.reason}
            for row in report.versions
        ],
    }


def next_command(report: CleanupReport, plan: Path) -> str:
    """Carrying the plan out, or what is left of it; a look at the endpoints when nothing is."""
    left = WOULD_DELETE if report.dry_run else FAILED
    if all(row.action != left for row in report.versions):
        return "taxiops status"
    return f"taxiops cleanup models --plan {shlex.quote(str(plan))} --apply"
