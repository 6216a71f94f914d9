"""`taxiops cleanup`: versions and slots nobody needs, planned first, deleted when asked to."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints, models
from taxiops.cloud.client import Connection
from taxiops.cloud.views import EndpointView
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.outcome_files import CleanedVersion, CleanupReport
from taxiops.domain.retention import (
    DELETED,
    FAILED,
    KEPT,
    WOULD_DELETE,
    CleanupPlan,
    ModelVersion,
    RetentionPolicy,
    plan_cleanup,
)
from taxiops.errors import Conflict, NotFound, StepFailed, TaxiopsError, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, write_document
from taxiops.workflows.ledger import Ledger
from taxiops.workflows.record import TAG_PREFIX, record_of_tags
from taxiops.workflows.rollout import connect_to
from taxiops.workflows.turn import turn_at

MODEL_ID = re.compile(r"/models/([^/]+)/versions/([^/]+)$")
REPORT = Path("cleanup") / "cleanup_report.json"
CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "TF_BUILD")


@dataclass(frozen=True)
class CleanupOptions:
    """Whose versions (None: as configured), how many to keep, whether to delete."""

    model_name: str | None = None
    registry: str | None = None
    workspace: str | None = None
    retain_versions: int = 5
    apply: bool = False
    output_folder: Path | None = None


@dataclass(frozen=True)
class CleanupResult:
    """What became, or would become, of every version."""

    name: str
    place: str
    written: CleanupReport
    report: Path
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
            "next_command": self.next_command,
        }


@dataclass(frozen=True)
class DeploymentCleanupResult:
    """What was, or would be, deleted of an endpoint."""

    endpoint: str
    removed: str
    dry_run: bool
    traffic: Mapping[str, int]
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "removed": self.removed,
            "dry_run": self.dry_run,
            "traffic": dict(self.traffic),
            "next_command": self.next_command,
        }


def clean_up_models(
    settings: Settings, options: CleanupOptions, progress: Progress
) -> CleanupResult:
    """Plan, and with `apply` carry out, the deletion of versions that nothing uses.

    Never one that a deployment in either workspace or a rollback needs: if one workspace cannot be
    read, nothing is planned. Raises UsageError in CI, NotFound when there is no such model.
    """
    refuse_in_ci(os.environ)
    policy = RetentionPolicy(options.retain_versions)
    name = options.model_name or settings.model_name
    connection, client, place = target_of(settings, options)
    found = models.list_versions(client, name)
    if not found:
        raise NotFound(f"There is no model {name} in {place}.", code="model-missing")
    protected = read_protected(settings, name, progress)
    versions = [ModelVersion(version.version, version.tags) for version in found]
    plan = plan_cleanup(versions, protected, policy)
    rows = planned(plan)
    if options.apply:
        rows = deleted(connection, plan, name, options.workspace is None, progress)
    written = CleanupReport(not options.apply, options.retain_versions, rows)
    path = (options.output_folder or settings.output) / REPORT
    write_document(path, report_document(written))
    return CleanupResult(name, place, written, path, next_command(options, plan))


def refuse_in_ci(environ: Mapping[str, str]) -> None:
    """Deleting what Prod may need is a person's decision; raises UsageError on a CI runner."""
    found = [name for name in CI_VARIABLES if environ.get(name, "").lower() in ("1", "true")]
    if found:
        raise UsageError(
            "Versions are not deleted from CI.",
            why=f"{found[0]} is set.",
            hint="Run taxiops cleanup models on your own machine.",
            code="cleanup-in-ci",
        )


def target_of(settings: Settings, options: CleanupOptions) -> tuple[Connection, Any, str]:
    """The connection, the SDK client of the place to clean, and its name for people."""
    if options.workspace is None:
        if options.registry not in (None, settings.registry):
            raise UsageError(
                f"--registry {options.registry}: not the configured registry {settings.registry}.",
                why="Its users are unknown here, so nothing there can be called unused.",
                hint="Set AML_DEV_REGISTRY.",
            )
        connection = connect_to(settings, DEV)
        return connection, connection.registry, f"registry {settings.registry}"
    for env in (DEV, PROD):
        if settings.environment(env).workspace == options.workspace:
            connection = connect_to(settings, env)
            return connection, connection.workspace, f"workspace {options.workspace}"
    raise UsageError(
        f"--workspace {options.workspace}: not a configured workspace.",
        hint=f"Configured: {settings.dev.workspace}, {settings.prod.workspace}.",
    )


