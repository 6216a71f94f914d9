"""`taxiops deploy`: a promoted version to the idle slot, tested there, then its canary share."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.cloud.views import EndpointView
from taxiops.config import Settings
from taxiops.domain.rollout import Action, choose_slot
from taxiops.errors import Conflict, Restored, RestoreFailed, StillRunning, TaxiopsError
from taxiops.workflows import record as records
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.engine import (
    SCORING_SCRIPT,
    Engine,
    Goal,
    logs_folder,
    phase_of,
    restore_failed,
)
from taxiops.workflows.limits import parse_limits
from taxiops.workflows.record import ModelReference, Record
from taxiops.workflows.rollout import Ledger, connect_to, nonzero, read_record
from taxiops.workflows.source_code import require_file

UNDER_WAY = (records.PLANNED, records.PROVISIONED, records.TESTED, records.CANARY)


@dataclass(frozen=True)
class DeployOptions:
    """What to deploy and where. None: the newest verified version, the idle slot, the setting.

    wait_min: how many minutes to wait for another run's rollout to end.
    """

    model_version: str | None = None
    commit: str | None = None
    slot: str | None = None
    traffic_percent: int | None = None
    mirror_percent: int | None = None
    run_id: str = ""
    wait_min: int = 0


@dataclass(frozen=True)
class DeployResult:
    """The slot as it serves now. state: deployment_state.json."""

    endpoint: str
    slot: str
    first_deployment: bool
    state_file: Path
    state: Mapping[str, Any]
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "first_deployment": self.first_deployment,
            "state_file": str(self.state_file),
            "state": dict(self.state),
            "next_command": self.next_command,
        }


def deploy(settings: Settings, options: DeployOptions, progress: Progress) -> DeployResult:
    """Provision at 0 percent, test the slot directly, then give it the canary share.

    A first deployment gets 100 percent after its test. Run again after a crash, it goes on where it
    was. Raises Restored when it failed and the prior state is back, RestoreFailed when it is not,
    EvidenceError for a version whose evidence does not verify, StillRunning after the deadline.
    """
    require_file(settings.root, SCORING_SCRIPT)
    limits = parse_limits(settings.tables["rollout"])
    connection = connect_to(settings)
    environment = connection.environment
    ledger = Ledger(settings, environment.name, environment.endpoint)
    version = registry.choose_version(connection, options.model_version, options.commit, progress)
    model = registry.model_of(connection, version)
    progress(f"{model.name} version {model.version} from registry {model.registry}")
    endpoint, former = awaited_turn(connection, ledger, options, progress)
    if endpoint is not None and former is not None and is_done(endpoint, former, model, options):
        progress(f"slot {former.slot} has it already")
        record = former.at(phase_of(former, endpoint))
        if record.phase != records.PROMOTED and options.run_id not in ("", record.run_id):
            # A canary that another run left behind is this run's to promote or roll back now.
            record = record.at(record.phase, run_id=options.run_id)
            record = Engine(connection, ledger, limits, progress).announce(
                "taken_over", record, endpoint
            )
        return result_of(ledger, ledger.write(record, endpoint.traffic), endpoint.traffic)
    record = plan(connection, endpoint, former, version, options)
    engine = Engine(connection, ledger, limits, progress)
    return carried_out(engine, record, endpoint, goal_of(connection, options))


def awaited_turn(
    connection: Connection, ledger: Ledger, options: DeployOptions, progress: Progress
) -> tuple[EndpointView | None, Record | None]:
    """The endpoint and its last rollout, once no other run's rollout is under way there.

    After `wait_min` minutes it gives what is there; whoever changes it then finds the conflict.
    """
    end = time.monotonic() + options.wait_min * 60
    told = ""
    while True:
        endpoint = endpoints.read_endpoint(connection)
        former = read_record(ledger, endpoint, None)
        other = former is not None and former.run_id not in ("", options.run_id)
        if former is None or endpoint is None or not other or time.monotonic() >= end:
            return endpoint, former
        phase = phase_of(former, endpoint)
        if phase not in UNDER_WAY:
            return endpoint, former
        if phase != told:
            progress(f"waiting for the rollout of run {former.run_id}: {phase}")
            told = phase
        time.sleep(endpoints.interval_s(connection))


def goal_of(connection: Connection, options: DeployOptions) -> Goal:
    share = options.traffic_percent
    configured = connection.environment.traffic_percent
    return Goal(configured if share is None else share, options.mirror_percent or 0)


def is_done(
    endpoint: EndpointView, former: Record, model: ModelReference, options: DeployOptions
) -> bool:
    """Whether the last rollout brought this very model to its share, so that nothing is left."""
    share = endpoint.traffic.get(former.slot, 0)
    is_mirrored = bool(options.mirror_percent) and endpoint.mirror.get(former.slot, 0) > 0
    same_slot = options.slot is None or options.slot.lower() == former.slot
    same_model = former.model == model and former.tested == records.PASSED
    return same_model and same_slot and former.slot in endpoint.slots and bool(share or is_mirrored)


def plan(
    connection: Connection,
    endpoint: EndpointView | None,
    former: Record | None,
    version: ModelVersion,
    options: DeployOptions,
) -> Record:
    """The rollout to carry out: the interrupted one of the same model, else a new one.

    Raises Conflict when another rollout is under way, UsageError for a slot that carries traffic.
    """
    environment = connection.environment
    model = registry.model_of(connection, version)
    live = dict(endpoint.live_traffic) if endpoint else {}
    if former is not None and former.slot in live and len(live) > 1:
        raise Conflict(
            f"A canary of version {former.model.version} is under way on {environment.endpoint}.",
            why=f"Slot {former.slot} has {live[former.slot]} percent.",
            hint="taxiops traffic promote, or taxiops traffic rollback; then deploy again.",
            code="canary-under-way",
        )
    slot = choose_slot(environment.name, options.slot or environment.deployment_name, live)
    unfinished = (records.PLANNED, records.PROVISIONED, records.TESTED)
    if former is not None and former.phase in unfinished:
        same = (former.model, former.slot, nonzero(former.prior_traffic)) == (model, slot, live)
        if same and former.tested != records.NOT_PASSED:
            return former.at(former.phase, run_id=options.run_id or former.run_id)
    return Record(
        environment=environment.name,
        endpoint=environment.endpoint,
        slot=slot,
        phase=records.PLANNED,
        first_deployment=not live,
        prior_traffic=dict(endpoint.traffic) if endpoint and live else {},
        prior_mirror=dict(endpoint.mirror) if endpoint else {},
        model=model,
        commit=version.tags.get("commit", ""),
        run_id=options.run_id,
    )


def carried_out(
    engine: Engine, record: Record, endpoint: EndpointView | None, goal: Goal
) -> DeployResult:
    """Announce, then drive to the goal; on failure the prior state comes back."""
    record = engine.announce("planned", record, endpoint)
    try:
        ended = engine.drive(record, goal)
    except (StillRunning, Conflict, RestoreFailed):
        raise
    except TaxiopsError as error:
        raise undone(engine, record, error) from error
    if ended.step.action is not Action.DONE:
        raise Conflict(
            f"The rollout on {record.endpoint} stopped: {ended.step.reason}.",
            why="Somebody changed the endpoint meanwhile.",
            hint=f"taxiops traffic show --env {record.environment}",
            code="endpoint-changed",
        )
    return result_of(engine.ledger, ended.record, ended.traffic)


def result_of(ledger: Ledger, record: Record, traffic: Mapping[str, int]) -> DeployResult:
    verb = "traffic show" if record.phase == records.PROMOTED else "test endpoint"
    return DeployResult(
        endpoint=record.endpoint,
        slot=record.slot,
        first_deployment=record.first_deployment,
        state_file=ledger.state_file,
        state=record.document(traffic),
        next_command=f"taxiops {verb} --env {record.environment}",
    )


def undone(engine: Engine, record: Record, error: TaxiopsError) -> TaxiopsError:
    """Bring the prior state back and say so; Restored, or RestoreFailed when that fails too."""
    engine.progress(f"failed: {error.what} Restoring what was before.")
    try:
        engine.undo(record, records.FAILED)
    except RestoreFailed as second:
        return second
    except TaxiopsError as second:
        return restore_failed(record, f"{error.what} {second.what}", second)
    logs = logs_folder(engine.connection)
    return Restored(
        f"{error.what} The prior state is restored.",
        why=error.why,
        hint=f"The slot's logs are in {logs}." if logs.is_dir() else error.hint,
        code=error.code,
        details=error.details,
    )
