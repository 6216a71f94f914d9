"""The rollout: from any state, next_action ends, in what is wanted or exactly what was before."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    live_only,
    next_action,
    phase,
    plan_rollback,
)
from taxiops.domain.traffic import Traffic
from taxiops.errors import Conflict, UsageError

READY = SlotState.READY
OLD, NEW = Slot(READY, "old"), Slot(READY, "new")
BLUE_ONLY = Observed(True, Traffic.of({"blue": 100}), {}, {"blue": OLD})
CANARY = Observed(True, Traffic.of({"blue": 70, "green": 30}), {}, {"blue": OLD, "green": NEW})
WANTED = Wanted("prod", "green", "new", Traffic.of({"blue": 100}), percent=30)
FIRST = Wanted("dev", "blue", "new", Traffic.of({}))


def carried_out(
    wanted: Wanted, observed: Observed, limit: int = 20
) -> tuple[list[Action], Observed]:
    """What the workflow's loop does when every step succeeds and every test passes."""
    actions = []
    for _ in range(limit):
        step = next_action(wanted, observed)
        actions.append(step.action)
        if step.action in ENDS:
            return actions, observed
        wanted, observed = carry_out(step, wanted, observed)
    raise AssertionError(f"no end: {actions}")


def carry_out(step: Step, wanted: Wanted, observed: Observed) -> tuple[Wanted, Observed]:
    if step.action is Action.WAIT:
        settled = {
            name: replace(slot, state=READY if slot.state is SlotState.BUSY else slot.state)
            for name, slot in observed.slots.items()
        }
        return wanted, replace(observed, slots=settled, is_busy=False)
    if step.action is Action.TEST:
        return replace(wanted, tested=Outcome.PASSED), observed
    if step.action is Action.PROVISION:
        wanted = replace(wanted, is_provisioned=True)
    return wanted, after(step, wanted, observed)


def test_a_first_deployment_goes_all_the_way_to_all_traffic() -> None:
    actions, end = carried_out(FIRST, Observed(False))
    assert actions == [
        Action.CREATE_ENDPOINT,
        Action.PROVISION,
        Action.TEST,
        Action.SHIFT,
        Action.DONE,
    ]
    assert end.traffic.live == {"blue": 100}


def test_a_second_deployment_is_tested_before_its_canary_share() -> None:
    actions, end = carried_out(WANTED, BLUE_ONLY)
    assert actions == [Action.PROVISION, Action.TEST, Action.SHIFT, Action.DONE]
    assert end.traffic.live == {"blue": 70, "green": 30}


def test_mirrored_traffic_leaves_live_traffic_alone() -> None:
    wanted = replace(WANTED, percent=0, mirror_percent=20)
    _, end = carried_out(wanted, BLUE_ONLY)
    assert (end.traffic.live, dict(end.mirror)) == ({"blue": 100}, {"green": 20})


def test_an_idle_slot_of_another_model_makes_room() -> None:
    observed = replace(BLUE_ONLY, slots={"blue": OLD, "green": Slot(READY, "older")})
    actions, _ = carried_out(WANTED, observed)
    assert actions[:2] == [Action.DELETE_SLOT, Action.PROVISION]


def test_a_slot_with_traffic_is_never_deleted_or_provisioned() -> None:
    step = next_action(replace(WANTED, slot="blue", model_sha256="newer"), BLUE_ONLY)
    assert step.action is Action.CONFLICT


def test_traffic_from_a_stranger_stops_everything() -> None:
    observed = Observed(
        True, Traffic.of({"blue": 50, "red": 50}), {}, {"blue": OLD, "red": OLD, "green": NEW}
    )
    for undone in (False, True):
        step = next_action(replace(WANTED, is_undone=undone), observed)
        assert step.action is Action.CONFLICT
        assert "red" in step.reason


def test_work_under_way_is_waited_for() -> None:
    assert next_action(WANTED, replace(BLUE_ONLY, is_busy=True)).action is Action.WAIT
    busy = replace(BLUE_ONLY, slots={"blue": OLD, "green": Slot(SlotState.BUSY, "new")})
    step = next_action(WANTED, busy)
    assert step.action is Action.WAIT
    assert "green" in step.reason


