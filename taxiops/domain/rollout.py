"""The rollout as decisions: from what is wanted and what is observed, the next thing to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from taxiops.domain.state_file import (
    CANARY,
    FAILED,
    PLANNED,
    PROMOTED,
    PROVISIONED,
    ROLLED_BACK,
    TESTED,
)
from taxiops.domain.traffic import Traffic
from taxiops.errors import Conflict, UsageError

DEV, PROD = "dev", "prod"
BLUE, GREEN = "blue", "green"
NOTHING = Traffic({})


class Action(Enum):
    """All that a rollout ever does, one at a time, and how it ends."""

    CREATE_ENDPOINT = "create_endpoint"
    DELETE_SLOT = "delete_slot"
    PROVISION = "provision"
    WAIT = "wait"
    TEST = "test"
    SHIFT = "shift"
    DELETE_ENDPOINT = "delete_endpoint"
    # The ends: as wanted; to be undone; somebody else changed it; what served before is gone.
    DONE = "done"
    GIVE_UP = "give_up"
    CONFLICT = "conflict"
    CANNOT_RESTORE = "cannot_restore"


ENDS = (Action.DONE, Action.GIVE_UP, Action.CONFLICT, Action.CANNOT_RESTORE)


class SlotState(Enum):
    """A deployment's provisioning, as far as a decision depends on it."""

    BUSY = "busy"
    READY = "ready"
    FAILED = "failed"


class Outcome(Enum):
    """What the test of the slot said last."""

    NOT_YET = "not_yet"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True)
class Wanted:
    """One rollout: what it is to end in, and what it must be able to go back to.

    percent: the share the slot is to have. mirror_percent above 0: a mirrored share instead.
    is_provisioned: this rollout has asked for its slot already. is_undone: put everything back.
    """

    environment: str
    slot: str
    model_sha256: str
    prior_traffic: Traffic
    prior_mirror: Mapping[str, int] = field(default_factory=dict)
    percent: int = 100
    mirror_percent: int = 0
    tested: Outcome = Outcome.NOT_YET
    is_provisioned: bool = False
    is_undone: bool = False

    @property
    def is_first(self) -> bool:
        """Whether nothing served before."""
        return self.prior_traffic.is_empty

    def target(self) -> tuple[Traffic, dict[str, int]]:
        """Live and mirrored traffic at the end.

        Raises UsageError when the shares are impossible.
        """
        if self.is_undone:
            return self.prior_traffic, live_only(self.prior_mirror)
        if self.is_first:
            return Traffic.of({self.slot: 100}), {}
        if self.mirror_percent:
            mirror = self.prior_traffic.mirror(self.slot, self.mirror_percent)
            return self.prior_traffic, mirror
        return self.prior_traffic.shift(self.slot, self.percent), {}


@dataclass(frozen=True)
class Slot:
    """A deployment as the service shows it."""

    state: SlotState
    model_sha256: str


@dataclass(frozen=True)
class Observed:
    """The endpoint as the service shows it. is_busy: an operation on the endpoint is under way."""

    exists: bool
    traffic: Traffic = NOTHING
    mirror: Mapping[str, int] = field(default_factory=dict)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    is_busy: bool = False


@dataclass(frozen=True)
class Step:
    """One thing to do, and why. slot of DELETE_SLOT, PROVISION, TEST; traffic, mirror of SHIFT."""

    action: Action
    reason: str
    slot: str = ""
    traffic: Traffic = NOTHING
    mirror: Mapping[str, int] = field(default_factory=dict)


