"""`taxiops traffic rollback`: exactly what served before, then the failed slot is deleted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.config import DEV, Settings
from taxiops.domain.evidence import WITHDRAWN
from taxiops.domain.rollout import Action
from taxiops.errors import Conflict, Interrupted, RestoreFailed, StillRunning, TaxiopsError
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.engine import Engine, restore_failed
from taxiops.workflows.rollouts.limits import parse_limits
from taxiops.workflows.rollouts.rollout import connect_to, read_record
from taxiops.workflows.rollouts.turn import turn_at


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


def roll_back(
    settings: Settings, state: Path | None, progress: Progress, run_id: str = ""
) -> RollbackResult:
    """Undo the last rollout, from the state file or from what the endpoint carries.

    run_id: undo it only if that run made it; a run that failed before it changed anything must not
    undo its predecessor's work.

    A second call changes nothing. Where nothing served before, Dev keeps the endpoint online and
    Prod tears it down. Raises RestoreFailed when the prior state cannot be put back, UsageError or
    Conflict for a state file of another endpoint or rollout; these change nothing.
    """
    connection = connect_to(settings)
    environment = connection.environment
    ledger = Ledger(settings, environment.name, environment.endpoint, state)
    endpoint = endpoints.read_endpoint(connection)
    record = read_record(ledger, endpoint, state)
    if record is None:
        note = "No rollout is known here." if endpoint else "There is no endpoint."
        return unchanged(ledger, endpoint.traffic if endpoint else {}, note, progress)
    if run_id and record.run_id != run_id:
        note = f"The last rollout is of run {record.run_id or 'unknown'}, not of {run_id}."
        return unchanged(ledger, endpoint.traffic if endpoint else {}, note, progress)
    limits = parse_limits(settings.tables["rollout"])
    doing = "traffic rollback"
    with turn_at(connection, ledger, doing, run_id or record.run_id, progress) as turn:
        try:
            ended = Engine(connection, turn, limits, progress).undo(record, records.ROLLED_BACK)
        except (StillRunning, Conflict, RestoreFailed, Interrupted):
            raise
        except TaxiopsError as error:
            raise restore_failed(record, error.what, error) from error
    if ended.step.action is Action.CONFLICT:
        raise Conflict(
            f"Endpoint {record.endpoint} was changed by somebody else since the deployment.",
            why=f"Now {ended.step.reason}.",
            hint=f"taxiops traffic show --env {environment.name}",
            code="endpoint-changed",
        )
    note = ended.step.reason[:1].upper() + ended.step.reason[1:] + "."
    if environment.name == DEV and record.tested == records.PASSED:
        registry.note_validation(connection, record.model, f"{WITHDRAWN} {now()}", progress)
    if not ended.steps:
        return unchanged(ledger, ended.traffic, note, progress)
    was_there = endpoint is not None and record.slot in endpoint.slots
    still_there = ended.endpoint is not None and record.slot in ended.endpoint.slots
    return RollbackResult(
        endpoint=record.endpoint,
        changed=True,
        traffic=ended.traffic,
        removed_slot=record.slot if was_there and not still_there else "",
        note=note,
        next_command=show(ledger) if ended.endpoint else f"taxiops deploy --env {environment.name}",
    )


def unchanged(
    ledger: Ledger, traffic: Mapping[str, int], note: str, progress: Progress
) -> RollbackResult:
    progress(note)
    return RollbackResult(ledger.endpoint, False, traffic, "", note, show(ledger))


def show(ledger: Ledger) -> str:
    return f"taxiops traffic show --env {ledger.environment}"
