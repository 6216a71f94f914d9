"""The promise as a state machine: whatever is done, dies or is changed by others, traffic is known.

Two operators share an endpoint. Each may deploy, test, promote, roll back, die at any step and go
on again; a stranger may move traffic; the lease may expire while its holder still acts. After each
quiet moment the traffic is what an operator asked for, exactly what was before, or the stranger's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from taxiops.domain.rollout import (
    ENDS,
    Action,
    Observed,
    Outcome,
    Slot,
    SlotState,
    Step,
    Wanted,
    after,
    choose_slot,
    next_action,
)
from taxiops.domain.traffic import Traffic
from taxiops.errors import Conflict

OPERATORS = st.sampled_from(("ada", "grace"))
# How far an operator gets at once; most often to the end.
TURNS = st.sampled_from((0, 1, 2, 3, 12, 12))
CHANGES = (Action.CREATE_ENDPOINT, Action.PROVISION, Action.DELETE_SLOT, Action.SHIFT)


NOBODY = Wanted("prod", "blue", "", Traffic({}))


@dataclass(frozen=True)
class Told:
    """What the endpoint's tags tell of the last rollout: enough to go on after any death."""

    wanted: Wanted


@dataclass
class Operator:
    """A process at work, until it ends or dies. seen: the endpoint when it last looked.

    may: every distribution that it may bring about.
    """

    wanted: Wanted
    seen: Observed
    may: list[Mapping[str, int]]


