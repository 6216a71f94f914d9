"""Carries a rollout out: read, ask the domain for the next action, journal, do it, read again."""

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace

from taxiops.cloud import endpoints, slots
from taxiops.cloud.client import Connection
from taxiops.cloud.interrupts import check_stop
from taxiops.cloud.scoring import Scorer
from taxiops.cloud.snapshot import code_snapshot
from taxiops.cloud.views import EndpointView
from taxiops.domain.rollout import ENDS, Action, Step, next_action
from taxiops.domain.serving import PROVISIONED, SLOT_DIGEST, slot_tags_digest
from taxiops.errors import Conflict, RestoreFailed, StepFailed, TaxiopsError
from taxiops.workflows.documents import Progress
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.limits import Limits
from taxiops.workflows.rollouts.picture import Goal, observed_of, wanted_of
from taxiops.workflows.rollouts.record import Record
from taxiops.workflows.rollouts.rollout import probe_of
from taxiops.workflows.rollouts.slot_spec import save_logs, slot_spec
from taxiops.workflows.rollouts.slot_tests import (
    BAD_REQUEST,
    Check,
    Probe,
    Target,
    check_live,
    check_slot,
)
from taxiops.workflows.rollouts.turn import Turn

DESCRIPTION = "Taxi fares, deployed by taxiops."
# Far more than any rollout takes: a service that never shows what was done must not loop for ever.
MOST_STEPS = 40
# How long the service may take to route as it says, and how many requests prove it.
PROOF_S, PROBES = 30.0, 5
BAKE_LOOK_S = 30.0
Checker = Callable[[Scorer, Target, Probe, Limits], list[Check]]


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


