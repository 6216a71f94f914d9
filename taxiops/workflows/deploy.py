"""`taxiops deploy`: a promoted version to the idle slot, tested there, then its canary share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints, models
from taxiops.cloud.client import Connection
from taxiops.cloud.endpoints import EndpointView, SlotSpec, SlotView
from taxiops.cloud.models import ModelVersion
from taxiops.cloud.snapshot import code_snapshot
from taxiops.config import DEV, EnvironmentSettings, Settings
from taxiops.domain.evidence import NOTHING
from taxiops.domain.traffic import Traffic
from taxiops.errors import (
    Conflict,
    Restored,
    RestoreFailed,
    StepFailed,
    StillRunning,
    TaxiopsError,
    UsageError,
)
from taxiops.workflows import record as records
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now
from taxiops.workflows.limits import Limits, parse_limits
from taxiops.workflows.pipelines import read_yaml
from taxiops.workflows.record import ModelReference, Record
from taxiops.workflows.rollout import (
    Ledger,
    connect_to,
    fetched_model,
    nonzero,
    phase_of,
    read_record,
    restore_prior,
    save_logs,
)
from taxiops.workflows.slot_tests import Check, Probe, Target, check_slot, read_probe
from taxiops.workflows.source_code import require_file

SCORING_SCRIPT = "taxiops/steps/score.py"
# The environment of a deployment is that of the training step: same packages, same image.
ENVIRONMENT_FROM = "components/train.yaml"
BLUE, GREEN = "blue", "green"
DESCRIPTION = "Taxi fares, deployed by taxiops."


@dataclass(frozen=True)
class DeployOptions:
    """What to deploy and where. None: the newest verified version, the idle slot, the setting."""

    model_version: str | None = None
    commit: str | None = None
    slot: str | None = None
    traffic_percent: int | None = None
    mirror_percent: int | None = None
    run_id: str = ""


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


@dataclass(frozen=True)
class Deployment:
    """One deploy under way: where, what, and by which rules."""

    connection: Connection
    ledger: Ledger
    limits: Limits
    options: DeployOptions
    progress: Progress

    @property
    def environment(self) -> EnvironmentSettings:
        return self.connection.environment

    @property
    def settings(self) -> Settings:
        return self.connection.settings


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
    this = Deployment(connection, ledger, limits, options, progress)

    version = registry.choose_version(connection, options.model_version, options.commit, progress)
    model = registry.model_of(connection, version)
    progress(f"{model.name} version {model.version} from registry {model.registry}")
    with fetched_model(connection, model) as folder:
        probe = read_probe(folder)
    endpoint = endpoints.read_endpoint(connection)
    former = read_record(ledger, endpoint, None)
    served = is_done(endpoint, former, model, options)
    if endpoint is not None and former is not None and served:
        progress(f"slot {former.slot} has it already")
        return result_of(this, former.at(phase_of(former, endpoint)), endpoint, "already there")
    record = plan(this, endpoint, former, version, model)
    return carry_out(this, record, endpoint, probe)


def is_done(
    endpoint: EndpointView | None,
    former: Record | None,
    model: ModelReference,
    options: DeployOptions,
) -> bool:
    """Whether the last rollout brought this very model to its share, so that nothing is left."""
    if endpoint is None or former is None or former.model != model:
        return False
    share = endpoint.traffic.get(former.slot, 0)
    mirrored = bool(options.mirror_percent) and endpoint.mirror.get(former.slot, 0) > 0
    same_slot = options.slot is None or options.slot.lower() == former.slot
    is_there = former.slot in endpoint.slots and former.tested == records.PASSED
    return is_there and same_slot and (share > 0 or mirrored)


def plan(
    this: Deployment,
    endpoint: EndpointView | None,
    former: Record | None,
    version: ModelVersion,
    model: ModelReference,
) -> Record:
    """The rollout to carry out: the interrupted one of the same model, else a new one.

    Raises Conflict when another rollout is under way, UsageError for a slot that carries traffic.
    """
    live = dict(endpoint.live_traffic) if endpoint else {}
    if former is not None and endpoint is not None and former.slot in live and len(live) > 1:
        raise Conflict(
            f"A canary of version {former.model.version} is under way on {endpoint.name}.",
            why=f"Slot {former.slot} has {live[former.slot]} percent.",
            hint="taxiops traffic promote, or taxiops traffic rollback; then deploy again.",
            code="canary-under-way",
        )
    slot = choose_slot(this.environment, this.options.slot, live)
    unfinished = (records.PLANNED, records.PROVISIONED, records.TESTED)
    if former is not None and former.phase in unfinished:
        same = former.model == model and former.slot == slot
        if same and nonzero(former.prior_traffic) == live:
            return former
    return Record(
        environment=this.environment.name,
        endpoint=this.environment.endpoint,
        slot=slot,
        phase=records.PLANNED,
        first_deployment=not live,
        prior_traffic=dict(endpoint.traffic) if endpoint and live else {},
        prior_mirror=dict(endpoint.mirror) if endpoint else {},
        model=model,
        commit=version.tags.get("commit", ""),
        run_id=this.options.run_id or version.tags.get("run_id", "").removeprefix(NOTHING),
    )


def choose_slot(
    environment: EnvironmentSettings, wanted: str | None, live: Mapping[str, int]
) -> str:
    """The slot asked for or configured, else the one of blue and green without traffic.

    On an empty endpoint blue in Dev, green in Prod. Raises UsageError when the slot carries
    traffic, Conflict when both do.
    """
    named = (wanted or environment.deployment_name).lower()
    if named and named in live:
        raise UsageError(
            f"Slot {named} carries {live[named]} percent of the traffic.",
            why="A deployment never replaces what serves.",
            hint="Leave --slot away: the idle slot is chosen.",
            code="slot-live",
        )
    if named:
        return named
    if not live:
        return BLUE if environment.name == DEV else GREEN
    idle = [slot for slot in (BLUE, GREEN) if slot not in live]
    if not idle:
        raise Conflict(
            "Both slots carry traffic.",
            hint="taxiops traffic promote, or taxiops traffic rollback; then deploy again.",
            code="canary-under-way",
        )
    return idle[0]


def carry_out(
    this: Deployment, record: Record, endpoint: EndpointView | None, probe: Probe
) -> DeployResult:
    """Plan, provision, test and shift, each journalled; on failure the prior state comes back."""
    record, standing = announce(this, record, endpoint)
    try:
        record, standing = provision(this, record, standing)
        record, standing = test_directly(this, record, standing, probe)
        return give_share(this, record, standing)
    except (StillRunning, RestoreFailed):
        raise
    except TaxiopsError as error:
        if error.code == "endpoint-changed":
            raise
        raise undone(this, record, error) from error


def announce(
    this: Deployment, record: Record, endpoint: EndpointView | None
) -> tuple[Record, EndpointView]:
    """Write on the endpoint, created if need be, what this rollout is and what was before."""

    this.ledger.intend("plan", record)
    if endpoint is None:
        this.progress(f"creating endpoint {record.endpoint}")
        endpoint = endpoints.create_endpoint(
            this.connection, record.tags(), DESCRIPTION, this.progress
        )
    elif {**endpoint.tags, **record.tags()} != dict(endpoint.tags):
        endpoint = endpoints.write_endpoint(
            this.connection, endpoint, this.progress, tags=record.tags()
        )
    record, _ = this.ledger.done("planned", record, endpoint.traffic, f"slot {record.slot}")
    return record, endpoint


def provision(
    this: Deployment, record: Record, endpoint: EndpointView
) -> tuple[Record, EndpointView]:
    """The slot with the model at 0 percent; one from before a crash is kept."""

    standing = endpoint.slots.get(record.slot)
    if standing is not None and is_same(standing, record):
        this.progress(f"slot {record.slot} is provisioned already")
    else:
        this.ledger.intend("provision", record)
        if standing is not None:
            this.progress(f"deleting the idle slot {record.slot}")
            endpoints.delete_slot(this.connection, record.slot, this.progress)
        this.progress(f"provisioning slot {record.slot} at 0 %")
        with code_snapshot(this.settings.root) as code:
            spec = slot_spec(this, record, code)
            endpoints.create_slot(
                this.connection, spec, this.progress, this.limits.provision_deadline_s
            )
    endpoint = endpoints.require_endpoint(this.connection)
    record = record.at(records.PROVISIONED)
    record, _ = this.ledger.done("provisioned", record, endpoint.traffic)
    return record, endpoint


def is_same(slot: SlotView, record: Record) -> bool:
    wanted = slot_tags(record)
    return slot.is_healthy and all(
        slot.tags.get(key) == wanted[key] for key in ("model_sha256", "model_version", "commit")
    )


def slot_tags(record: Record) -> dict[str, str]:
    return {
        "model": record.model.name,
        "registry": record.model.registry,
        "model_version": record.model.version,
        "model_sha256": record.model.sha256,
        "commit": record.commit or records.NONE,
        "run_id": record.run_id or records.NONE,
        "deployed_at": now(),
    }


def slot_spec(this: Deployment, record: Record, code: Path) -> SlotSpec:
    """The deployment: model from the registry, code and environment from the repository."""

    source = require_file(this.settings.root, ENVIRONMENT_FROM)
    described = read_yaml(source).get("environment") or {}
    conda = source.parent / str(described.get("conda_file", ""))
    if not conda.is_file() or not described.get("image"):
        raise UsageError(f"{source}: environment needs image and conda_file.")
    return SlotSpec(
        name=record.slot,
        model=models.reference(record.model.registry, record.model.name, record.model.version),
        code=code,
        scoring_script=SCORING_SCRIPT,
        image=str(described["image"]),
        conda_file=conda,
        variables={
            "TAXIOPS_DEPLOYMENT": record.slot,
            "TAXIOPS_MODEL_VERSION": record.model.version,
        },
        tags=slot_tags(record),
        instance_type=this.limits.instance_type,
        instance_count=this.limits.instance_count,
        request_timeout_ms=this.limits.request_timeout_ms,
        max_concurrent_requests=this.limits.max_concurrent_requests,
    )


def test_directly(
    this: Deployment, record: Record, endpoint: EndpointView, probe: Probe
) -> tuple[Record, EndpointView]:
    """Test the slot before any of the endpoint's requests reach it."""

    this.progress(f"testing slot {record.slot} directly")
    incumbent = max(record.prior_traffic, key=lambda slot: record.prior_traffic[slot], default="")
    target = Target(record.slot, record.model.sha256, record.model.version, incumbent)
    with endpoints.open_scorer(this.connection, endpoint) as scorer:
        checks = check_slot(scorer, target, probe, this.limits)
    bad = [check for check in checks if not check.passed]
    if bad:
        raise slot_failure(record.slot, bad)
    record = record.at(records.TESTED, tested=records.PASSED)
    record, _ = this.ledger.done("tested", record, endpoint.traffic, f"{len(checks)} checks passed")
    return record, endpoint


