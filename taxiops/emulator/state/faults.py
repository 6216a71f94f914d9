"""Faults on demand: which request is to go wrong, how, and how often; does nothing by itself."""

import fnmatch
import random
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

Json = dict[str, Any]

# What stands for provisioning a deployment, which no request does.
PROVISION = "provision"
SCORE = "POST score"


class BadFault(ValueError):
    """A fault that cannot be inflicted; the text says why."""


@dataclass(frozen=True)
class Refusal:
    """How a refused request is answered."""

    status: int
    code: str
    message: str


# The hazards of the service that are a refusal; `refuse` takes its own status and code.
REFUSALS: Mapping[str, Refusal] = {
    "throttle": Refusal(429, "TooManyRequests", "The request was throttled."),
    "error": Refusal(500, "InternalServerError", "An internal error occurred."),
    "unavailable": Refusal(503, "ServiceUnavailable", "The service is unavailable."),
    "conflict": Refusal(
        409, "Conflict", "Cannot create a deployment in Updating provisioning state."
    ),
    "forbidden": Refusal(
        403, "AuthorizationFailed", "The client does not have authorization to do this."
    ),
    "missing": Refusal(404, "ResourceNotFound", "The resource was not found."),
    "name-taken": Refusal(400, "NameNotAvailable", "The name is taken in this region."),
}
# How provisioning ends: code of the failed operation and its message.
PROVISIONING_FAILURES: Mapping[str, tuple[str, str]] = {
    "fail": ("ResourceNotReady", "User container has crashed or terminated."),
    "quota": ("OutOfQuota", "Not enough quota available for the deployment's family."),
    "capacity": ("OutOfCapacity", "The region has no capacity for this virtual machine now."),
    "cancel": ("OperationCanceled", "The operation was canceled: another one has priority."),
}
# slow: later by `seconds`. lost-request, lost-answer: the connection breaks before or after the
# act. stale: a read answers as it did last time. revert: a write is acknowledged and undone.
# empty: a list has nothing in it. model-error: the container answers 500 (scoring only).
OTHERS = ("slow", "lost-request", "lost-answer", "stale", "revert", "empty", "model-error")
KINDS = (*REFUSALS, *PROVISIONING_FAILURES, *OTHERS)
LONGEST_S = 3600.0


@dataclass(frozen=True)
class Fault:
    """One hazard switched on.

    on: pattern of operations such as `PUT onlineEndpoints`, `* deployments`, `POST score` or
    `provision`. target: pattern of the last name in the path, or of the deployment. count: how
    often it strikes, 0 for ever; skip: how many matching operations it lets pass first.
    is_live: only scoring requests that traffic rules routed.
    """

    kind: str
    on: str
    target: str = "*"
    count: int = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    is_live: bool = False
    name: str = ""

    def matches(self, operation: str, target: str, *, is_live: bool) -> bool:
        return (
            fnmatch.fnmatchcase(operation.lower(), self.on.lower())
            and fnmatch.fnmatchcase(target.lower(), self.target.lower())
            and (is_live or not self.is_live)
        )


def parse_fault(document: Mapping[str, Any]) -> Fault:
    """A fault from what a client asks for. Raises BadFault naming the field."""
    unknown = sorted(set(document) - set(Fault.__dataclass_fields__) | set(document) & {"name"})
    if unknown:
        raise BadFault(f"{unknown[0]}: there is no such field.")
    if document.get("kind") not in KINDS:
        raise BadFault(f"kind: must be one of {', '.join(KINDS)}.")
    if not isinstance(document.get("on"), str) or not document["on"].strip():
        raise BadFault("on: must name an operation, such as 'PUT onlineEndpoints'.")
    if not isinstance(document.get("target", "*"), str):
        raise BadFault("target: must be text.")
    if not isinstance(document.get("is_live", False), bool):
        raise BadFault("is_live: must be true or false.")
    limits = {"count": 10**6, "skip": 10**6, "probability": 1, "seed": 2**31, "seconds": LONGEST_S}
    for name, most in limits.items():
        value = document.get(name, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= most:
            raise BadFault(f"{name}: must be a number from 0 to {most:g}.")
        if name in ("count", "skip", "seed") and not isinstance(value, int):
            raise BadFault(f"{name}: must be a whole number.")
    fault = Fault(**dict(document))
    check_place(fault)
    return fault


def check_place(fault: Fault) -> None:
    """Raises BadFault when that kind cannot happen to that operation."""
    method, on = fault.on.split(" ")[0].upper(), fault.on.lower()
    if (fault.kind in PROVISIONING_FAILURES or on == PROVISION) and not (
        on == PROVISION and fault.kind in (*PROVISIONING_FAILURES, "slow")
    ):
        failures = ", ".join(PROVISIONING_FAILURES)
        raise BadFault(f"on: {PROVISION!r} takes {failures} or slow, and only it does those.")
    is_scoring = on == SCORE.lower()
    if fault.kind == "model-error" and not is_scoring:
        raise BadFault(f"on: model-error happens to {SCORE!r} only.")
    if is_scoring and fault.kind in ("stale", "revert", "empty"):
        raise BadFault(f"on: {SCORE!r} cannot have {fault.kind}.")
    if fault.is_live and not is_scoring:
        raise BadFault(f"is_live: only {SCORE!r} is routed by traffic rules.")
    if fault.kind in ("stale", "empty") and method not in ("GET", "LIST", "*"):
        raise BadFault(f"on: {fault.kind} happens to a GET only.")
    if fault.kind == "revert" and on != "put onlineendpoints":
        raise BadFault("on: revert happens to 'PUT onlineEndpoints' only.")


class Faults:
    """The faults that are switched on, until the emulator ends. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._chances: dict[str, random.Random] = {}
        self._struck: dict[str, int] = {}

    def add(self, fault: Fault) -> Fault:
        """Switch it on; the fault with the name it was given."""
        named = replace(fault, name=uuid.uuid4().hex[:8])
        with self._lock:
            self._faults[named.name] = named
            self._chances[named.name] = random.Random(named.seed)
            self._struck[named.name] = 0
        return named

    def clear(self) -> int:
        """Switch all off; how many there were."""
        with self._lock:
            count = len(self._faults)
            self._faults, self._chances, self._struck = {}, {}, {}
        return count

    @property
    def are_stale(self) -> bool:
        """Whether a stale read may come, so that answers must be remembered."""
        return any(each.kind == "stale" for each in list(self._faults.values()))

    def listed(self) -> list[Json]:
        """Each with how often it struck, those that are used up too."""
        with self._lock:
            return [
                {**asdict(each), "struck": self._struck[name]}
                for name, each in self._faults.items()
            ]

    def take(self, operation: str, target: str = "", *, is_live: bool = False) -> Fault | None:
        """The fault that strikes this operation now, counted; None when it goes well."""
        if not self._faults:
            return None
        with self._lock:
            for name, fault in self._faults.items():
                if not fault.matches(operation, target, is_live=is_live):
                    continue
                if fault.count and self._struck[name] >= fault.count:
                    continue
                if fault.skip:
                    self._faults[name] = replace(fault, skip=fault.skip - 1)
                    continue
                if self._chances[name].random() < fault.probability:
                    self._struck[name] += 1
                    return fault
        return None