def test_a_failed_provisioning_is_given_up_and_an_old_failure_is_cleared_away() -> None:
    failed = replace(BLUE_ONLY, slots={"blue": OLD, "green": Slot(SlotState.FAILED, "new")})
    assert next_action(replace(WANTED, is_provisioned=True), failed).action is Action.GIVE_UP
    assert next_action(WANTED, failed).action is Action.DELETE_SLOT


def test_a_failed_test_is_given_up() -> None:
    assert next_action(replace(WANTED, tested=Outcome.FAILED), CANARY).action is Action.GIVE_UP


def test_a_rollback_restores_traffic_before_it_deletes_the_slot() -> None:
    steps = plan_rollback(WANTED, CANARY)
    assert [step.action for step in steps] == [Action.SHIFT, Action.DELETE_SLOT, Action.DONE]
    assert steps[0].traffic.live == {"blue": 100}
    assert steps[1].slot == "green"


def test_a_second_rollback_changes_nothing() -> None:
    undone = replace(WANTED, is_undone=True)
    _, end = carried_out(undone, CANARY)
    assert [step.action for step in plan_rollback(undone, end)] == [Action.DONE]


def test_a_rollback_without_a_prior_deployment_keeps_dev_online_and_tears_prod_down() -> None:
    serving = Observed(True, Traffic.of({"blue": 100}), {}, {"blue": NEW})
    dev = plan_rollback(FIRST, serving)
    assert [step.action for step in dev] == [Action.DONE]
    assert "stays online" in dev[0].reason
    prod = plan_rollback(replace(FIRST, environment="prod"), serving)
    assert [step.action for step in prod] == [Action.DELETE_ENDPOINT, Action.DONE]


def test_what_is_gone_cannot_be_restored() -> None:
    without_blue = Observed(True, Traffic.of({"green": 100}), {}, {"green": NEW})
    end = plan_rollback(WANTED, without_blue)[-1]
    assert end.action is Action.CANNOT_RESTORE
    assert "blue" in end.reason
    assert plan_rollback(WANTED, Observed(False))[-1].action is Action.CANNOT_RESTORE


def test_the_phase_is_read_from_what_is_there() -> None:
    provisioned = replace(BLUE_ONLY, slots={"blue": OLD, "green": NEW})
    tested = replace(WANTED, tested=Outcome.PASSED)
    everything = replace(CANARY, traffic=Traffic.of({"green": 100}))
    assert phase(WANTED, BLUE_ONLY) == "planned"
    assert phase(WANTED, provisioned) == "provisioned"
    assert phase(tested, provisioned) == "tested"
    assert phase(tested, CANARY) == "canary"
    assert phase(tested, everything) == "promoted"
    assert phase(replace(tested, is_undone=True), BLUE_ONLY) == "rolled_back"
    assert phase(replace(tested, is_undone=True), CANARY) == "failed"
    assert phase(replace(WANTED, tested=Outcome.FAILED), provisioned) == "failed"
    assert phase(replace(WANTED, is_provisioned=True), BLUE_ONLY) == "failed"


@pytest.mark.parametrize(
    ("environment", "live", "slot"),
    [
        ("dev", {}, "blue"),
        ("prod", {}, "green"),
        ("prod", {"green": 0}, "green"),
        ("dev", {"blue": 100}, "green"),
        ("prod", {"green": 100, "blue": 0}, "blue"),
        ("dev", {"other": 100}, "blue"),
    ],
)
def test_the_idle_slot_is_chosen(environment: str, live: dict[str, int], slot: str) -> None:
    assert choose_slot(environment, "", live) == slot


def test_a_named_slot_is_taken_unless_it_carries_traffic() -> None:
    assert choose_slot("dev", "Red-2", {"blue": 100}) == "red-2"
    with pytest.raises(UsageError, match="carries 100 percent"):
        choose_slot("dev", "BLUE", {"blue": 100})
    with pytest.raises(Conflict, match="Both slots"):
        choose_slot("dev", "", {"blue": 70, "green": 30})


def test_a_failed_slot_that_carries_traffic_is_given_up_and_never_deleted_from_under_it() -> None:
    wanted = Wanted("dev", "green", "new", Traffic.of({"blue": 100}))
    slots = {"blue": Slot(SlotState.READY, "old"), "green": Slot(SlotState.FAILED, "new")}
    at = Observed(True, Traffic.of({"blue": 99, "green": 1}), {}, slots)
    assert next_action(wanted, at).action is Action.GIVE_UP
    undone = replace(wanted, is_undone=True)
    assert next_action(undone, at).traffic.is_same(Traffic.of({"blue": 100}))