def slot_failure(slot: str, bad: list[Check]) -> StepFailed:
    first = bad[0]
    return StepFailed(
        f"Slot {slot} failed its test: {first.name}: {first.detail}.",
        why=f"To blame: {first.blame.value}.",
        code=f"slot-test-{first.blame.value}",
    )


def give_share(this: Deployment, record: Record, endpoint: EndpointView) -> DeployResult:
    """All traffic for a first deployment, else the canary share, or a mirrored share alone."""

    options = this.options
    canary = (
        options.traffic_percent
        if options.traffic_percent is not None
        else this.environment.traffic_percent
    )
    if record.first_deployment:
        wanted, mirror, phase = {record.slot: 100}, {}, records.PROMOTED
    elif options.mirror_percent:
        wanted, mirror = dict(record.prior_traffic), {record.slot: options.mirror_percent}
        phase = records.TESTED
    else:
        wanted, mirror = shifted(record, canary), {}
        phase = records.PROMOTED if canary == 100 else records.CANARY if canary else records.TESTED
    record = record.at(phase)
    this.ledger.intend("shift", record, wanted=wanted, mirror=mirror)
    this.progress(f"traffic to {records.shares_text(nonzero(wanted))}")
    endpoint = endpoints.write_endpoint(
        this.connection, endpoint, this.progress, traffic=wanted, mirror=mirror, tags=record.tags()
    )
    return result_of(this, record, endpoint, records.shares_text(endpoint.live_traffic))


