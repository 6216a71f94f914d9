"""A rollout and its endpoint as the domain wants them told; asks for nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.views import EndpointView, SlotView
from taxiops.domain.rollout import Observed, Outcome, Slot, SlotState, Wanted
from taxiops.domain.rollout import phase as computed_phase
from taxiops.domain.traffic import Traffic
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import Record

OUTCOMES = {records.PASSED: Outcome.PASSED, records.NOT_PASSED: Outcome.FAILED}
STATES = {"succeeded": SlotState.READY, "failed": SlotState.FAILED, "canceled": SlotState.FAILED}


# What an operator does next in each phase; a finished rollout's next is its undoing.
VERBS = {
    records.PROVISIONED: "test endpoint",
    records.TESTED: "traffic promote",
    records.CANARY: "traffic promote",
    records.PROMOTED: "traffic rollback",
}


@dataclass(frozen=True)
class Goal:
    """The share that a rollout's slot is to have: of live traffic, or mirrored instead."""

    percent: int = 100
    mirror_percent: int = 0


def slot_tags(record: Record) -> dict[str, str]:
    """What a slot says of itself."""
    return {
        "model": record.model.name,
        "registry": record.model.registry,
        "model_version": record.model.version,
        "model_sha256": record.model.sha256,
        "commit": record.commit or records.NONE,
        "run_id": record.run_id or records.NONE,
    }


def content_of(tags: Mapping[str, str]) -> str:
    """What a slot holds, as one text: the same model under another version or code differs."""
    parts = [tags.get(name, "") for name in ("model_sha256", "model_version", "commit")]
    return " ".join(parts) if all(parts) else ""


def wanted_of(record: Record, goal: Goal = Goal()) -> Wanted:
    """The rollout as the domain wants it told."""
    return Wanted(
        environment=record.environment,
        slot=record.slot,
        model_sha256=content_of(slot_tags(record)),
        prior_traffic=Traffic.of(record.prior_traffic),
        prior_mirror=dict(record.prior_mirror),
        percent=goal.percent,
        mirror_percent=goal.mirror_percent,
        tested=OUTCOMES.get(record.tested, Outcome.NOT_YET),
        is_provisioned=record.phase != records.PLANNED,
        is_undone=record.phase in (records.ROLLED_BACK, records.FAILED),
    )


def observed_of(endpoint: EndpointView | None) -> Observed:
    """The endpoint as the domain wants it told."""
    if endpoint is None:
        return Observed(exists=False)
    return Observed(
        exists=True,
        traffic=Traffic.of(endpoint.traffic),
        mirror=dict(endpoint.mirror),
        slots={name: observed_slot(slot) for name, slot in endpoint.slots.items()},
        is_busy=endpoint.state.lower() not in endpoints.TERMINAL,
    )


def observed_slot(slot: SlotView) -> Slot:
    return Slot(STATES.get(slot.state.lower(), SlotState.BUSY), content_of(slot.tags))


def phase_of(record: Record, endpoint: EndpointView) -> str:
    """The phase as it is seen now, not as it was recorded."""
    return computed_phase(wanted_of(record), observed_of(endpoint))


def next_of(phase: str, environment: str) -> str:
    """The command that leads on from the phase; a deployment where none is known."""
    return f"taxiops {VERBS.get(phase, 'deploy')} --env {environment}"


def slot_document(slot: SlotView, traffic: Mapping[str, int]) -> dict[str, Any]:
    """What a slot says of itself, with its share."""
    return {
        "slot": slot.name,
        "percent": traffic.get(slot.name, 0),
        "state": slot.state,
        "healthy": slot.is_healthy,
        "model": slot.tags.get("model", ""),
        "model_version": slot.tags.get("model_version", ""),
        "model_sha256": slot.tags.get("model_sha256", ""),
        "commit": slot.tags.get("commit", ""),
        "deployed_at": slot.tags.get("deployed_at", ""),
    }
