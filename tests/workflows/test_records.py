"""Files and tags of a rollout: what is written is read back, what is damaged is refused."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.errors import NotFound, UsageError
from taxiops.workflows.documents import append_line, read_document, write_document
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import ModelReference, Record, record_of_tags

DIGEST = f"sha256:{'a' * 64}"
RECORD = Record(
    environment="dev",
    endpoint="taxi-class-dev",
    slot="green",
    phase="canary",
    first_deployment=False,
    prior_traffic={"blue": 100, "red": 0},
    prior_mirror={},
    model=ModelReference("r", "m", "7", DIGEST),
    commit="",
    run_id="",
    tested="passed",
)
SLOTS = st.from_regex(r"[a-z][a-z0-9]{2,10}", fullmatch=True)
SHARES = st.dictionaries(SLOTS, st.integers(0, 100), max_size=4)


@given(prior=SHARES, mirror=SHARES, phase=st.sampled_from(records.PHASES), first=st.booleans())
def test_a_record_survives_the_endpoints_tags(
    prior: dict[str, int], mirror: dict[str, int], phase: str, first: bool
) -> None:
    record = RECORD.at(phase, prior_traffic=prior, prior_mirror=mirror, first_deployment=first)
    tags = {**record.tags(), "cost-center": "42"}
    assert all(tags.values())
    assert all(len(value) <= 256 for value in tags.values())
    assert record_of_tags(tags, record.environment, record.endpoint) == record


def test_an_endpoint_without_our_tags_tells_of_no_rollout() -> None:
    assert record_of_tags({"cost-center": "42"}, "dev", "x") is None


@pytest.mark.parametrize("name", ["phase", "model_version", "model_sha256", "tested"])
def test_a_missing_tag_is_named(name: str) -> None:
    tags = RECORD.tags()
    del tags[f"taxiops_{name}"]
    with pytest.raises(UsageError, match=f"taxiops_{name}"):
        record_of_tags(tags, "dev", "x")


@pytest.mark.parametrize(
    ("name", "value"), [("phase", "flying"), ("prior_traffic", "blue=lots"), ("prior_mirror", "=")]
)
def test_an_edited_tag_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=value):
        record_of_tags({**RECORD.tags(), f"taxiops_{name}": value}, "dev", "x")


def test_a_record_survives_its_state_file(tmp_path: Path) -> None:
    path = tmp_path / "deploy" / "deployment_state.json"
    write_document(path, RECORD.document({"blue": 70, "green": 30}))
    assert records.read_state_file(path) == RECORD


def test_a_missing_state_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        records.read_state_file(tmp_path / "none.json")


def test_a_document_is_never_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.json"
    write_document(path, {"schema_version": 1, "n": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write_document(path, {"schema_version": 1, "n": 2})
    assert read_document(path, "d", "")["n"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["d.json"]


@pytest.mark.parametrize("text", ["", "[1]", '{"schema_version": 2}', '{"a": NaN}', "\xff"])
def test_a_damaged_document_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"d\.json"):
        read_document(path, "document", "")


def test_the_journal_grows_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a" / "journal.jsonl"
    append_line(path, {"n": 1})
    append_line(path, {"n": 2})
    assert [json.loads(line)["n"] for line in path.read_text("utf-8").splitlines()] == [1, 2]
