"""`taxiops traffic rollback`: exactly what served before, then the failed slot is deleted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.client import Connection
from taxiops.cloud.endpoints import EndpointView
from taxiops.config import DEV, Settings
from taxiops.errors import Conflict, RestoreFailed, StillRunning, TaxiopsError
from taxiops.workflows import record as records
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.record import Record
from taxiops.workflows.rollout import (
    Ledger,
    connect_to,
    nonzero,
    read_record,
    restore_prior,
    save_logs,
)


@dataclass(frozen=True)
class RollbackResult:
    """What serves after the rollback; note says what was or was not to do."""

    endpoint: str
    changed: bool
    traffic: Mapping[str, int]
    removed_slot: str
    note: str
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "changed": self.changed,
            "traffic": dict(self.traffic),
            "removed_slot": self.removed_slot,
            "note": self.note,
            "next_command": self.next_command,
        }


def roll_back(settings: Settings, state: Path | None, progress: Progress) -> RollbackResult:
    """Undo the last rollout, from the state file or from what the endpoint carries.

    A second call changes nothing. Where nothing served before, Dev keeps the endpoint online and
    Prod tears it down. Raises RestoreFailed when the prior state cannot be put back, UsageError or
    Conflict for a state file of another endpoint or rollout; these change nothing.
    """
    connection = connect_to(settings)
    environment = connection.environment
    ledger = Ledger(settings, environment.name, environment.endpoint, state)
    endpoint = endpoints.read_endpoint(connection)
    record = read_record(ledger, endpoint, state)
    if endpoint is None:
        return unchanged(ledger, {}, "There is no endpoint, so nothing serves.", progress)
    if record is None:
        return unchanged(ledger, endpoint.traffic, "No rollout is known here.", progress)
    if is_undone(record, endpoint):
        return unchanged(ledger, endpoint.traffic, "It is rolled back already.", progress)
    if record.first_deployment and environment.name == DEV and endpoint.live_traffic:
        note = f"Nothing served before slot {record.slot}, so Dev keeps the endpoint online."
        return unchanged(ledger, endpoint.traffic, note, progress)
    check_own(record, endpoint)
    return undo(connection, ledger, record, endpoint, progress)


def is_undone(record: Record, endpoint: EndpointView) -> bool:
    """Whether traffic is the prior one and the slot is gone."""
    over = record.phase in (records.ROLLED_BACK, records.FAILED)
    same = nonzero(endpoint.traffic) == nonzero(record.prior_traffic)
    return over and same and not is_left_over(record, endpoint)


def is_left_over(record: Record, endpoint: EndpointView) -> bool:
    """Whether the rollout's own slot is still there."""
    slot = endpoint.slots.get(record.slot)
    return slot is not None and slot.tags.get("model_sha256") == record.model.sha256


def check_own(record: Record, endpoint: EndpointView) -> None:
    """Refuse to undo what somebody else did since; raises Conflict."""
    known = {record.slot, *nonzero(record.prior_traffic)}
    foreign = sorted(set(endpoint.live_traffic) - known)
    slot = endpoint.slots.get(record.slot)
    replaced = slot is not None and slot.tags.get("model_sha256") not in (
        record.model.sha256,
        None,
        "",
    )
    if foreign or replaced:
        what = f"slot {', '.join(foreign)} got traffic" if foreign else "the slot was replaced"
        raise Conflict(
            f"Endpoint {endpoint.name} was changed by somebody else since the deployment.",
            why=f"Since then {what}.",
            hint=f"taxiops traffic show --env {record.environment}",
            code="endpoint-changed",
        )


def undo(
    connection: Connection,
    ledger: Ledger,
    record: Record,
    endpoint: EndpointView,
    progress: Progress,
) -> RollbackResult:
    undone = record.at(records.ROLLED_BACK)
    ledger.intend("rollback", undone, wanted=dict(record.prior_traffic))
    try:
        save_logs(connection, ledger.settings, record)
        after = restore_prior(connection, undone, records.ROLLED_BACK, progress)
    except (StillRunning, Conflict):
        raise
    except TaxiopsError as error:
        raise failure(record, error) from error
    traffic = after.traffic if after else {}
    removed = record.slot in endpoint.slots and (after is None or record.slot not in after.slots)
    note = "The prior distribution is back." if after else "The endpoint is deleted."
    ledger.done("rolled_back", undone, traffic, note)
    return RollbackResult(
        endpoint=record.endpoint,
        changed=True,
        traffic=traffic,
        removed_slot=record.slot if removed else "",
        note=note,
        next_command=show(ledger) if after else f"taxiops deploy --env {record.environment}",
    )


def failure(record: Record, error: TaxiopsError) -> RestoreFailed:
    """What a person types now, the last line going round taxiops."""
    shares = " ".join(f"{slot}={share}" for slot, share in nonzero(record.prior_traffic).items())
    by_hand = f'az ml online-endpoint update --name {record.endpoint} --traffic "{shares}"'
    return RestoreFailed(
        f"Rolling back {record.endpoint} failed: {error.what}",
        why=error.why,
        hint=f"taxiops traffic show --env {record.environment}; then "
        f"taxiops traffic rollback --env {record.environment} again; if that fails: {by_hand}",
        code=error.code,
        details=error.details,
    )


def unchanged(
    ledger: Ledger, traffic: Mapping[str, int], note: str, progress: Progress
) -> RollbackResult:
    progress(note)
    return RollbackResult(ledger.endpoint, False, traffic, "", note, show(ledger))


def show(ledger: Ledger) -> str:
    return f"taxiops traffic show --env {ledger.environment}"
