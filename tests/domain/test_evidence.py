"""Digests and sealed tags: any edit is noticed, equal content is equal."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.domain.evidence import (
    SEAL,
    canonical_json,
    check_tags,
    digest_of_files,
    digest_of_json,
    is_sealed,
    problems_of_tags,
    promotion_tags,
    sealed,
)
from taxiops.errors import EvidenceError, UsageError

HEX = hashlib.sha256(b"x").hexdigest()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(VALUES)
def test_the_digest_survives_being_written_and_read(value: object) -> None:
    text = json.dumps(value, indent=3)
    assert digest_of_json(json.loads(text)) == digest_of_json(value)


def test_the_order_of_names_makes_no_difference() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == b'{"a":[1.5,"\\u00e9"],"b":1}'
    assert digest_of_json({"b": 1, "a": 2}) == digest_of_json({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_json_cannot_hold_has_no_digest(value: object) -> None:
    with pytest.raises(UsageError):
        digest_of_json(value)


def test_the_digest_of_a_folder_is_over_paths_and_bytes_in_any_order() -> None:
    one = digest_of_files([("a", HEX), ("b/c", HEX)])
    assert one == digest_of_files([("b/c", HEX), ("a", HEX)])
    expected = hashlib.sha256(f'[["a","{HEX}"],["b/c","{HEX}"]]'.encode()).hexdigest()
    assert one == f"sha256:{expected}"
    assert one != digest_of_files([("a", HEX), ("b/d", HEX)])


@pytest.mark.parametrize("entries", [[], [("a", HEX), ("a", HEX)]])
def test_no_file_and_a_path_twice_have_no_digest(entries: list[tuple[str, str]]) -> None:
    with pytest.raises(UsageError):
        digest_of_files(entries)


@pytest.fixture
def tags(comparison: dict[str, Any]) -> dict[str, str]:
    return promotion_tags(comparison, digest_of_json(comparison), "")


def test_the_tags_are_those_of_the_contract(
    tags: dict[str, str], comparison: dict[str, Any]
) -> None:
    assert set(tags) == {
        *("branch", "commit", "comparison_run", "run_id", "primary_metric"),
        *("candidate", "baseline", "change", "ci_low", "ci_high"),
        *("report_sha256", "policy_sha256", "test_data_sha256", "model_sha256", "taxiops_sealed"),
    }
    assert tags["run_id"] == "none"
    assert float(tags["change"]) == pytest.approx(comparison["metrics"]["mae"]["change"])
    assert tags["model_sha256"] == comparison["candidate"]["sha256"]
    assert problems_of_tags(tags) == []
    check_tags(tags, "m version 1")


def test_every_edited_tag_is_noticed(tags: dict[str, str]) -> None:
    for name in tags:
        edited = {**tags, name: tags[name][:-1] + ("0" if tags[name][-1] != "0" else "1")}
        assert problems_of_tags(edited), name


def test_every_missing_tag_is_named(tags: dict[str, str]) -> None:
    for name in tags:
        kept = {other: value for other, value in tags.items() if other != name}
        assert problems_of_tags(kept) == [f"Tag {name} is missing."]
        with pytest.raises(EvidenceError) as caught:
            check_tags(kept, "m version 3")
        assert name in caught.value.why


def test_an_added_tag_is_noticed(tags: dict[str, str]) -> None:
    assert "seal" in problems_of_tags({**tags, "approved_by": "me"})[0]


def test_tags_of_one_version_do_not_fit_on_another(tags: dict[str, str]) -> None:
    assert not is_sealed({**tags, "model_sha256": tags["report_sha256"]})


def test_further_tags_stand_under_the_same_seal(comparison: dict[str, Any]) -> None:
    more = {"overridden_by": "somebody", "model_sha256": "forged"}
    tags = promotion_tags(comparison, digest_of_json(comparison), "1", more)
    assert tags["overridden_by"] == "somebody"
    assert tags["model_sha256"] == comparison["candidate"]["sha256"]
    assert problems_of_tags(tags) == []


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_sealing_twice_changes_nothing(tags: dict[str, str]) -> None:
    once = sealed(tags)
    assert sealed(once) == once
    assert is_sealed(once)
    assert all(1 <= len(value) <= 256 for value in once.values())
    assert SEAL in once