def next_action(wanted: Wanted, observed: Observed) -> Step:
    """The next thing to do, for every pair of wanted and observed.

    Doing it and asking again ends in one of ENDS, whatever was left half done before.
    """
    if not observed.exists:
        if wanted.is_undone:
            gone = not wanted.is_first
            end = Action.CANNOT_RESTORE if gone else Action.DONE
            return Step(end, "the endpoint is gone" if gone else "there is no endpoint")
        if not wanted.is_first:
            return Step(Action.CONFLICT, "the endpoint that served before is gone")
        return Step(Action.CREATE_ENDPOINT, "there is no endpoint")
    busy = [name for name, slot in observed.slots.items() if slot.state is SlotState.BUSY]
    if observed.is_busy or busy:
        return Step(Action.WAIT, f"{', '.join(sorted(busy)) or 'the endpoint'} is being changed")
    foreign = foreign_change(wanted, observed)
    if foreign:
        return Step(Action.CONFLICT, foreign)
    return next_undo(wanted, observed) if wanted.is_undone else next_forward(wanted, observed)


def foreign_change(wanted: Wanted, observed: Observed) -> str:
    """What somebody else did to the traffic since the rollout began; empty when nothing."""
    known = {wanted.slot, *wanted.prior_traffic.live}
    strangers = sorted(set(observed.traffic.live) - known)
    if strangers:
        return f"slot {', '.join(strangers)} carries traffic that this rollout did not give it"
    own = observed.slots.get(wanted.slot)
    if observed.traffic.percent(wanted.slot) and not is_own(wanted, own):
        return f"slot {wanted.slot} carries traffic with another model"
    return ""


def is_own(wanted: Wanted, slot: Slot | None) -> bool:
    return slot is not None and slot.model_sha256 == wanted.model_sha256


def next_forward(wanted: Wanted, observed: Observed) -> Step:
    """Towards the wanted share: provision, test, then traffic."""
    name = wanted.slot
    if wanted.tested is Outcome.FAILED:
        return Step(Action.GIVE_UP, f"slot {name} failed its test")
    missing = missing_prior(wanted, observed)
    if missing:
        return Step(Action.CONFLICT, f"slot {missing} that served before is gone")
    slot = observed.slots.get(name)
    if slot is None:
        return Step(Action.PROVISION, f"slot {name} is not there", name)
    if not is_own(wanted, slot):
        return Step(Action.DELETE_SLOT, f"slot {name} holds another model, without traffic", name)
    if slot.state is SlotState.FAILED:
        if wanted.is_provisioned:
            return Step(Action.GIVE_UP, f"slot {name} could not be provisioned")
        if observed.traffic.percent(name):
            return Step(Action.GIVE_UP, f"slot {name} is a failed one that carries traffic")
        return Step(Action.DELETE_SLOT, f"slot {name} is a failed one from before", name)
    if wanted.tested is not Outcome.PASSED:
        return Step(Action.TEST, f"slot {name} is untested", name)
    traffic, mirror = wanted.target()
    if not is_there(traffic, mirror, observed):
        return Step(Action.SHIFT, f"slot {name} passed its test", name, traffic, mirror)
    return Step(Action.DONE, f"slot {name} has its share")


def next_undo(wanted: Wanted, observed: Observed) -> Step:
    """Back to exactly what was before: traffic first, then the slot goes."""
    if wanted.is_first:
        return next_undo_first(wanted, observed)
    missing = missing_prior(wanted, observed)
    if missing:
        return Step(Action.CANNOT_RESTORE, f"slot {missing} that served before is gone")
    traffic, mirror = wanted.target()
    mirror = {slot: percent for slot, percent in mirror.items() if slot in observed.slots}
    if not is_there(traffic, mirror, observed):
        return Step(Action.SHIFT, "other traffic than before", traffic=traffic, mirror=mirror)
    if is_own(wanted, observed.slots.get(wanted.slot)):
        return Step(Action.DELETE_SLOT, f"slot {wanted.slot} is given up", wanted.slot)
    return Step(Action.DONE, "what served before serves again")


def next_undo_first(wanted: Wanted, observed: Observed) -> Step:
    """Nothing served before: Prod loses the new endpoint, Dev keeps it online when it serves."""
    own = is_own(wanted, observed.slots.get(wanted.slot))
    if wanted.environment == PROD and set(observed.slots) <= {wanted.slot}:
        return Step(Action.DELETE_ENDPOINT, "nothing served before")
    if observed.traffic.percent(wanted.slot):
        if wanted.environment == DEV:
            return Step(Action.DONE, f"Dev stays online with slot {wanted.slot}")
        return Step(Action.SHIFT, "nothing served before", traffic=NOTHING)
    if own:
        return Step(Action.DELETE_SLOT, f"slot {wanted.slot} is given up", wanted.slot)
    return Step(Action.DONE, "nothing serves, as before")