@dataclass
class Engine:
    """One rollout under way on one endpoint. before: its traffic when it was last looked at."""

    connection: Connection
    turn: Turn
    limits: Limits
    progress: Progress
    before: Mapping[str, int] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        return self.turn.ledger

    def read(self) -> EndpointView | None:
        endpoint = endpoints.read_endpoint(self.connection)
        self.before = endpoint.traffic if endpoint else {}
        return endpoint

    def done(
        self,
        event: str,
        record: Record,
        after: Mapping[str, int],
        detail: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> Record:
        """Tell what was read back; what is there now is before the next act."""
        record = self.ledger.done(event, record, self.before, after, detail, facts)
        self.before = after
        return record

    def announce(self, event: str, record: Record, endpoint: EndpointView | None) -> Record:
        """Write on the endpoint what this rollout is and what was before, ahead of any change."""
        self.turn.check()
        self.ledger.intend(event, record)
        self.before = endpoint.traffic if endpoint else {}
        if endpoint is not None and {**endpoint.tags, **record.tags()} != dict(endpoint.tags):
            tags = record.tags()
            endpoint = endpoints.write_endpoint(self.connection, endpoint, self.progress, tags=tags)
        traffic = endpoint.traffic if endpoint else {}
        return self.done(event, record, traffic, f"slot {record.slot}")

    def drive(
        self, record: Record, goal: Goal, allowed: Container[Action] = frozenset(Action)
    ) -> Ended:
        """Do one thing after the other until the domain says that it is over.

        allowed: what may be done at all. Raises Conflict when something else would have to be.
        """
        for done in range(MOST_STEPS):
            self.turn.check()
            endpoint = self.read()
            step = next_action(wanted_of(record, goal), observed_of(endpoint))
            if step.action in ENDS:
                return Ended(step, record, endpoint, done)
            if step.action not in allowed:
                raise changed(record, step.reason)
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
        return self.done("endpoint_created", record, {})

    def delete_endpoint(self, step: Step, record: Record) -> Record:
        self.progress(f"deleting endpoint {record.endpoint}: {step.reason}")
        save_logs(self.connection, record)
        endpoints.delete_endpoint(self.connection, self.progress)
        return self.done("endpoint_deleted", record, {}, step.reason)

    def delete_slot(self, step: Step, record: Record) -> Record:
        self.progress(f"deleting slot {step.slot}: {step.reason}")
        if wanted_of(record).is_undone:
            save_logs(self.connection, record)
        slots.delete_slot(self.connection, step.slot, self.progress)
        endpoint = endpoints.require_endpoint(self.connection)
        detail = f"{step.slot}: {step.reason}"
        return self.done("slot_deleted", record, endpoint.traffic, detail)

    def provision(self, step: Step, record: Record) -> Record:
        """The slot with the model at 0 percent."""
        self.progress(f"provisioning slot {step.slot} at 0 %")
        root = self.connection.settings.root
        with code_snapshot(root) as code:
            spec = slot_spec(root, code, record, self.limits)
            endpoint = slots.create_slot(
                self.connection, spec, self.progress, self.limits.provision_deadline_s
            )
        record = record.at(records.PROVISIONED)
        facts = pinned(endpoint, record)
        return self.done(PROVISIONED, record, endpoint.traffic, facts=facts)

    def test(self, step: Step, record: Record) -> Record:
        """Test the slot before any of the endpoint's requests reach it."""
        self.progress(f"testing slot {step.slot} directly")
        return self.tested(record, check_slot)

    def test_live(self, record: Record) -> Record:
        """Test the slot under its share of the traffic, as clients meet it."""
        self.turn.check()
        share = self.before.get(record.slot, 0)
        self.progress(f"testing slot {record.slot} at {share} % of the traffic")
        return self.tested(record, check_live)

    def tested(self, record: Record, checker: Checker) -> Record:
        """The record with a passed test; raises StepFailed naming the check that failed."""
        endpoint = endpoints.require_endpoint(self.connection)
        prior = record.prior_traffic
        incumbent = max(prior, key=lambda slot: prior[slot], default="")
        target = Target(record.slot, record.model.sha256, record.model.version, incumbent)
        probe = probe_of(self.connection, record.model)
        with endpoints.open_scorer(self.connection, endpoint) as scorer:
            checks = checker(scorer, target, probe, self.limits)
        bad = next((check for check in checks if not check.passed), None)
        if bad is not None:
            failed = record.at(record.phase, tested=records.NOT_PASSED)
            detail = f"{bad.name}: {bad.detail}"
            self.done("test_failed", failed, endpoint.traffic, detail)
            raise StepFailed(
                f"Slot {record.slot} failed its test: {detail}.",
                why=f"To blame: {bad.blame.value}.",
                code=f"slot-test-{bad.blame.value}",
            )
        is_new = record.phase in (records.PLANNED, records.PROVISIONED)
        record = record.at(records.TESTED if is_new else record.phase, tested=records.PASSED)
        # A slot whose author died before its entry is in the ledger by this one.
        facts = pinned(endpoint, record) if is_new else {}
        detail = f"{len(checks)} checks passed"
        return self.done("tested", record, endpoint.traffic, detail, facts)

    def bake(self, record: Record) -> Record:
        """Watch the slot under its share for a while; raises StepFailed when it does not hold."""
        end = time.monotonic() + self.limits.bake_s
        while True:
            record = self.test_live(record)
            if time.monotonic() >= end:
                return record
            rest_until(min(end, time.monotonic() + BAKE_LOOK_S))

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
            tags={**record.tags(), **self.ledger.publish.tags()},
        )
        detail = records.shares_text(endpoint.live_traffic)
        return self.done(record.phase, record, endpoint.traffic, detail)

    def undo(self, record: Record, phase: str) -> Ended:
        """Put back exactly what was before and delete the slot; its logs are kept.

        phase: `rolled_back` or `failed`. Raises RestoreFailed when what served before is gone.
        """
        undone = record.at(phase)
        endpoint = self.read()
        step = next_action(wanted_of(undone), observed_of(endpoint))
        if step.action is Action.CANNOT_RESTORE:
            raise restore_failed(record, step.reason)
        if step.action in ENDS:
            return Ended(step, record, endpoint, 0)
        undone = replace(undone, events=())
        if step.action is not Action.SHIFT:
            # A shift of traffic tells the endpoint in the same request what is going on.
            undone = self.announce("undo_begun", undone, endpoint)
        ended = self.drive(undone, Goal())
        if ended.step.action is Action.CANNOT_RESTORE:
            raise restore_failed(record, ended.step.reason)
        self.prove_routing(ended)
        final = self.done(phase, ended.record, ended.traffic, ended.step.reason)
        return replace(ended, record=final)

    def prove_routing(self, ended: Ended) -> None:
        """Requests must reach what the endpoint says they do.

        Raises StepFailed when another slot, or nobody, answers after PROOF_S.
        """
        live = ended.endpoint.live_traffic if ended.endpoint else {}
        if not live or ended.endpoint is None or ended.step.action is not Action.DONE:
            return
        deadline = time.monotonic() + PROOF_S
        with endpoints.open_scorer(self.connection, ended.endpoint) as scorer:
            while True:
                answers = [scorer.post(BAD_REQUEST) for _ in range(PROBES)]
                seen = {each.deployment for each in answers if each.status}
                # An answer that does not say who made it proves nothing and refutes nothing.
                if seen and seen - {""} <= set(live):
                    return
                if time.monotonic() > deadline:
                    break
                rest_until(time.monotonic() + endpoints.interval_s(self.connection))
        raise StepFailed(
            f"Endpoint {ended.record.endpoint} says {records.shares_text(live)}, but "
            f"{', '.join(sorted(seen - set(live))) or 'nobody'} answered.",
            hint="taxiops traffic show",
            code="routing-unproved",
        )


def pinned(endpoint: EndpointView, record: Record) -> dict[str, str]:
    """What the ledger keeps of a slot's tags."""
    return {SLOT_DIGEST: slot_tags_digest(endpoint.slots[record.slot].tags)}


def rest_until(moment: float) -> None:
    """Wait, looking now and then whether somebody asked to stop. moment: monotonic seconds."""
    while (left := moment - time.monotonic()) > 0:
        check_stop()
        time.sleep(min(left, endpoints.LOOK_S))


def changed(record: Record, reason: str) -> Conflict:
    """Somebody else was there: nothing more is done."""
    return Conflict(
        f"The rollout on {record.endpoint} stopped: {reason}.",
        why="Somebody changed the endpoint meanwhile.",
        hint=f"taxiops traffic show --env {record.environment}",
        code="endpoint-changed",
    )


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