def read_protected(settings: Settings, name: str, progress: Progress) -> dict[str, list[str]]:
    """Version -> why it must stay: every deployment of every endpoint, every rollback target."""
    protected: dict[str, list[str]] = {}
    for env in (DEV, PROD):
        connection = connect_to(settings, env)
        progress(f"reading what {connection.environment.workspace} uses")
        for endpoint in endpoints.list_endpoints(connection):
            for slot in endpoint.slots.values():
                match = MODEL_ID.search(slot.model)
                if match and match.group(1) == name:
                    why = f"deployed in {env}: {endpoint.name}/{slot.name}"
                    protected.setdefault(match.group(2), []).append(why)
            told = endpoint.tags.get(f"{TAG_PREFIX}model") == name
            record = record_of_tags(endpoint.tags, env, endpoint.name) if told else None
            if record is not None:
                why = f"the last rollout in {env}: {endpoint.name}"
                protected.setdefault(record.model.version, []).append(why)
    return protected


def planned(plan: CleanupPlan) -> tuple[CleanedVersion, ...]:
    return tuple(
        CleanedVersion(each.version, KEPT if each.is_kept else WOULD_DELETE, each.reason)
        for each in plan.decisions
    )


def deleted(
    connection: Connection, plan: CleanupPlan, name: str, is_registry: bool, progress: Progress
) -> tuple[CleanedVersion, ...]:
    """Delete what the plan says, the oldest first; one that fails does not stop the others."""
    outcome: dict[str, tuple[str, str]] = {}
    client = connection.registry if is_registry else connection.workspace
    for version in plan.to_delete:
        progress(f"deleting {name} version {version}")
        try:
            models.delete_version(connection, name, version, registry=is_registry)
            if models.read_version(client, name, version) is not None:
                raise StepFailed("The service accepted it, but the version is still there.")
        except TaxiopsError as error:
            outcome[version] = (FAILED, f"{error.what} {error.why}".strip())
    rows = []
    for each in plan.decisions:
        usual = (KEPT if each.is_kept else DELETED, each.reason)
        rows.append(CleanedVersion(each.version, *outcome.get(each.version, usual)))
    return tuple(rows)


def report_document(report: CleanupReport) -> dict[str, Any]:
    """cleanup/cleanup_report.json."""
    rows: Sequence[CleanedVersion] = report.versions
    return {
        "schema_version": SCHEMA_VERSION,
        "dry_run": report.dry_run,
        "retain_versions": report.retain_versions,
        "versions": [
            {"version": row.version, "action": row.action, "reason": row.reason} for row in rows
        ],
    }


def next_command(options: CleanupOptions, plan: CleanupPlan) -> str:
    if options.apply or not plan.to_delete:
        return "taxiops traffic show"
    place = f" --workspace {options.workspace}" if options.workspace else ""
    return f"taxiops cleanup models{place} --retain-versions {options.retain_versions} --apply"


def clean_up_deployment(
    settings: Settings, slot: str | None, endpoint: bool, apply: bool, progress: Progress
) -> DeploymentCleanupResult:
    """Delete a slot without traffic, or the whole Dev endpoint; only shown unless `apply`.

    Raises Conflict for a slot that carries traffic, UsageError for the Prod endpoint.
    """
    connection = connect_to(settings)
    environment = connection.environment
    if endpoint and environment.name == PROD:
        raise UsageError(
            "The Prod endpoint is not deleted by cleanup.",
            hint="taxiops cleanup deployment --endpoint --env dev",
            code="endpoint-prod",
        )
    found = endpoints.require_endpoint(connection)
    name = (slot or "").lower()
    if not endpoint:
        check_idle(found, name)
    what = f"endpoint {found.name}" if endpoint else f"slot {name}"
    if apply:
        ledger = Ledger(settings, environment.name, environment.endpoint)
        with turn_at(connection, ledger, "cleanup deployment", "", progress) as turn:
            progress(f"deleting {what}")
            turn.check()
            if endpoint:
                endpoints.delete_endpoint(connection, progress)
            else:
                check_idle(endpoints.require_endpoint(connection), name)
                endpoints.delete_slot(connection, name, progress)
    after = endpoints.read_endpoint(connection)
    env = f"--env {environment.name}"
    option = "--endpoint" if endpoint else f"--slot {name}"
    again = f"taxiops cleanup deployment {option} {env} --apply"
    done = f"taxiops deploy {env}" if after is None else f"taxiops traffic show {env}"
    return DeploymentCleanupResult(
        endpoint=found.name,
        removed=what,
        dry_run=not apply,
        traffic=after.traffic if after else {},
        next_command=done if apply else again,
    )


def check_idle(endpoint: EndpointView, slot: str) -> None:
    if slot not in endpoint.slots:
        raise NotFound(
            f"Endpoint {endpoint.name} has no slot {slot}.",
            hint=f"It has: {', '.join(sorted(endpoint.slots)) or 'none'}.",
            code="slot-missing",
        )
    share = endpoint.traffic.get(slot, 0) or endpoint.mirror.get(slot, 0)
    if share:
        raise Conflict(
            f"Slot {slot} of {endpoint.name} carries {share} percent of the traffic.",
            hint="taxiops traffic show",
            code="slot-live",
        )
