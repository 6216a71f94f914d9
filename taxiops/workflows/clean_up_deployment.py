"""`taxiops cleanup deployment`: a slot without traffic, or the Dev endpoint, deleted on demand."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.views import EndpointView
from taxiops.config import PROD, Settings
from taxiops.errors import Conflict, NotFound, UsageError
from taxiops.workflows import record as records
from taxiops.workflows.clean_up_models import refuse_in_ci
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.ledger import Ledger
from taxiops.workflows.record import record_of_tags
from taxiops.workflows.rollout import connect_to
from taxiops.workflows.turn import turn_at


@dataclass(frozen=True)
class DeploymentCleanupResult:
    """What was, or would be, deleted of an endpoint. note: what that takes away; may be empty."""

    endpoint: str
    removed: str
    dry_run: bool
    traffic: Mapping[str, int]
    next_command: str
    note: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "removed": self.removed,
            "dry_run": self.dry_run,
            "traffic": dict(self.traffic),
            "note": self.note,
            "next_command": self.next_command,
        }


def clean_up_deployment(
    settings: Settings, slot: str | None, endpoint: bool, apply: bool, progress: Progress
) -> DeploymentCleanupResult:
    """Delete a slot without traffic, or the whole Dev endpoint; only shown unless `apply`.

    Raises Conflict for a slot that carries traffic, UsageError for the Prod endpoint and in CI.
    """
    refuse_in_ci(os.environ)
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
        note="" if endpoint else what_is_lost(found, environment.name, name),
    )


def what_is_lost(endpoint: EndpointView, env: str, slot: str) -> str:
    """What cannot be done once the slot is gone; empty when nothing."""
    record = record_of_tags(endpoint.tags, env, endpoint.name)
    if record is None or record.phase not in records.OPEN or not record.prior_traffic.get(slot):
        return ""
    return f"The last rollout's rollback goes back to {slot}; without it there is none."


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
            hint="taxiops status",
            code="slot-live",
        )
