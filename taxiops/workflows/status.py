"""`taxiops status`: what serves in Dev and Prod, since when, and what to type; changes nothing."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from taxiops.cloud import endpoints, lease
from taxiops.cloud.client import Connection
from taxiops.cloud.lease import Holder
from taxiops.cloud.store import open_store
from taxiops.cloud.views import EndpointView, SlotView
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.rollout import live_only
from taxiops.domain.serving import shares
from taxiops.errors import NotAuthorised, TaxiopsError, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, read_document
from taxiops.workflows.evidence.chained_ledger import ChainedLedger
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.history import Happening, last_happening
from taxiops.workflows.known_names import remember_slots
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.picture import next_of, phase_of, slot_document
from taxiops.workflows.rollouts.record import Record
from taxiops.workflows.rollouts.rollout import connect_to

LOCAL_INTERVAL_S, AZURE_INTERVAL_S = 1.0, 10.0


@dataclass(frozen=True)
class EnvironmentStatus:
    """One environment. phase: of the last rollout, as seen now; empty when none is known.

    tested: how its test ended. holder: who changes the endpoint now. drift: what is not as it was
    left, in sentences. unread: why nothing could be read.
    """

    environment: str
    workspace: str
    endpoint: str
    exists: bool = False
    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
    slots: tuple[SlotView, ...] = ()
    phase: str = ""
    tested: str = ""
    holder: Holder | None = None
    last_event: Mapping[str, str] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    unread: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether the last rollout is over and all is as it left it."""
        return not (self.unread or self.holder or self.drift) and self.phase == records.PROMOTED

    @property
    def next_command(self) -> str:
        """What leads on; undoing a finished rollout never does."""
        if self.unread:
            return "taxiops doctor"
        if self.holder:
            return "taxiops status --watch"
        if not self.exists or self.is_settled:
            return "taxiops release"
        if self.phase == records.PROMOTED:
            return f"taxiops history --env {self.environment}"
        return next_of(self.phase, self.environment)

    @property
    def undo_command(self) -> str:
        """What takes the last rollout back; empty where there is none to take back."""
        is_over = self.exists and self.phase == records.PROMOTED
        return f"taxiops traffic rollback --env {self.environment}" if is_over else ""

    def document(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "workspace": self.workspace,
            "endpoint": self.endpoint,
            "exists": self.exists,
            "traffic": dict(self.traffic),
            "mirror_traffic": dict(self.mirror),
            "slots": [slot_document(slot, self.traffic) for slot in self.slots],
            "phase": self.phase,
            "tested": self.tested,
            "lease": asdict(self.holder) if self.holder else None,
            "last_event": dict(self.last_event) or None,
            "drift": list(self.drift),
            "unread": self.unread,
            "undo_command": self.undo_command,
            "next_command": self.next_command,
        }


@dataclass(frozen=True)
class StatusResult:
    """Dev and Prod, as they were within one look."""

    environments: tuple[EnvironmentStatus, ...]
    at: datetime

    @property
    def next_command(self) -> str:
        """Of the first environment in which something is left to do."""
        left = (each for each in self.environments if not each.is_settled)
        return next(left, self.environments[-1]).next_command

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "at": moment(self.at),
            "environments": [each.document() for each in self.environments],
            "next_command": self.next_command,
        }


def read_status(settings: Settings, progress: Progress) -> StatusResult:
    """Both environments. What this identity may not read is told, not failed."""
    found = []
    for env in (DEV, PROD):
        progress(f"looking at {env}")
        found.append(read_environment(settings, env))
    return StatusResult(tuple(found), datetime.now(UTC))


def read_environment(settings: Settings, env: str) -> EnvironmentStatus:
    """One environment, with one request for the endpoint and one for its deployments."""
    place = settings.environment(env)
    status = EnvironmentStatus(env, place.workspace, place.endpoint)
    try:
        connection = connect_to(settings, env)
        endpoint = endpoints.glance_at_endpoint(connection)
    except (NotAuthorised, UsageError) as error:
        return replace(status, unread=f"{error.what} {error.why}".strip())
    holder, last = read_store(connection)
    status = replace(status, holder=holder, last_event=dict(last.texts) if last else {})
    if endpoint is None:
        return status
    remember_slots(settings, env, endpoint.slots)
    record, problem = recorded(endpoint, env)
    drift = (*problem, *drift_of(endpoint, record, last, state_file(settings, env, endpoint.name)))
    return replace(
        status,
        exists=True,
        traffic=endpoint.traffic,
        mirror=live_only(endpoint.mirror),
        slots=tuple(endpoint.slots[name] for name in sorted(endpoint.slots)),
        phase=phase_of(record, endpoint) if record else "",
        tested=record.tested if record else "",
        drift=drift,
    )