def missing_prior(wanted: Wanted, observed: Observed) -> str:
    """The slots that served before and are not there any more; empty when all are."""
    return ", ".join(sorted(set(wanted.prior_traffic.live) - set(observed.slots)))


def is_there(traffic: Traffic, mirror: Mapping[str, int], observed: Observed) -> bool:
    return traffic.is_same(observed.traffic) and live_only(mirror) == live_only(observed.mirror)


def live_only(shares: Mapping[str, int]) -> dict[str, int]:
    return {slot: percent for slot, percent in shares.items() if percent}


def phase(wanted: Wanted, observed: Observed) -> str:
    """The phase an operator sees, from what is there now."""
    share = observed.traffic.percent(wanted.slot)
    own = observed.slots.get(wanted.slot)
    if wanted.is_undone:
        over = next_action(wanted, observed).action is Action.DONE
        return ROLLED_BACK if over else FAILED
    if wanted.tested is Outcome.FAILED:
        return FAILED
    if not is_own(wanted, own) or own is None:
        return FAILED if wanted.is_provisioned and own is None else PLANNED
    if share:
        return PROMOTED if share == 100 else CANARY
    if own.state is not SlotState.READY:
        return FAILED if own.state is SlotState.FAILED else PLANNED
    return TESTED if wanted.tested is Outcome.PASSED else PROVISIONED


def choose_slot(environment: str, named: str, live: Mapping[str, int]) -> str:
    """The slot that a new deployment takes: the one named, else the idle one of blue and green.

    named: by option or configuration, may be empty. live: the slots that carry traffic. On an
    empty endpoint blue in Dev, green in Prod. Raises UsageError when the named slot carries
    traffic, Conflict when both do.
    """
    name = named.lower()
    if live.get(name):
        raise UsageError(
            f"Slot {name} carries {live[name]} percent of the traffic.",
            why="A deployment never replaces what serves.",
            hint="Leave --slot away: the idle slot is chosen.",
            code="slot-live",
        )
    if name:
        return name
    serving = live_only(live)
    if not serving:
        return BLUE if environment == DEV else GREEN
    idle = [slot for slot in (BLUE, GREEN) if slot not in serving]
    if not idle:
        raise Conflict(
            "Both slots carry traffic.",
            hint="taxiops traffic promote, or taxiops traffic rollback; then deploy again.",
            code="canary-under-way",
        )
    return idle[0]


def plan_rollback(wanted: Wanted, observed: Observed) -> tuple[Step, ...]:
    """The steps that put everything back, the last one being the end; for showing beforehand."""
    undone, steps = replace(wanted, is_undone=True), []
    while True:
        step = next_action(undone, observed)
        steps.append(step)
        if step.action in (*ENDS, Action.WAIT):
            return tuple(steps)
        observed = after(step, undone, observed)


def after(step: Step, wanted: Wanted, observed: Observed) -> Observed:
    """The endpoint once the step succeeded, by the rules of the service."""
    match step.action:
        case Action.CREATE_ENDPOINT:
            return Observed(exists=True)
        case Action.DELETE_ENDPOINT:
            return Observed(exists=False)
        case Action.PROVISION:
            made = Slot(SlotState.READY, wanted.model_sha256)
            return replace(observed, slots={**observed.slots, step.slot: made})
        case Action.DELETE_SLOT:
            return replace(
                observed,
                slots=without(observed.slots, step.slot),
                traffic=Traffic(without(observed.traffic.shares, step.slot)),
                mirror=without(observed.mirror, step.slot),
            )
        case Action.SHIFT:
            return replace(observed, traffic=step.traffic, mirror=step.mirror)
        case _:
            return observed


def without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}