MODELS = st.sampled_from(["old", "new"])
STATES = st.sampled_from(SlotState)


@st.composite
def observed(draw: st.DrawFn) -> Observed:
    names = draw(st.lists(st.sampled_from(["blue", "green", "red"]), unique=True))
    slots = {name: Slot(draw(STATES), draw(MODELS)) for name in names}
    live = draw(st.sampled_from(names)) if names and draw(st.booleans()) else ""
    shares = {name: 100 if name == live else 0 for name in names}
    traffic = Traffic.of(shares)
    if live and len(names) > 1 and draw(st.booleans()):
        other = next(name for name in names if name != live)
        traffic = traffic.shift(other, draw(st.integers(1, 99)))
    idle = [name for name in names if not traffic.percent(name)]
    mirror = {idle[0]: 10} if idle and draw(st.booleans()) else {}
    return Observed(draw(st.booleans()) or bool(names), traffic, mirror, slots, draw(st.booleans()))


@st.composite
def rollouts(draw: st.DrawFn) -> Wanted:
    prior = draw(
        st.sampled_from([{}, {"blue": 100}, {"blue": 60, "red": 40}, {"blue": 100, "green": 0}])
    )
    return Wanted(
        environment=draw(st.sampled_from(["dev", "prod"])),
        slot="green",
        model_sha256="new",
        prior_traffic=Traffic.of(prior),
        prior_mirror=draw(st.sampled_from([{}, {"green": 10}])),
        percent=draw(st.integers(0, 100)),
        mirror_percent=draw(st.sampled_from([0, 20])),
        tested=draw(st.sampled_from(Outcome)),
        is_provisioned=draw(st.booleans()),
        is_undone=draw(st.booleans()),
    )


@settings(max_examples=500)
@given(rollouts(), observed())
def test_from_any_state_the_rollout_ends_in_what_is_wanted_or_says_why_not(
    wanted: Wanted, start: Observed
) -> None:
    actions, end = carried_out(wanted, start)
    if actions[-1] is Action.DONE and not wanted.is_undone:
        traffic, mirror = wanted.target()
        assert end.traffic.is_same(traffic)
        assert live_only(end.mirror) == mirror
    if actions[-1] is Action.DONE and wanted.is_undone and not wanted.is_first:
        assert end.traffic.is_same(wanted.prior_traffic)
        assert "green" not in end.slots or end.slots["green"].model_sha256 != "new"


@settings(max_examples=500)
@given(rollouts(), observed(), st.integers(0, 6))
def test_a_rollback_after_any_number_of_steps_restores_the_exact_prior_traffic(
    wanted: Wanted, start: Observed, crash_after: int
) -> None:
    wanted = replace(wanted, is_undone=False)
    serving = dict.fromkeys(wanted.prior_traffic.live, OLD)
    at = replace(start, exists=True, traffic=wanted.prior_traffic, mirror={}, is_busy=False)
    at = replace(at, slots={**serving, **{k: v for k, v in start.slots.items() if k == "green"}})
    for _ in range(crash_after):
        step = next_action(wanted, at)
        if step.action in ENDS:
            break
        wanted, at = carry_out(step, wanted, at)
    actions, end = carried_out(replace(wanted, is_undone=True), at)
    assert actions[-1] is Action.DONE
    if not wanted.is_first:
        assert end.traffic.is_same(wanted.prior_traffic)


@settings(max_examples=300)
@given(rollouts(), observed())
def test_no_step_deletes_a_slot_that_serves_or_leaves_clients_without_one(
    wanted: Wanted, start: Observed
) -> None:
    at = start
    for _ in range(20):
        step = next_action(wanted, at)
        if step.action in ENDS:
            return
        if step.action is Action.DELETE_SLOT:
            assert at.traffic.percent(step.slot) == 0
        if step.action is Action.SHIFT and at.traffic.live and not wanted.is_first:
            assert step.traffic.live
            assert set(step.traffic.live) <= set(at.slots)
        wanted, at = carry_out(step, wanted, at)
