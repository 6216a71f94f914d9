"""`taxiops deploy`: a promoted version to the idle slot, tested there, then its canary share."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.cloud.views import EndpointView
from taxiops.config import PROD, Settings
from taxiops.domain.rollout import Action, choose_slot, live_only
from taxiops.domain.traffic import SLOT
from taxiops.errors import (
    Conflict,
    Interrupted,
    Restored,
    RestoreFailed,
    StepFailed,
    StillRunning,
    TaxiopsError,
    UsageError,
)
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.evidence.chain import check_chain
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.engine import Engine, changed, rest_until, restore_failed
from taxiops.workflows.rollouts.limits import parse_limits
from taxiops.workflows.rollouts.picture import Goal, phase_of
from taxiops.workflows.rollouts.quota import check_quota
from taxiops.workflows.rollouts.record import ModelReference, Record
from taxiops.workflows.rollouts.rollout import connect_to, read_record
from taxiops.workflows.rollouts.slot_spec import SCORING_SCRIPT, logs_folder
from taxiops.workflows.rollouts.turn import turn_at
from taxiops.workflows.source_code import require_file

UNDER_WAY = (records.PLANNED, records.PROVISIONED, records.TESTED, records.CANARY)


@dataclass(frozen=True)
class DeployOptions:
    """What to deploy and where. None: the newest verified version, the idle slot, the setting.

    wait_min: how many minutes to wait for another run's rollout to end. steps: the shares one after
    the other, each tested and watched for bake_min minutes (None: as configured).
    """

    model_version: str | None = None
    commit: str | None = None
    slot: str | None = None
    traffic_percent: int | None = None
    mirror_percent: int | None = None
    run_id: str = ""
    wait_min: int = 0
    steps: tuple[int, ...] = ()
    bake_min: float | None = None


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
    EvidenceError for a version whose evidence does not verify or, for Prod, whose gate was
    overridden or whose chain is broken, StillRunning after the deadline, Conflict naming the
    holder while somebody else changes the endpoint.
    """
    check_steps(options)
    require_file(settings.root, SCORING_SCRIPT)
    limits = parse_limits(settings.tables["rollout"])
    if options.bake_min is not None:
        limits = replace(limits, bake_s=options.bake_min * 60)
    connection = connect_to(settings)
    environment = connection.environment
    check_names(environment.endpoint, options.slot or environment.deployment_name)
    ledger = Ledger(settings, environment.name, environment.endpoint)
    version = registry.choose_version(connection, options.model_version, options.commit, progress)
    registry.check_override(connection, version)
    if environment.name == PROD:
        check_chain(connection, version, progress)
    model = registry.model_of(connection, version)
    progress(f"{model.name} version {model.version} from registry {model.registry}")
    end = time.monotonic() + options.wait_min * 60
    while True:
        awaited_turn(connection, ledger, options, end, progress)
        with turn_at(connection, ledger, "deploy", options.run_id, progress, end) as turn:
            endpoint = endpoints.read_endpoint(connection)
            former = read_record(ledger, endpoint, None)
            if is_others(former, endpoint, options) and time.monotonic() < end:
                continue
            engine = Engine(connection, turn, limits, progress)
            return rolled_out(engine, endpoint, former, version, options)


def check_steps(options: DeployOptions) -> None:
    """Raises UsageError for shares that do not rise, or that two options tell."""
    if options.steps and options.traffic_percent is not None:
        raise UsageError("--steps and --traffic-percent exclude each other.", hint="Give one.")
    if any(not 1 <= step <= 100 for step in options.steps):
        raise UsageError("--steps: every share must be from 1 to 100 percent.")
    if list(options.steps) != sorted(set(options.steps)):
        raise UsageError("--steps: the shares must rise.", hint="--steps 5,30,100")


def check_names(endpoint: str, slot: str) -> None:
    """Raises UsageError for a name that the service would refuse after minutes."""
    for what, name in (("endpoint", endpoint), ("slot", slot)):
        if name and not SLOT.fullmatch(name.lower()):
            raise UsageError(
                f"{name!r} cannot be the name of {'an' if what == 'endpoint' else 'a'} {what}.",
                why="Names have 3 to 32 letters, digits and single dashes and begin with a letter.",
                hint="taxiops config show",
                code="name-invalid",
            )


