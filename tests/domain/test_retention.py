"""Retention: a reason for every version, and no protected one is ever deleted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.domain.retention import (
    PIN,
    CleanupPlan,
    ModelVersion,
    RetentionPolicy,
    newest_first,
    plan_cleanup,
)
from taxiops.errors import UsageError


def plan(
    versions: list[str], keep: int, protected: dict[str, list[str]] | None = None
) -> CleanupPlan:
    return plan_cleanup(
        [ModelVersion(each) for each in versions], protected or {}, RetentionPolicy(keep)
    )


def test_versions_are_ordered_by_number() -> None:
    assert newest_first(["9", "10", "1", "2", "abc", "10"]) == ["10", "9", "2", "1", "abc"]


def test_the_newest_stay_and_the_oldest_go_first() -> None:
    found = plan(["1", "2", "3", "9", "10", "11"], 2)
    assert found.to_delete == ("1", "2", "3", "9")
    assert [each.version for each in found.decisions] == ["11", "10", "9", "3", "2", "1"]
    assert found.newest == ("11", "10")


def test_every_version_has_its_reason() -> None:
    versions = [ModelVersion(each) for each in ("1", "2", "3", "v1")]
    versions.append(ModelVersion("0", {PIN: "audit 2026"}))
    found = plan_cleanup(
        versions, {"2": ["serves in dev/blue", "rollback target of prod"]}, RetentionPolicy(1)
    )
    assert {each.version: (each.is_kept, each.reason) for each in found.decisions} == {
        "3": (True, "one of the newest 1"),
        "2": (True, "serves in dev/blue; rollback target of prod"),
        "1": (False, "2 newer versions, and nothing uses it"),
        "0": (True, f"pinned by tag {PIN}"),
        "v1": (True, "not a counted version, so its age is unknown"),
    }


def test_a_protection_without_a_reason_protects_all_the_same() -> None:
    assert plan(["1", "2"], 1, {"1": []}).to_delete == ()


def test_one_number_spelt_two_ways_is_protected_both_ways() -> None:
    assert plan(["01", "1", "5"], 1, {"1": ["serves"]}).to_delete == ()


def test_a_protected_version_that_is_not_there_changes_nothing() -> None:
    assert plan(["1", "2"], 1, {"7": ["serves"]}).to_delete == ("1",)


@pytest.mark.parametrize("keep", [0, -1, True])
def test_keeping_none_is_refused(keep: int) -> None:
    with pytest.raises(UsageError):
        RetentionPolicy(keep)


NAMES = st.one_of(
    st.integers(0, 30).map(str), st.text(max_size=3), st.sampled_from(["007", "²", "٣"])
)


@given(
    st.lists(NAMES, max_size=25),
    st.dictionaries(NAMES, st.lists(st.text(max_size=5), max_size=2), max_size=6),
    st.sets(NAMES, max_size=3),
    st.integers(1, 8),
)
def test_no_protected_pinned_or_new_version_is_ever_deleted(
    names: list[str], protected: dict[str, list[str]], pinned: set[str], keep: int
) -> None:
    versions = [ModelVersion(each, {PIN: ""} if each in pinned else {}) for each in names]
    found = plan_cleanup(versions, protected, RetentionPolicy(keep))
    assert sorted(each.version for each in found.decisions) == sorted(set(names))
    assert all(each.reason for each in found.decisions)
    gone = set(found.to_delete)
    assert not gone & (set(protected) | pinned)
    numbered = [each for each in newest_first(names) if each.isascii() and each.isdigit()]
    assert not gone & set(numbered[:keep])
    assert len(set(numbered) - gone) >= min(keep, len(set(numbered)))