def shifted(record: Record, percent: int) -> dict[str, int]:
    """The prior distribution with the slot at `percent` and the others in their proportion."""
    return dict(Traffic.of(record.prior_traffic).shift(record.slot, percent).shares)


def result_of(
    this: Deployment, record: Record, endpoint: EndpointView, detail: str
) -> DeployResult:
    record, state = this.ledger.done(record.phase, record, endpoint.traffic, detail)
    verb = "test endpoint" if record.phase != records.PROMOTED else "traffic show"
    return DeployResult(
        endpoint=record.endpoint,
        slot=record.slot,
        first_deployment=record.first_deployment,
        state_file=this.ledger.state_file,
        state=state,
        next_command=f"taxiops {verb} --env {record.environment}",
    )


def undone(this: Deployment, record: Record, error: TaxiopsError) -> TaxiopsError:
    """Bring the prior state back and say so; Restored, or RestoreFailed when that fails too."""
    this.progress(f"failed: {error.what} Restoring what was before.")
    failed = record.at(records.FAILED)
    this.ledger.intend("restore", failed, reason=error.what)
    try:
        logs = save_logs(this.connection, this.settings, record)
        endpoint = restore_prior(this.connection, failed, records.FAILED, this.progress)
    except TaxiopsError as second:
        return restore_failure(record, error, second)
    traffic = endpoint.traffic if endpoint else {}
    this.ledger.done("restored", failed, traffic, error.what)
    return Restored(
        f"{error.what} The prior state is restored.",
        why=error.why,
        hint=f"The slot's logs are in {logs}." if logs else error.hint,
        code=error.code,
        details=error.details,
    )


def restore_failure(record: Record, error: TaxiopsError, second: TaxiopsError) -> RestoreFailed:
    """Both failures and what a person types now."""
    shares = " ".join(f"{slot}={share}" for slot, share in nonzero(record.prior_traffic).items())
    by_hand = f'az ml online-endpoint update --name {record.endpoint} --traffic "{shares}"'
    return RestoreFailed(
        f"{error.what} Restoring failed too: {second.what}",
        why=second.why,
        hint=f"taxiops traffic show --env {record.environment}; then "
        f"taxiops traffic rollback --env {record.environment}; if that fails: {by_hand}",
        code="restore-failed",
        details={**error.details, **second.details},
    )
