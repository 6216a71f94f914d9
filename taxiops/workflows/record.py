"""What a rollout is about, as the endpoint's tags and the state file carry it; acts on nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taxiops.config import NAME_PATTERN
from taxiops.errors import Conflict, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, read_document

PLANNED, PROVISIONED, TESTED, CANARY = "planned", "provisioned", "tested", "canary"
PROMOTED, ROLLED_BACK, FAILED = "promoted", "rolled_back", "failed"
PHASES = (PLANNED, PROVISIONED, TESTED, CANARY, PROMOTED, ROLLED_BACK, FAILED)
# Phases in which the slot was given its place and a rollback has something to undo.
OPEN = (PLANNED, PROVISIONED, TESTED, CANARY, PROMOTED)
PASSED, NOT_PASSED, UNTESTED = "passed", "failed", "no"
NONE = "none"

# Tags cannot be empty, so each has a word for nothing.
TAG_PREFIX = "taxiops_"
SHARES = re.compile(r"[a-z][a-z0-9-]*=\d{1,3}(,[a-z][a-z0-9-]*=\d{1,3})*")
WHAT = "deployment state"


@dataclass(frozen=True)
class ModelReference:
    """A registry version and the digest of its bytes."""

    registry: str
    name: str
    version: str
    sha256: str


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
    events: tuple[Mapping[str, str], ...] = field(default=(), compare=False)

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
            "model": {
                "registry": self.model.registry,
                "name": self.model.name,
                "version": self.model.version,
                "sha256": self.model.sha256,
            },
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


def read_state_file(path: Path) -> dict[str, Any]:
    """deployment_state.json with every field that the commands use of the right type.

    Raises NotFound, or UsageError naming the field.
    """
    document = read_document(path, WHAT, "taxiops deploy")
    for name in ("environment", "endpoint", "slot", "phase", "commit", "run_id"):
        if not isinstance(document.get(name), str):
            raise wrong(path, name, "must be text")
    for name in ("prior_traffic", "prior_mirror_traffic", "traffic"):
        check_shares(document.get(name), path, name)
    model = document.get("model")
    if not isinstance(model, dict):
        raise wrong(path, "model", "must be an object")
    for name in ("registry", "name", "version", "sha256"):
        if not isinstance(model.get(name), str):
            raise wrong(path, f"model.{name}", "must be text")
    if document["phase"] not in PHASES:
        raise wrong(path, "phase", f"must be one of {', '.join(PHASES)}")
    if not NAME_PATTERN.fullmatch(document["slot"]):
        raise wrong(path, "slot", "must be the name of a deployment")
    if not isinstance(document.get("first_deployment"), bool):
        raise wrong(path, "first_deployment", "must be true or false")
    if not isinstance(document.get("events"), list):
        raise wrong(path, "events", "must be a list")
    return document


def check_shares(shares: object, path: Path, name: str) -> None:
    if not isinstance(shares, dict):
        raise wrong(path, name, "must be an object")
    for slot, percent in shares.items():
        whole = isinstance(percent, int) and not isinstance(percent, bool)
        if not whole or not 0 <= percent <= 100:
            raise wrong(path, f"{name}.{slot}", "must be a whole number, 0 to 100")


def wrong(path: Path, field_path: str, why: str) -> UsageError:
    return UsageError(
        f"{path}: {field_path}: {why}.",
        hint="taxiops traffic show; the file may be left away.",
        code="state-invalid",
    )


def check_state_matches(
    document: Mapping[str, Any], record: Record | None, environment: str, endpoint: str
) -> None:
    """Refuse a state file that tells of another endpoint or another rollout.

    Raises UsageError or Conflict; the endpoint's own record is the truth.
    """
    for name, own in (("environment", environment), ("endpoint", endpoint)):
        if document[name] != own:
            raise UsageError(
                f"The state file is of {name} {document[name]!r}, not {own!r}.",
                hint="Give the state file of this environment, or none.",
                code="state-of-another",
            )
    if record is None:
        return
    ours = (document["slot"], document["model"]["version"], document["model"]["sha256"])
    theirs = (record.slot, record.model.version, record.model.sha256)
    if ours != theirs or document["prior_traffic"] != dict(record.prior_traffic):
        raise Conflict(
            f"The state file does not tell of the last rollout of {endpoint}.",
            why=f"The endpoint says slot {record.slot} with version {record.model.version}; the "
            f"file says slot {document['slot']} with version {document['model']['version']}.",
            hint="taxiops traffic show; leave --state away to go by the endpoint.",
            code="state-outdated",
        )


def record_of_state(document: Mapping[str, Any]) -> Record:
    """The rollout that a checked state file tells of."""
    model = document["model"]
    return Record(
        environment=document["environment"],
        endpoint=document["endpoint"],
        slot=document["slot"],
        phase=document["phase"],
        first_deployment=document["first_deployment"],
        prior_traffic=dict(document["prior_traffic"]),
        prior_mirror=dict(document["prior_mirror_traffic"]),
        model=ModelReference(model["registry"], model["name"], model["version"], model["sha256"]),
        commit=document["commit"],
        run_id=document["run_id"],
        tested=str(document.get("tested", UNTESTED)),
        events=tuple(event for event in document["events"] if isinstance(event, dict)),
    )