class Promise(RuleBasedStateMachine):
    """The service, the lease, and who is at work."""

    def __init__(self) -> None:
        super().__init__()
        slots = {"blue": Slot(SlotState.READY, "old"), "green": Slot(SlotState.READY, "older")}
        self.there = Observed(True, Traffic.of({"blue": 100}), {}, slots)
        self.told: Told | None = None
        self.holder = ""
        self.at_work: dict[str, Operator] = {}
        self.models = 0
        # What served when the last operator began, ended or died, or the stranger's will.
        self.rest: Mapping[str, int] = {"blue": 100}
        # The models to which a stranger gave traffic.
        self.strange: set[str] = set()

    # -- operators ---------------------------------------------------------------------------

    def begin(self, name: str, wanted: Wanted, turns: int) -> None:
        if self.holder:
            return
        self.holder = name
        self.told = Told(wanted)
        self.rest = self.there.traffic.live
        may = [wanted.prior_traffic.live]
        if not wanted.is_undone:
            may += [wanted.prior_traffic.shift(wanted.slot, wanted.percent).live]
        self.at_work[name] = Operator(wanted, self.there, may)
        self.go_on(name, turns, is_late=False)

    @rule(name=OPERATORS, percent=st.integers(1, 100), passes=st.booleans(), turns=TURNS)
    def deploy(self, name: str, percent: int, passes: bool, turns: int) -> None:
        live = self.there.traffic.live
        try:
            slot = choose_slot("prod", "", live)
        except Conflict:
            return
        self.models += 1
        model = f"model-{self.models}" + ("" if passes else "-bad")
        prior = Traffic.of(live) if live else Traffic({})
        self.begin(name, Wanted("prod", slot, model, prior, percent=percent), turns)

    @precondition(lambda self: self.told is not None)
    @rule(name=OPERATORS, turns=TURNS)
    def resume(self, name: str, turns: int) -> None:
        """The same command again, by whoever: from the endpoint's own tale."""
        assert self.told is not None
        self.begin(name, self.told.wanted, turns)

    @precondition(lambda self: self.told is not None)
    @rule(name=OPERATORS, turns=TURNS)
    def promote(self, name: str, turns: int) -> None:
        assert self.told is not None
        wanted = self.told.wanted
        if wanted.tested is Outcome.PASSED and not wanted.is_undone:
            self.begin(name, replace(wanted, percent=100), turns)

    @precondition(lambda self: self.told is not None)
    @rule(name=OPERATORS, turns=TURNS)
    def roll_back(self, name: str, turns: int) -> None:
        assert self.told is not None
        self.begin(name, replace(self.told.wanted, is_undone=True), turns)

    @rule(name=OPERATORS, turns=TURNS, is_late=st.booleans())
    def work(self, name: str, turns: int, is_late: bool) -> None:
        self.go_on(name, turns, is_late=is_late)

    def go_on(self, name: str, turns: int, *, is_late: bool) -> None:
        """Some turns of the loop. is_late: the first decides by what it saw a while ago."""
        for number in range(turns):
            operator = self.at_work.get(name)
            if operator is None:
                return
            if number or not is_late:
                operator.seen = self.there
            self.act(name, operator)

    def act(self, name: str, operator: Operator) -> None:
        """Decide, and do it if nothing changed since the look."""
        step = next_action(operator.wanted, operator.seen)
        if step.action in ENDS:
            self.ended(name, operator, step)
            return
        if self.holder != name or (step.action in CHANGES and operator.seen != self.there):
            # The lease is lost, or the read just before the write shows another endpoint.
            self.leave(name)
            return
        self.carry_out(operator, step)
        operator.seen = self.there
        self.told = Told(operator.wanted)

    def carry_out(self, operator: Operator, step: Step) -> None:
        if step.action is Action.TEST:
            good = not operator.wanted.model_sha256.endswith("-bad")
            outcome = Outcome.PASSED if good else Outcome.FAILED
            operator.wanted = replace(operator.wanted, tested=outcome)
            return
        assert step.action is not Action.WAIT
        self.check_service_rules(step)
        if step.action is Action.PROVISION:
            operator.wanted = replace(operator.wanted, is_provisioned=True)
        self.there = after(step, operator.wanted, self.there)

    def check_service_rules(self, step: Step) -> None:
        """What Azure refuses is never asked for."""
        live = self.there.traffic.live
        if step.action is Action.DELETE_SLOT:
            assert step.slot not in live
        if step.action is Action.SHIFT:
            assert set(step.traffic.live) <= set(self.there.slots)
            assert sum(step.traffic.shares.values()) in (0, 100)

    def ended(self, name: str, operator: Operator, step: Step) -> None:
        if step.action is Action.GIVE_UP:
            operator.wanted = replace(operator.wanted, is_undone=True)
            self.told = Told(operator.wanted)
            return
        self.leave(name)
        if self.holder == name:
            self.holder = ""
        if step.action is Action.DONE and operator.seen == self.there:
            assert (
                self.there.traffic.live == operator.may[-1 if not operator.wanted.is_undone else 0]
            )

    def leave(self, name: str) -> None:
        """Ended or dead; what it left is what is."""
        if self.at_work.pop(name, None) is not None:
            self.rest = self.there.traffic.live

    # -- what goes wrong ---------------------------------------------------------------------

    @rule(name=OPERATORS)
    def die(self, name: str) -> None:
        """kill -9: what it knew is gone, the lease stays until it expires."""
        self.leave(name)

    @rule()
    def lease_expires(self) -> None:
        self.holder = ""

    @precondition(lambda self: len(self.there.slots) == 2)
    @rule(share=st.integers(0, 100), turns=TURNS)
    def stranger_moves_traffic(self, share: int, turns: int) -> None:
        """Somebody without taxiops splits the traffic among the slots that are there."""
        slots = sorted(self.there.slots)
        if len(slots) == 2:
            shares = {slots[0]: share, slots[1]: 100 - share}
            self.there = replace(self.there, traffic=Traffic.of(shares))
            live = self.rest = self.there.traffic.live
            self.strange |= {self.there.slots[slot].model_sha256 for slot in live}
            for name in sorted(self.at_work):
                self.go_on(name, turns, is_late=False)

    @precondition(lambda self: self.told is not None and self.told.wanted.percent == 100)
    @rule(turns=TURNS)
    def stranger_deletes_an_idle_slot(self, turns: int) -> None:
        idle = sorted(set(self.there.slots) - set(self.there.traffic.live))
        if idle:
            self.there = after(Step(Action.DELETE_SLOT, "", idle[0]), NOBODY, self.there)
            self.roll_back("ada", turns)

    # -- the promise -------------------------------------------------------------------------

    @invariant()
    def traffic_is_what_somebody_asked_for_or_what_was(self) -> None:
        may = [shares for each in self.at_work.values() for shares in each.may]
        assert self.there.traffic.live in [self.rest, *may]

    @invariant()
    def somebody_answers_every_request(self) -> None:
        assert sum(self.there.traffic.shares.values()) == 100
        assert set(self.there.traffic.live) <= set(self.there.slots)

    @invariant()
    def a_bad_model_never_gets_traffic_from_us(self) -> None:
        serving = {self.there.slots[slot].model_sha256 for slot in self.there.traffic.live}
        assert not {model for model in serving if model.endswith("-bad")} - self.strange


TestPromise = Promise.TestCase
TestPromise.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
