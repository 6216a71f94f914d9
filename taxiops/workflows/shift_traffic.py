"""`taxiops traffic show` and `promote`: the distribution, and a tested slot's new share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.views import EndpointView, SlotView
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.rollout import Action, live_only
from taxiops.errors import Conflict, NotFound, StepFailed, UsageError
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now
from taxiops.workflows.evidence.ledger import Ledger, own_run_id
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.engine import Engine, changed
from taxiops.workflows.rollouts.limits import parse_limits
from taxiops.workflows.rollouts.picture import Goal, next_of, phase_of, slot_document
from taxiops.workflows.rollouts.record import Record
from taxiops.workflows.rollouts.rollout import connect_to, read_record
from taxiops.workflows.rollouts.turn import turn_at


@dataclass(frozen=True)
class TrafficView:
    """The endpoint as it serves now. phase empty: no rollout is known."""

    endpoint: str
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    slots: tuple[SlotView, ...]
    phase: str
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "traffic": dict(self.traffic),
            "mirror_traffic": dict(self.mirror),
            "phase": self.phase,
            "slots": [slot_document(slot, self.traffic) for slot in self.slots],
            "next_command": self.next_command,
        }


@dataclass(frozen=True)
class TrafficResult:
    """The distribution after a change; changed is false when it was so already."""

    endpoint: str
    slot: str
    traffic: Mapping[str, int]
    changed: bool
    state_file: Path
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "traffic": dict(self.traffic),
            "changed": self.changed,
            "state_file": str(self.state_file),
            "next_command": self.next_command,
        }


def show_traffic(settings: Settings) -> TrafficView:
    """Raises NotFound when there is no endpoint."""
    connection = connect_to(settings)
    environment = connection.environment
    endpoint = endpoints.require_endpoint(connection)
    record = records.record_of_tags(endpoint.tags, environment.name, environment.endpoint)
    phase = phase_of(record, endpoint) if record else ""
    return TrafficView(
        endpoint=endpoint.name,
        traffic=endpoint.traffic,
        mirror=endpoint.mirror,
        slots=tuple(endpoint.slots[name] for name in sorted(endpoint.slots)),
        phase=phase,
        next_command=next_of(phase, environment.name),
    )


def promote_traffic(
    settings: Settings, state: Path | None, percent: int, progress: Progress
) -> TrafficResult:
    """Give the tested slot `percent` of the traffic; the others keep their proportion.

    The old slot stays warm for a rollback. Raises StepFailed for a slot that did not pass its test,
    UsageError or Conflict for a state file of another endpoint or rollout.
    """
    connection = connect_to(settings)
    environment = connection.environment
    ledger = Ledger(settings, environment.name, environment.endpoint, state)
    limits = parse_limits(settings.tables["rollout"])
    run_id = own_run_id()
    with turn_at(connection, ledger, "traffic promote", run_id, progress) as turn:
        endpoint = endpoints.require_endpoint(connection)
        record = promotable(ledger, endpoint, state, percent)
        engine = Engine(connection, turn, limits, progress)
        ended = engine.drive(record, Goal(percent), {Action.WAIT, Action.SHIFT})
        if ended.step.action is not Action.DONE:
            raise changed(record, ended.step.reason)
        if not ended.steps:
            engine.ledger.write(record.at(phase_of(record, endpoint)), ended.traffic)
            engine.ledger.observe(record, ended.traffic)
    is_validated = environment.name == DEV and percent == 100
    if is_validated:
        by = f"{endpoint.name}/{record.slot} {now()} run {record.run_id or records.NONE}"
        registry.note_validation(connection, record.model, by, progress)
    return TrafficResult(
        endpoint=endpoint.name,
        slot=record.slot,
        traffic=ended.traffic,
        changed=bool(ended.steps),
        state_file=ledger.state_file,
        next_command=f"taxiops deploy --env {PROD}" if is_validated else "taxiops status",
    )


def promotable(ledger: Ledger, endpoint: EndpointView, state: Path | None, percent: int) -> Record:
    """The last rollout, once it is sure that its slot may have that share; raises what forbids."""
    record = read_record(ledger, endpoint, state)
    if record is None:
        raise NotFound(
            f"Endpoint {endpoint.name} knows of no rollout.",
            hint=f"taxiops deploy --env {ledger.environment}",
            code="rollout-missing",
        )
    check_promotable(record, endpoint)
    check_share(record, percent)
    return record


def check_promotable(record: Record, endpoint: EndpointView) -> None:
    """Only the slot that was tested, with the model it was tested with, may get a share."""
    env = f"--env {record.environment}"
    slot = endpoint.slots.get(record.slot)
    if slot is None or record.phase in (records.ROLLED_BACK, records.FAILED):
        raise NotFound(
            f"Endpoint {endpoint.name} has no slot to promote: the last rollout is {record.phase}.",
            hint=f"taxiops deploy {env}",
            code="rollout-missing",
        )
    if slot.tags.get("model_sha256") != record.model.sha256:
        raise Conflict(
            f"Slot {record.slot} was deployed anew since this rollout.",
            why="Its model is not the one that the endpoint tells of.",
            hint=f"taxiops deploy {env}",
            code="slot-changed",
        )
    if not slot.is_healthy:
        raise StepFailed(
            f"Slot {record.slot} is {slot.state}.", hint=f"taxiops deploy {env}", code="slot-state"
        )
    if record.tested != records.PASSED:
        why = "Its test failed." if record.tested == records.NOT_PASSED else "It was never tested."
        raise StepFailed(
            f"Slot {record.slot} did not pass its test, so it gets no traffic.",
            why=why,
            hint=f"taxiops test endpoint {env}",
            code="slot-untested",
        )
    known = {record.slot, *live_only(record.prior_traffic)}
    foreign = sorted(set(endpoint.live_traffic) - known)
    if foreign:
        raise Conflict(
            f"Slot {', '.join(foreign)} of {endpoint.name} carries traffic that this rollout did "
            "not give it.",
            hint=f"taxiops traffic show {env}",
            code="endpoint-changed",
        )


def check_share(record: Record, percent: int) -> None:
    """Raises UsageError when nobody is left to take the rest."""
    if record.first_deployment and percent != 100:
        raise UsageError(
            f"Slot {record.slot} is the only one, so it must have 100 percent.",
            hint="taxiops traffic promote --percent 100",
            code="traffic-sum",
        )
