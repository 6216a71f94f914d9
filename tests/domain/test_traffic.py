"""Traffic: a value whose shares always sum to 0 or 100."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.domain.traffic import Traffic, divided
from taxiops.errors import UsageError

SLOTS = st.sampled_from(["blue", "green", "red-2", "canary"])


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    slots = draw(st.lists(SLOTS, unique=True, min_size=1))
    weights = {slot: draw(st.integers(0, 10)) for slot in slots}
    return Traffic.of(divided(weights, 100))


@given(traffics(), SLOTS, st.integers(-5, 105))
def test_the_shares_sum_to_nothing_or_all_after_every_shift(
    traffic: Traffic, slot: str, percent: int
) -> None:
    try:
        shifted = traffic.shift(slot, percent)
    except UsageError:
        return
    assert sum(shifted.shares.values()) in (0, 100)
    assert shifted.percent(slot) == percent
    assert set(shifted.shares) == {*traffic.shares, slot}


@given(traffics(), SLOTS, st.integers(0, 100))
def test_the_others_keep_their_order_of_size(traffic: Traffic, slot: str, percent: int) -> None:
    try:
        shifted = traffic.shift(slot, percent)
    except UsageError:
        return
    others = [name for name in traffic.shares if name != slot]
    for one in others:
        for other in others:
            if traffic.percent(one) > traffic.percent(other):
                assert shifted.percent(one) >= shifted.percent(other)


@given(traffics(), traffics())
def test_the_difference_leads_from_one_to_the_other(one: Traffic, other: Traffic) -> None:
    changes = {change.slot: change for change in one.diff(other)}
    for slot in {*one.shares, *other.shares}:
        change = changes.get(slot)
        before, after = (change.before, change.after) if change else (None, None)
        if change is None:
            assert one.percent(slot) == other.percent(slot)
        else:
            assert (before, after) == (one.percent(slot), other.percent(slot))
    assert one.is_same(other) == (not changes)


def test_a_canary_takes_its_share_from_the_incumbent() -> None:
    shifted = Traffic.of({"blue": 100}).shift("green", 30)
    assert dict(shifted.shares) == {"blue": 70, "green": 30}
    assert str(shifted) == "blue=70,green=30"
    assert dict(shifted.shift("green", 100).shares) == {"blue": 0, "green": 100}


def test_names_are_lower_case_and_in_order() -> None:
    traffic = Traffic.of({"Green": 30, "BLUE": 70})
    assert list(traffic.shares.items()) == [("blue", 70), ("green", 30)]
    assert traffic.percent("Blue") == 70


def test_three_ways_are_divided_without_loss() -> None:
    assert divided({"a": 1, "b": 1, "c": 1}, 100) == {"a": 34, "b": 33, "c": 33}


def test_zeros_are_kept_but_make_no_difference() -> None:
    with_zero = Traffic.of({"blue": 100, "green": 0})
    assert with_zero.shares == {"blue": 100, "green": 0}
    assert with_zero.live == {"blue": 100}
    assert with_zero.is_same(Traffic.of({"blue": 100}))
    assert Traffic.of({"blue": 0}).is_empty


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"blue": 50}, "sums to 50"),
        ({"blue": 70, "green": 40}, "sums to 110"),
        ({"blue": -100, "green": 200}, "blue"),
        ({"blue": 100.0}, "blue"),
        ({"blue": True, "green": 99}, "blue"),
        ({"b": 100}, "is no deployment name"),
        ({"blue_2": 100}, "is no deployment name"),
        ({"blue\n": 100}, "is no deployment name"),
        ({"blue": 50, "Blue": 50}, "twice"),
    ],
)
def test_an_impossible_distribution_is_refused(shares: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Traffic.of(shares)


def test_nobody_is_left_without_service() -> None:
    with pytest.raises(UsageError, match="no other slot can take the 70 percent"):
        Traffic.of({"blue": 100}).shift("blue", 30)
    with pytest.raises(UsageError):
        Traffic.of({}).shift("blue", 0)


def test_mirrored_traffic_follows_azures_rules() -> None:
    traffic = Traffic.of({"blue": 100, "green": 0})
    assert traffic.mirror("Green", 50) == {"green": 50}
    assert traffic.mirror("green", 0) == {}
    with pytest.raises(UsageError, match="50 percent at most"):
        traffic.mirror("green", 51)
    with pytest.raises(UsageError, match="100 percent live"):
        traffic.mirror("blue", 10)
