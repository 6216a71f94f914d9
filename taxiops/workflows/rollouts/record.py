"""What a rollout is about, as the endpoint's tags and the state file carry it; acts on nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taxiops.domain.state_file import (
    CANARY,
    FAILED,
    PHASES,
    PLANNED,
    PROMOTED,
    PROVISIONED,
    ROLLED_BACK,
    TESTED,
    ModelReference,
    parse_state,
)
from taxiops.errors import Conflict, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, read_document

__all__ = [
    "CANARY",
    "FAILED",
    "PLANNED",
    "PROMOTED",
    "PROVISIONED",
    "ROLLED_BACK",
    "TESTED",
    "ModelReference",
    "Record",
]

# Phases in which the slot was given its place and a rollback has something to undo.
OPEN = (PLANNED, PROVISIONED, TESTED, CANARY, PROMOTED)
PASSED, NOT_PASSED, UNTESTED = "passed", "failed", "no"
NONE = "none"

# Tags cannot be empty, so each has a word for nothing.
TAG_PREFIX = "taxiops_"
# The newest entry of the workspace's ledger when the endpoint was last changed.
LEDGER_TAG = f"{TAG_PREFIX}ledger"
SHARES = re.compile(r"[a-z][a-z0-9-]*=\d{1,3}(,[a-z][a-z0-9-]*=\d{1,3})*")
WHAT = "deployment state"


@dataclass(frozen=True)
class Record:
    """One rollout: which slot gets which model, what served before, how far it came.

    tested: `passed`, `failed` or `no`. prior_traffic: what a rollback restores, zeros included.
    """

    environment: str
    endpoint: str
    slot: str
    phase: str
    first_deployment: bool
    prior_traffic: Mapping[str, int]
    prior_mirror: Mapping[str, int]
    model: ModelReference
    commit: str
    run_id: str
    tested: str = UNTESTED
    events: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)

    def at(self, phase: str, **changes: Any) -> "Record":  # noqa: ANN401 - fields of this class
        """The record in another phase."""
        return replace(self, phase=phase, **changes)

    def tags(self) -> dict[str, str]:
        """What the endpoint carries, so that every file may be lost."""
        return {
            f"{TAG_PREFIX}slot": self.slot,
            f"{TAG_PREFIX}phase": self.phase,
            f"{TAG_PREFIX}first_deployment": str(self.first_deployment).lower(),
            f"{TAG_PREFIX}prior_traffic": shares_text(self.prior_traffic),
            f"{TAG_PREFIX}prior_mirror": shares_text(self.prior_mirror),
            f"{TAG_PREFIX}registry": self.model.registry,
            f"{TAG_PREFIX}model": self.model.name,
            f"{TAG_PREFIX}model_version": self.model.version,
            f"{TAG_PREFIX}model_sha256": self.model.sha256,
            f"{TAG_PREFIX}commit": self.commit or NONE,
            f"{TAG_PREFIX}run_id": self.run_id or NONE,
            f"{TAG_PREFIX}tested": self.tested,
        }

    def document(self, traffic: Mapping[str, int]) -> dict[str, Any]:
        """deployment_state.json, with the traffic that was read back."""
        return {
            "schema_version": SCHEMA_VERSION,
            "environment": self.environment,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "phase": self.phase,
            "tested": self.tested,
            "first_deployment": self.first_deployment,
            "prior_traffic": dict(self.prior_traffic),
            "prior_mirror_traffic": dict(self.prior_mirror),
            "traffic": dict(traffic),
            "model": self.model.document(),
            "commit": self.commit,
            "run_id": self.run_id,
            "events": [dict(event) for event in self.events],
        }


def shares_text(shares: Mapping[str, int]) -> str:
    return ",".join(f"{slot}={percent}" for slot, percent in sorted(shares.items())) or NONE


def shares_of(text: str, where: str) -> dict[str, int]:
    """The reverse of shares_text; raises UsageError naming where it stands."""
    if text == NONE:
        return {}
    if not SHARES.fullmatch(text):
        raise UsageError(f"{where}: {text!r} is no distribution.", code="record-broken")
    pairs = (part.split("=") for part in text.split(","))
    return {slot: int(percent) for slot, percent in pairs}


def record_of_tags(tags: Mapping[str, str], environment: str, endpoint: str) -> Record | None:
    """The rollout that the endpoint's tags tell of; None when they tell of none.

    Raises UsageError when they were damaged.
    """
    if f"{TAG_PREFIX}slot" not in tags:
        return None

    def read(name: str) -> str:
        value = tags.get(TAG_PREFIX + name, "")
        if not value:
            raise UsageError(
                f"Endpoint {endpoint}: its tag {TAG_PREFIX}{name} is missing.",
                why="Somebody edited the tags that taxiops keeps there.",
                hint="taxiops traffic show",
                code="record-broken",
            )
        return "" if value == NONE else value

    phase = read("phase")
    if phase not in PHASES:
        raise UsageError(
            f"Endpoint {endpoint}: tag {TAG_PREFIX}phase is {phase!r}.", code="record-broken"
        )
    where = f"Endpoint {endpoint}: tag {TAG_PREFIX}prior_"
    return Record(
        environment=environment,
        endpoint=endpoint,
        slot=read("slot"),
        phase=phase,
        first_deployment=read("first_deployment") == "true",
        prior_traffic=shares_of(tags.get(f"{TAG_PREFIX}prior_traffic", NONE), f"{where}traffic"),
        prior_mirror=shares_of(tags.get(f"{TAG_PREFIX}prior_mirror", NONE), f"{where}mirror"),
        model=ModelReference(
            registry=read("registry"),
            name=read("model"),
            version=read("model_version"),
            sha256=read("model_sha256"),
        ),
        commit=read("commit"),
        run_id=read("run_id"),
        tested=read("tested"),
    )


def read_state_file(path: Path) -> Record:
    """The rollout that a deployment_state.json tells of; raises NotFound or UsageError."""
    document = read_document(path, WHAT, "taxiops deploy")
    state = parse_state(document, str(path))
    tested = document.get("tested", UNTESTED)
    return Record(
        environment=state.environment,
        endpoint=state.endpoint,
        slot=state.slot,
        phase=state.phase,
        first_deployment=state.first_deployment,
        prior_traffic=dict(state.prior_traffic.shares),
        prior_mirror=dict(state.prior_mirror_traffic),
        model=state.model,
        commit=state.commit,
        run_id=state.run_id,
        tested=tested if tested in (PASSED, NOT_PASSED) else UNTESTED,
        events=tuple(event.document() for event in state.events),
    )


def check_state_matches(
    state: Record, record: Record | None, environment: str, endpoint: str
) -> None:
    """Refuse a state file that tells of another endpoint or another rollout.

    Raises UsageError or Conflict; the endpoint's own record is the truth.
    """
    pairs = (
        ("environment", state.environment, environment),
        ("endpoint", state.endpoint, endpoint),
    )
    for name, theirs, own in pairs:
        if theirs != own:
            raise UsageError(
                f"The state file is of {name} {theirs!r}, not {own!r}.",
                hint="Give the state file of this environment, or none.",
                code="state-of-another",
            )
    if record is None:
        return
    same = (state.slot, state.model) == (record.slot, record.model)
    if not same or dict(state.prior_traffic) != dict(record.prior_traffic):
        raise Conflict(
            f"The state file does not tell of the last rollout of {endpoint}.",
            why=f"The endpoint says slot {record.slot} with version {record.model.version}; the "
            f"file says slot {state.slot} with version {state.model.version}.",
            hint="taxiops traffic show; leave --state away to go by the endpoint.",
            code="state-outdated",
        )
