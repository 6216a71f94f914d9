"""`taxiops test endpoint`: test a slot against its incumbent and record the outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.client import Connection
from taxiops.cloud.views import EndpointView
from taxiops.config import Settings
from taxiops.errors import NotFound, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now, write_document
from taxiops.workflows.evidence.ledger import Ledger, own_run_id
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.limits import Limits, parse_limits
from taxiops.workflows.rollouts.picture import phase_of
from taxiops.workflows.rollouts.record import ModelReference, Record
from taxiops.workflows.rollouts.rollout import connect_to, probe_of, read_record
from taxiops.workflows.rollouts.slot_tests import Check, Target, check_live, check_slot
from taxiops.workflows.rollouts.turn import Turn, turn_at


@dataclass(frozen=True)
class EndpointTestResult:
    """The checks of one slot, and the report that holds them."""

    endpoint: str
    slot: str
    passed: bool
    checks: tuple[Check, ...]
    report: Path
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "passed": self.passed,
            "checks": [check.document() for check in self.checks],
            "report": str(self.report),
            "next_command": self.next_command,
        }


def check_endpoint(
    settings: Settings, state: Path | None, slot: str | None, progress: Progress
) -> EndpointTestResult:
    """Test the slot of the last rollout, or the named one; write the report; record the outcome.

    A slot that fails is a result, not an error. Raises NotFound when there is no such endpoint or
    slot, UsageError or Conflict for a state file of another endpoint or rollout.
    """
    limits = parse_limits(settings.tables["rollout"])
    connection = connect_to(settings)
    environment = connection.environment
    ledger = Ledger(settings, environment.name, environment.endpoint, state)
    run_id = own_run_id()
    with turn_at(connection, ledger, "test endpoint", run_id, progress) as turn:
        endpoint = endpoints.require_endpoint(connection)
        record = read_record(ledger, endpoint, state)
        target, model = target_of(connection, endpoint, record, slot)
        name = target.slot
        progress(f"testing slot {name} of {endpoint.name}: {model.name} version {model.version}")
        checks = checked(connection, endpoint, target, model, limits)
        for check in checks:
            progress(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}")
        passed = all(check.passed for check in checks)
        result = EndpointTestResult(
            endpoint=endpoint.name,
            slot=name,
            passed=passed,
            checks=tuple(checks),
            report=settings.output / "test" / "endpoint_report.json",
            next_command=next_command(endpoint, record, name, passed),
        )
        write_document(result.report, report_document(result, target, model, environment.name))
        if record is not None and record.slot == name and record.model == model:
            note_outcome(connection, turn, endpoint, record, checks, progress)
    return result


def target_of(
    connection: Connection, endpoint: EndpointView, record: Record | None, slot: str | None
) -> tuple[Target, ModelReference]:
    """What is tested: the slot, what must answer there, and against whom."""
    name = choose(endpoint, record, slot)
    model = model_of_slot(connection, endpoint, name)
    return Target(name, model.sha256, model.version, incumbent_of(endpoint, name)), model


def checked(
    connection: Connection,
    endpoint: EndpointView,
    target: Target,
    model: ModelReference,
    limits: Limits,
) -> list[Check]:
    """The slot asked directly, and under its share of the traffic when it has one."""
    probe = probe_of(connection, model)
    with endpoints.open_scorer(connection, endpoint) as scorer:
        checks = check_slot(scorer, target, probe, limits)
        if endpoint.traffic.get(target.slot) and all(check.passed for check in checks):
            checks += check_live(scorer, target, probe, limits)
    return checks


def choose(endpoint: EndpointView, record: Record | None, slot: str | None) -> str:
    """The named slot, else that of the last rollout, else the only one that serves."""
    named = (slot or "").lower()
    if named and named not in endpoint.slots:
        raise NotFound(
            f"Endpoint {endpoint.name} has no slot {named}.",
            hint=f"It has: {', '.join(sorted(endpoint.slots)) or 'none'}.",
            code="slot-missing",
        )
    if named:
        return named
    if record is not None and record.slot in endpoint.slots:
        return record.slot
    serving = sorted(endpoint.live_traffic) or sorted(endpoint.slots)
    if len(serving) != 1:
        raise UsageError(
            f"Endpoint {endpoint.name} has {len(serving) or 'no'} slots to choose from.",
            hint="taxiops test endpoint --slot blue",
            code="slot-ambiguous",
        )
    return serving[0]


def incumbent_of(endpoint: EndpointView, slot: str) -> str:
    """The slot with the largest share besides this one; empty when there is none."""
    others = {name: share for name, share in endpoint.live_traffic.items() if name != slot}
    return max(others, key=lambda name: others[name], default="")


def model_of_slot(connection: Connection, endpoint: EndpointView, slot: str) -> ModelReference:
    """Which registry version the slot was deployed with, as its tags say.

    Raises UsageError when it was not deployed by taxiops.
    """
    tags = endpoint.slots[slot].tags
    names = ("registry", "model", "model_version", "model_sha256")
    missing = [name for name in names if not tags.get(name)]
    if missing:
        raise UsageError(
            f"Slot {slot} of {endpoint.name} does not say which model it serves.",
            why=f"Its tags lack {', '.join(missing)}; taxiops did not deploy it.",
            hint=f"taxiops deploy --env {connection.environment.name}",
            code="slot-foreign",
        )
    return ModelReference(
        tags["registry"], tags["model"], tags["model_version"], tags["model_sha256"]
    )


def report_document(
    result: EndpointTestResult, target: Target, model: ModelReference, environment: str
) -> dict[str, Any]:
    """test/endpoint_report.json."""
    return {
        **result.document(),
        "environment": environment,
        "incumbent": target.incumbent,
        "model": model.document(),
        "created_at": now(),
    }


def note_outcome(
    connection: Connection,
    turn: Turn,
    endpoint: EndpointView,
    record: Record,
    checks: Sequence[Check],
    progress: Progress,
) -> None:
    """On the endpoint and in the state file; a failed slot is not promoted any more."""
    bad = [check for check in checks if not check.passed]
    phase = phase_of(record, endpoint)
    if not bad and phase in (records.PLANNED, records.PROVISIONED):
        phase = records.TESTED
    tested = records.NOT_PASSED if bad else records.PASSED
    record = record.at(phase, tested=tested)
    if {**endpoint.tags, **record.tags()} != dict(endpoint.tags):
        turn.check()
        endpoint = endpoints.write_endpoint(connection, endpoint, progress, tags=record.tags())
    detail = f"{bad[0].name}: {bad[0].detail}" if bad else f"{len(checks)} checks passed"
    event = "test_failed" if bad else "tested"
    turn.ledger.done(event, record, endpoint.traffic, endpoint.traffic, detail)


def next_command(endpoint: EndpointView, record: Record | None, slot: str, passed: bool) -> str:
    env = f" --env {record.environment}" if record else ""
    if not passed:
        return f"taxiops traffic rollback{env}"
    if endpoint.traffic.get(slot) == 100:
        return f"taxiops traffic show{env}"
    return f"taxiops traffic promote{env}"