def read_store(connection: Connection) -> tuple[Holder | None, Happening | None]:
    """Who holds the lease and the last event; neither where the store is out of bounds."""
    endpoint = connection.environment.endpoint
    try:
        store = open_store(connection)
        return lease.current_holder(store, endpoint), last_happening(ChainedLedger(store), endpoint)
    except TaxiopsError:
        return None, None


def recorded(endpoint: EndpointView, env: str) -> tuple[Record | None, tuple[str, ...]]:
    """The rollout that the endpoint's tags tell of, or what is wrong with them."""
    try:
        return records.record_of_tags(endpoint.tags, env, endpoint.name), ()
    except UsageError as error:
        return None, (f"{error.what} {error.why}".strip(),)


def state_file(settings: Settings, env: str, endpoint: str) -> Mapping[str, Any]:
    """The environment's state file here; empty when there is none that can be read."""
    try:
        path = Ledger(settings, env, endpoint).own_state_file
        document = read_document(path, records.WHAT, "")
    except TaxiopsError:
        return {}
    return document if document.get("endpoint") == endpoint else {}


def drift_of(
    endpoint: EndpointView,
    record: Record | None,
    last: Happening | None,
    state: Mapping[str, Any],
) -> tuple[str, ...]:
    """How the endpoint differs from what the last event and the state file left, in sentences."""
    live, problems = shares(endpoint.traffic), []
    if last is not None and shares(last.after) != live:
        problems.append(
            f"{last.texts['event']} at {last.texts['at']} left {shares(last.after)}; somebody "
            f"else made it {live}."
        )
    traffic = state.get("traffic")
    if isinstance(traffic, Mapping) and shares(traffic) != live:
        problems.append(f"The state file here tells of {shares(traffic)}.")
    if record is not None and record.phase in records.OPEN and record.slot not in endpoint.slots:
        problems.append(f"Slot {record.slot} of the last rollout is gone.")
    for name, percent in live_only(endpoint.traffic).items():
        slot = endpoint.slots.get(name)
        if slot is None:
            problems.append(f"Slot {name} has {percent} % of the traffic and does not exist.")
        elif not slot.is_healthy:
            problems.append(f"Slot {name} has {percent} % of the traffic and is {slot.state}.")
        elif not slot.tags.get("model_sha256"):
            problems.append(f"Slot {name} was not deployed by taxiops: nothing tells its model.")
    return tuple(problems)


def watch(settings: Settings, look: Callable[[StatusResult, list[str]], None]) -> NoReturn:
    """Look again and again until this process is interrupted.

    look: called with each look and what changed since the one before, a line an environment.
    """
    interval_s = LOCAL_INTERVAL_S if settings.is_local else AZURE_INTERVAL_S
    former: dict[str, str] = {}
    while True:
        status = read_status(settings, lambda _: None)
        lines = {each.environment: in_one_line(each) for each in status.environments}
        changed = [env for env in lines if lines[env] != former.get(env)]
        look(status, [f"{moment(status.at)} {lines[env]}" for env in changed])
        former = lines
        time.sleep(interval_s)


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_one_line(status: EnvironmentStatus) -> str:
    """The environment in one line, with all of it that can change."""
    if status.unread:
        return f"{status.environment}: not readable: {status.unread}"
    if not status.exists:
        return f"{status.environment}: {status.endpoint} does not exist"
    slots = ", ".join(
        f"{slot.name} {status.traffic.get(slot.name, 0)} % version "
        f"{slot.tags.get('model_version', '?')} {slot.state}"
        for slot in status.slots
    )
    held = f"; {status.holder.doing} by {status.holder.owner}" if status.holder else ""
    drift = f"; {' '.join(status.drift)}" if status.drift else ""
    phase = f" [{status.phase}]" if status.phase else ""
    return f"{status.environment}: {status.endpoint}{phase}: {slots or 'no slot'}{held}{drift}"
