"""`taxiops cleanup deployment`: a slot without traffic, or the Dev endpoint, deleted on demand."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from taxiops.cloud import endpoints, slots
from taxiops.cloud.views import EndpointView
from taxiops.config import PROD, Settings
from taxiops.errors import Conflict, NotFound, UsageError
from taxiops.workflows.clean_up_models import refuse_in_ci
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, append_line, now
from taxiops.workflows.evidence.ledger import Ledger, actor
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import Record, record_of_tags
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.rollouts.turn import turn_at


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
    record = last_rollout(found, environment.name)
    if apply:
        ledger = Ledger(settings, environment.name, environment.endpoint)
        with turn_at(connection, ledger, "cleanup deployment", "", progress) as turn:
            turn.check()
            before = endpoints.require_endpoint(connection)
            if not endpoint:
                check_idle(before, name)
            told = Removal(turn.ledger, before, name, record)
            told.intend()
            progress(f"deleting {what}")
            if endpoint:
                endpoints.delete_endpoint(connection, progress)
            else:
                slots.delete_slot(connection, name, progress)
            told.done()
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
        note="" if endpoint else what_is_lost(record, name),
    )


@dataclass(frozen=True)
class Removal:
    """How a deletion is told: in the journal before, in the ledger after. slot empty: all of it."""

    ledger: Ledger
    endpoint: EndpointView
    slot: str
    record: Record | None

    def line(self) -> dict[str, Any]:
        event = "slot_deleted" if self.slot else "endpoint_deleted"
        line = {"at": now(), "event": event, "slot": self.slot or "all", "actor": actor()}
        return {**line, "detail": "cleanup deployment"}

    def intend(self) -> None:
        append_line(self.ledger.journal, {**self.line(), "intent": True})

    def done(self) -> None:
        """Where no rollout of ours is known, there is no ledger entry that this could follow."""
        before = dict(self.endpoint.traffic)
        after = {slot: share for slot, share in before.items() if self.slot and slot != self.slot}
        told = {**self.line(), "before": before, "after": after}
        append_line(self.ledger.journal, told)
        if self.record is None:
            return
        slot = self.endpoint.slots.get(self.slot)
        tags = slot.tags if slot else {}
        model = replace(
            self.record.model,
            version=tags.get("model_version", self.record.model.version),
            sha256=tags.get("model_sha256", self.record.model.sha256),
        )
        about = replace(self.record, slot=self.slot or self.record.slot, model=model)
        event = self.ledger.history_event(self.ledger.line(told["event"], about), about)
        self.ledger.publish(
            {**event, **{name: told[name] for name in ("detail", "before", "after")}}
        )


def last_rollout(endpoint: EndpointView, env: str) -> Record | None:
    """What the endpoint's tags tell; None when they tell nothing or were damaged."""
    try:
        return record_of_tags(endpoint.tags, env, endpoint.name)
    except UsageError:
        return None


def what_is_lost(record: Record | None, slot: str) -> str:
    """What cannot be done once the slot is gone; empty when nothing."""
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
