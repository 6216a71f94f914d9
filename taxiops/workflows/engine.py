"""Carries a rollout out: read, ask the domain for the next action, journal, do it, read again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from taxiops.cloud import endpoints, models
from taxiops.cloud.client import Connection
from taxiops.cloud.snapshot import code_snapshot
from taxiops.cloud.views import EndpointView, SlotSpec, SlotView
from taxiops.domain.rollout import (
    ENDS,
    Action,
    Observed,
    Outcome,
    Slot,
    SlotState,
    Step,
    Wanted,
    next_action,
)
from taxiops.domain.rollout import phase as computed_phase
from taxiops.domain.traffic import Traffic
from taxiops.errors import RestoreFailed, StepFailed, TaxiopsError, UsageError
from taxiops.workflows import record as records
from taxiops.workflows.documents import Progress, now
from taxiops.workflows.limits import Limits
from taxiops.workflows.pipelines import read_yaml
from taxiops.workflows.record import Record
from taxiops.workflows.rollout import Ledger, fetched_model
from taxiops.workflows.slot_tests import Target, check_slot, read_probe
from taxiops.workflows.source_code import require_file

SCORING_SCRIPT = "taxiops/steps/score.py"
# The environment of a deployment is that of the training step: same packages, same image.
ENVIRONMENT_FROM = "components/train.yaml"
DESCRIPTION = "Taxi fares, deployed by taxiops."
OUTCOMES = {records.PASSED: Outcome.PASSED, records.NOT_PASSED: Outcome.FAILED}
STATES = {"succeeded": SlotState.READY, "failed": SlotState.FAILED, "canceled": SlotState.FAILED}
# Far more than any rollout takes: a service that never shows what was done must not loop for ever.
MOST_STEPS = 40


@dataclass(frozen=True)
class Goal:
    """The share that a rollout's slot is to have: of live traffic, or mirrored instead."""

    percent: int = 100
    mirror_percent: int = 0


@dataclass(frozen=True)
class Ended:
    """Where a rollout stands when nothing is left to do. steps: how many things were done."""

    step: Step
    record: Record
    endpoint: EndpointView | None
    steps: int

    @property
    def traffic(self) -> Mapping[str, int]:
        return self.endpoint.traffic if self.endpoint else {}


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