def rolled_out(
    engine: Engine,
    endpoint: EndpointView | None,
    former: Record | None,
    version: ModelVersion,
    options: DeployOptions,
) -> DeployResult:
    """Nothing, the rest or all of it, as the endpoint stands."""
    connection, model = engine.connection, registry.model_of(engine.connection, version)
    goals = goals_of(connection, options)
    if endpoint is None or former is None or not is_begun(endpoint, former, model, options):
        record = plan(connection, endpoint, former, version, options)
        if endpoint is None or record.slot not in endpoint.slots:
            check_quota(connection, engine.limits, engine.progress)
        record = engine.announce("planned", record, endpoint)
        return carried_out(engine, record, goals, is_growing=bool(options.steps))
    record = former.at(phase_of(former, endpoint))
    share = endpoint.traffic.get(record.slot, 0)
    if record.phase != records.PROMOTED and options.run_id not in ("", record.run_id):
        # A canary that another run left behind is this run's to promote or roll back now.
        record = engine.announce(
            "taken_over", record.at(record.phase, run_id=options.run_id), endpoint
        )
    is_asked = bool(options.steps) or options.traffic_percent is not None
    if not is_asked or share >= goals[-1].percent or former.first_deployment:
        engine.progress(f"slot {record.slot} has it already")
        written = engine.ledger.write(record, endpoint.traffic)
        engine.ledger.observe(record, endpoint.traffic)
        return result_of(engine.ledger, written, endpoint.traffic)
    # The share it has is watched again, for nobody knows how long it was.
    remaining = tuple(goal for goal in goals if goal.percent >= share)
    return carried_out(engine, record, remaining, is_growing=bool(options.steps))


def is_others(former: Record | None, endpoint: EndpointView | None, options: DeployOptions) -> bool:
    """Whether another run's rollout is under way."""
    if former is None or endpoint is None or former.run_id in ("", options.run_id):
        return False
    return phase_of(former, endpoint) in UNDER_WAY


def awaited_turn(
    connection: Connection,
    ledger: Ledger,
    options: DeployOptions,
    end: float,
    progress: Progress,
) -> None:
    """Return once no other run's rollout is under way, or at the end (monotonic seconds).

    Whoever changes the endpoint then finds the conflict.
    """
    told = ""
    while time.monotonic() < end:
        endpoint = endpoints.read_endpoint(connection)
        former = read_record(ledger, endpoint, None)
        if former is None or endpoint is None or not is_others(former, endpoint, options):
            return
        phase = phase_of(former, endpoint)
        if phase != told:
            progress(f"waiting for the rollout of run {former.run_id}: {phase}")
            told = phase
        rest_until(time.monotonic() + endpoints.interval_s(connection))


def goals_of(connection: Connection, options: DeployOptions) -> tuple[Goal, ...]:
    """The shares to come to, in turn; mirrored traffic is a goal of its own, before live ones."""
    share = options.traffic_percent
    configured = connection.environment.traffic_percent
    mirrored = (Goal(0, options.mirror_percent),) if options.mirror_percent else ()
    if options.steps:
        return (*mirrored, *(Goal(step) for step in options.steps))
    return mirrored or (Goal(configured if share is None else share),)


def is_begun(
    endpoint: EndpointView, former: Record, model: ModelReference, options: DeployOptions
) -> bool:
    """Whether the last rollout brought this very model to a share, so that little is left."""
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
        same = (former.model, former.slot, live_only(former.prior_traffic)) == (model, slot, live)
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
    engine: Engine, record: Record, goals: Sequence[Goal], *, is_growing: bool
) -> DeployResult:
    """Drive to one goal after the other; on failure the prior state comes back.

    is_growing: test and watch the slot under each share.
    """
    try:
        for at, goal in enumerate(goals):
            ended = engine.drive(record, goal)
            if ended.step.action is Action.GIVE_UP:
                raise StepFailed(f"The rollout is given up: {ended.step.reason}.")
            if ended.step.action is not Action.DONE:
                raise changed(record, ended.step.reason)
            record, is_live = ended.record, bool(ended.traffic.get(record.slot))
            if is_growing and is_live:
                record = engine.bake(record)
            elif at + 1 < len(goals):
                rest_until(time.monotonic() + engine.limits.bake_s)
            if record.first_deployment:
                break
    except (StillRunning, Conflict, RestoreFailed, Interrupted):
        raise
    except TaxiopsError as error:
        raise undone(engine, record, error) from error
    return result_of(engine.ledger, record, ended.traffic)


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
    except (RestoreFailed, Interrupted) as second:
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
