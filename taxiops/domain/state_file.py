"""deploy/deployment_state.json as typed values; reads and writes no file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.domain.fields import SCHEMA_VERSION, Fields, shown
from taxiops.domain.traffic import SLOT, Traffic
from taxiops.errors import UsageError

WHAT = "deployment_state.json"
ENVIRONMENTS = ("dev", "prod")
PLANNED, PROVISIONED, TESTED, CANARY = "planned", "provisioned", "tested", "canary"
PROMOTED, ROLLED_BACK, FAILED = "promoted", "rolled_back", "failed"
PHASES = (PLANNED, PROVISIONED, TESTED, CANARY, PROMOTED, ROLLED_BACK, FAILED)


@dataclass(frozen=True)
class ModelReference:
    """A registry version and the digest of its bytes."""

    registry: str
    name: str
    version: str
    sha256: str

    def document(self) -> dict[str, str]:
        return {
            "registry": self.registry,
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class Event:
    """Something that happened to the rollout.

    at: UTC, RFC 3339. before, after: the traffic. Beyond the first three, what is empty was not
    recorded.
    """

    at: str
    event: str
    detail: str
    actor: str = ""
    model_version: str = ""
    model_sha256: str = ""
    before: Mapping[str, int] | None = None
    after: Mapping[str, int] | None = None

    def document(self) -> dict[str, Any]:
        named = {"at": self.at, "event": self.event, "detail": self.detail}
        more = {
            "actor": self.actor or None,
            "model_version": self.model_version or None,
            "model_sha256": self.model_sha256 or None,
            "before": self.before,
            "after": self.after,
        }
        return {**named, **{name: value for name, value in more.items() if value is not None}}


@dataclass(frozen=True)
class DeploymentState:
    """One rollout as its state file tells it. Traffic is slot -> percent, zeros kept."""

    environment: str
    endpoint: str
    slot: str
    phase: str
    first_deployment: bool
    prior_traffic: Traffic
    prior_mirror_traffic: Mapping[str, int]
    traffic: Traffic
    model: ModelReference
    commit: str
    run_id: str
    events: tuple[Event, ...]

    def document(self) -> dict[str, Any]:
        """The state file's content."""
        return {
            "schema_version": SCHEMA_VERSION,
            "environment": self.environment,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "phase": self.phase,
            "first_deployment": self.first_deployment,
            "prior_traffic": dict(self.prior_traffic.shares),
            "prior_mirror_traffic": dict(self.prior_mirror_traffic),
            "traffic": dict(self.traffic.shares),
            "model": self.model.document(),
            "commit": self.commit,
            "run_id": self.run_id,
            "events": [event.document() for event in self.events],
        }


def parse_state(document: Mapping[str, Any], what: str = WHAT) -> DeploymentState:
    """The state file's content as values; fields that are not ours are passed over.

    Raises UsageError naming the path of the first field that is missing, impossible or at odds
    with the others. what: the file, for messages.
    """
    fields = Fields(document, what, UsageError)
    fields.check_version()
    state = DeploymentState(
        environment=fields.choice("environment", ENVIRONMENTS),
        endpoint=fields.text("endpoint", may_be_empty=False),
        slot=parse_slot(fields, "slot"),
        phase=fields.choice("phase", PHASES),
        first_deployment=fields.flag("first_deployment"),
        prior_traffic=parse_traffic(fields, "prior_traffic"),
        prior_mirror_traffic=parse_shares(fields, "prior_mirror_traffic"),
        traffic=parse_traffic(fields, "traffic"),
        model=parse_model(fields.child("model")),
        commit=fields.text("commit"),
        run_id=fields.text("run_id"),
        events=tuple(parse_event(each) for each in fields.children("events")),
    )
    if state.first_deployment and not state.prior_traffic.is_empty:
        fields.refuse("prior_traffic", "something served before, yet first_deployment is true")
    if state.prior_traffic.percent(state.slot):
        fields.refuse("slot", "carried traffic before; a rollout never takes such a slot")
    return state


def parse_slot(fields: Fields, name: str) -> str:
    slot = fields.text(name)
    if not SLOT.fullmatch(slot):
        fields.refuse(name, "must be the name of a deployment in lower case")
    return slot


def parse_shares(fields: Fields, name: str) -> dict[str, int]:
    """An object of slot -> whole percent; raises naming the slot."""
    child = fields.child(name)
    for slot in child.document:
        if not SLOT.fullmatch(slot):
            child.refuse(shown(slot), "must be the name of a deployment in lower case")
    return {slot: child.whole(slot, 0, 100) for slot in sorted(child.document)}


def parse_traffic(fields: Fields, name: str) -> Traffic:
    shares = parse_shares(fields, name)
    total = sum(shares.values())
    if total not in (0, 100):
        fields.refuse(name, f"sums to {total} percent, but must to 0 or 100")
    return Traffic(shares)


def parse_model(fields: Fields) -> ModelReference:
    return ModelReference(
        registry=fields.text("registry", may_be_empty=False),
        name=fields.text("name", may_be_empty=False),
        version=fields.text("version", may_be_empty=False),
        sha256=fields.sha256("sha256"),
    )


def parse_event(fields: Fields) -> Event:
    def text(name: str) -> str:
        return fields.text(name) if name in fields.document else ""

    def shares(name: str) -> dict[str, int] | None:
        return parse_shares(fields, name) if name in fields.document else None

    return Event(
        at=fields.time("at"),
        event=fields.text("event", may_be_empty=False),
        detail=fields.text("detail"),
        actor=text("actor"),
        model_version=text("model_version"),
        model_sha256=text("model_sha256"),
        before=shares("before"),
        after=shares("after"),
    )