@dataclass
class Engine:
    """One rollout under way on one endpoint."""

    connection: Connection
    ledger: Ledger
    limits: Limits
    progress: Progress

    def announce(self, event: str, record: Record, endpoint: EndpointView | None) -> Record:
        """Write on the endpoint what this rollout is and what was before, ahead of any change."""
        self.ledger.intend(event, record)
        if endpoint is not None and {**endpoint.tags, **record.tags()} != dict(endpoint.tags):
            tags = record.tags()
            endpoint = endpoints.write_endpoint(self.connection, endpoint, self.progress, tags=tags)
        traffic = endpoint.traffic if endpoint else {}
        return self.ledger.done(event, record, traffic, f"slot {record.slot}")

    def drive(self, record: Record, goal: Goal) -> Ended:
        """Do one thing after the other until the domain says that it is over."""
        for done in range(MOST_STEPS):
            endpoint = endpoints.read_endpoint(self.connection)
            step = next_action(wanted_of(record, goal), observed_of(endpoint))
            if step.action in ENDS:
                return Ended(step, record, endpoint, done)
            if step.action is not Action.WAIT:
                self.ledger.intend(step.action.value, record, reason=step.reason)
            record = self.carry_out(step, record, endpoint)
        raise StepFailed(
            f"The rollout of {record.endpoint} came to no end in {MOST_STEPS} steps.",
            why=f"The last one was: {step.action.value}, because {step.reason}.",
            hint=f"taxiops traffic show --env {record.environment}",
            code="rollout-endless",
        )

    def carry_out(self, step: Step, record: Record, endpoint: EndpointView | None) -> Record:
        acts: dict[Action, Callable[[Step, Record], Record]] = {
            Action.CREATE_ENDPOINT: self.create_endpoint,
            Action.DELETE_ENDPOINT: self.delete_endpoint,
            Action.DELETE_SLOT: self.delete_slot,
            Action.PROVISION: self.provision,
            Action.TEST: self.test,
        }
        if step.action is Action.WAIT:
            endpoints.settle(self.connection, self.progress)
            return record
        if step.action is Action.SHIFT and endpoint is not None:
            return self.shift(step, record, endpoint)
        return acts[step.action](step, record)

    def create_endpoint(self, step: Step, record: Record) -> Record:  # noqa: ARG002
        self.progress(f"creating endpoint {record.endpoint}")
        endpoints.create_endpoint(self.connection, record.tags(), DESCRIPTION, self.progress)
        return self.ledger.done("endpoint_created", record, {})

    def delete_endpoint(self, step: Step, record: Record) -> Record:
        self.progress(f"deleting endpoint {record.endpoint}: {step.reason}")
        endpoints.delete_endpoint(self.connection, self.progress)
        return self.ledger.done("endpoint_deleted", record, {}, step.reason)

    def delete_slot(self, step: Step, record: Record) -> Record:
        self.progress(f"deleting slot {step.slot}: {step.reason}")
        endpoints.delete_slot(self.connection, step.slot, self.progress)
        endpoint = endpoints.require_endpoint(self.connection)
        return self.ledger.done("slot_deleted", record, endpoint.traffic, step.reason)

    def provision(self, step: Step, record: Record) -> Record:
        """The slot with the model at 0 percent."""
        self.progress(f"provisioning slot {step.slot} at 0 %")
        root = self.connection.settings.root
        with code_snapshot(root) as code:
            spec = slot_spec(root, code, record, self.limits)
            endpoints.create_slot(
                self.connection, spec, self.progress, self.limits.provision_deadline_s
            )
        record = record.at(records.PROVISIONED)
        endpoint = endpoints.require_endpoint(self.connection)
        return self.ledger.done("provisioned", record, endpoint.traffic)

    def test(self, step: Step, record: Record) -> Record:
        """Test the slot before any of the endpoint's requests reach it."""
        self.progress(f"testing slot {step.slot} directly")
        endpoint = endpoints.require_endpoint(self.connection)
        prior = record.prior_traffic
        incumbent = max(prior, key=lambda slot: prior[slot], default="")
        target = Target(record.slot, record.model.sha256, record.model.version, incumbent)
        with (
            fetched_model(self.connection, record.model) as folder,
            endpoints.open_scorer(self.connection, endpoint) as scorer,
        ):
            checks = check_slot(scorer, target, read_probe(folder), self.limits)
        bad = next((check for check in checks if not check.passed), None)
        if bad is not None:
            failed = record.at(record.phase, tested=records.NOT_PASSED)
            detail = f"{bad.name}: {bad.detail}"
            self.ledger.done("test_failed", failed, endpoint.traffic, detail)
            raise StepFailed(
                f"Slot {record.slot} failed its test: {detail}.",
                why=f"To blame: {bad.blame.value}.",
                code=f"slot-test-{bad.blame.value}",
            )
        record = record.at(records.TESTED, tested=records.PASSED)
        return self.ledger.done("tested", record, endpoint.traffic, f"{len(checks)} checks passed")

    def shift(self, step: Step, record: Record, endpoint: EndpointView) -> Record:
        """Traffic, mirror and what the endpoint tells of the rollout change in one request."""
        traffic, mirror = dict(step.traffic.shares), dict(step.mirror)
        self.progress(f"traffic to {step.traffic}")
        if not wanted_of(record).is_undone:
            share = traffic.get(record.slot, 0)
            reached = {0: records.TESTED, 100: records.PROMOTED}
            record = record.at(reached.get(share, records.CANARY))
        endpoint = endpoints.write_endpoint(
            self.connection,
            endpoint,
            self.progress,
            traffic=traffic,
            mirror=mirror,
            tags=record.tags(),
        )
        detail = records.shares_text(endpoint.live_traffic)
        return self.ledger.done(record.phase, record, endpoint.traffic, detail)

    def undo(self, record: Record, phase: str) -> Ended:
        """Put back exactly what was before and delete the slot; its logs are kept.

        phase: `rolled_back` or `failed`. Raises RestoreFailed when what served before is gone.
        """
        undone = record.at(phase)
        endpoint = endpoints.read_endpoint(self.connection)
        step = next_action(wanted_of(undone), observed_of(endpoint))
        if step.action is Action.CANNOT_RESTORE:
            raise restore_failed(record, step.reason)
        if step.action in ENDS:
            return Ended(step, record, endpoint, 0)
        save_logs(self.connection, record)
        undone = self.announce("undo_begun", replace(undone, events=()), endpoint)
        ended = self.drive(undone, Goal())
        if ended.step.action is Action.CANNOT_RESTORE:
            raise restore_failed(record, ended.step.reason)
        final = self.ledger.done(phase, ended.record, ended.traffic, ended.step.reason)
        return replace(ended, record=final)


def restore_failed(record: Record, why: str, error: TaxiopsError | None = None) -> RestoreFailed:
    """What a person types now; the last of the three goes round taxiops."""
    shares = " ".join(f"{slot}={share}" for slot, share in record.prior_traffic.items() if share)
    by_hand = f'az ml online-endpoint update --name {record.endpoint} --traffic "{shares}"'
    return RestoreFailed(
        f"Endpoint {record.endpoint}: what served before could not be put back: {why}.",
        why=error.why if error else "",
        hint=f"taxiops traffic show --env {record.environment}; then "
        f"taxiops traffic rollback --env {record.environment}; if that fails: {by_hand}",
        code="restore-failed",
        details=error.details if error else {},
    )


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


def slot_spec(root: Path, code: Path, record: Record, limits: Limits) -> SlotSpec:
    """The deployment: model from the registry, code and environment from the repository."""
    source = require_file(root, ENVIRONMENT_FROM)
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
        tags={**slot_tags(record), "deployed_at": now()},
        instance_type=limits.instance_type,
        instance_count=limits.instance_count,
        request_timeout_ms=limits.request_timeout_ms,
        max_concurrent_requests=limits.max_concurrent_requests,
    )


def logs_folder(connection: Connection) -> Path:
    return connection.settings.output / "deploy" / connection.environment.name / "logs"


def save_logs(connection: Connection, record: Record) -> None:
    """Both containers' logs of the slot, kept before it is deleted."""
    endpoint = endpoints.read_endpoint(connection)
    if endpoint is None or record.slot not in endpoint.slots:
        return
    folder = logs_folder(connection)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for container, text in endpoints.slot_logs(connection, record.slot).items():
            (folder / f"{container}.log").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}.") from error
