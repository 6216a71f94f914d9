"""The ledger's chain: whole it says nothing, and any one tampering is found and named."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.domain.evidence import digest_of_bytes
from taxiops.domain.hash_chain import (
    ACCEPTED,
    LONGEST_DETAIL,
    Position,
    breaks_of,
    entry_of,
    line_after,
    position_of,
    unaccepted,
)

Lines = list[bytes]


def chain(length: int) -> Lines:
    lines = Lines()
    for number in range(length):
        entry = {"event": f"event {number}", "detail": "", "after": {"blue": number % 101}}
        lines.append(line_after(number, lines[-1] if lines else None, entry))
    return lines


def end_of(lines: Lines) -> Position:
    return Position(len(lines) - 1, digest_of_bytes(lines[-1]))


@given(st.integers(0, 30))
def test_a_whole_ledger_has_no_break(length: int) -> None:
    lines = chain(length)
    assert breaks_of(lines, [end_of(lines)] if lines else []) == []


@given(st.integers(1, 20), st.data())
def test_one_changed_byte_is_found_at_its_entry(length: int, data: st.DataObject) -> None:
    lines = chain(length)
    end = end_of(lines)
    at = data.draw(st.integers(0, length - 1))
    place = data.draw(st.integers(0, len(lines[at]) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (lines[at][place], 10)))
    lines[at] = lines[at][:place] + bytes([value]) + lines[at][place + 1 :]
    breaks = breaks_of(lines, [end])
    assert breaks
    # An edit of its number makes the line look like another, missing or in a wrong place.
    assert any(str(at) in each.text for each in breaks), breaks


@given(st.integers(1, 20), st.data())
def test_a_deleted_entry_is_named(length: int, data: st.DataObject) -> None:
    lines = chain(length)
    end = end_of(lines)
    at = data.draw(st.integers(0, length - 1))
    del lines[at]
    (first, *_) = breaks_of(lines, [end])
    assert first.sequence == at
    assert f"{at} " in first.text
    assert "missing" in first.text


@given(st.integers(1, 20), st.data())
def test_entries_cut_off_the_end_are_known_by_what_was_kept_elsewhere(
    length: int, data: st.DataObject
) -> None:
    lines = chain(length)
    end = end_of(lines)
    (found,) = breaks_of(lines[: data.draw(st.integers(0, length - 1))], [end])
    assert (found.sequence, end.digest in found.text) == (length - 1, True)


@given(st.integers(2, 20), st.data())
def test_two_entries_that_changed_places_are_named(length: int, data: st.DataObject) -> None:
    lines = chain(length)
    end = end_of(lines)
    at = data.draw(st.integers(0, length - 2))
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    first, second, *_ = breaks_of(lines, [end])
    assert f"entry {at} missing before entry {at + 1}" in first.text
    assert f"entry {at} stands where entry {at + 2} belongs" in second.text


@given(st.integers(1, 20), st.data())
def test_an_inserted_entry_is_found_even_with_the_right_predecessor(
    length: int, data: st.DataObject
) -> None:
    lines = chain(length)
    end = end_of(lines)
    at = data.draw(st.integers(0, length - 1))
    former = lines[at - 1] if at else None
    lines.insert(at, line_after(at, former, {"event": "forged", "detail": ""}))
    (first, *_) = breaks_of(lines, [end])
    assert f"entry {at} stands where entry {at + 1} belongs" in first.text


def forged_with_the_rest(lines: Lines) -> Lines:
    """Everything after the edit written anew, so that the lines agree with each other."""
    forged = lines[:2]
    for number in range(2, len(lines)):
        entry = dict(entry_of(lines[number]) or {}, actor="nobody")
        forged.append(line_after(number, forged[-1], entry))
    return forged


@pytest.mark.parametrize(
    "tamper",
    [forged_with_the_rest, lambda _: chain(2), lambda _: []],
    ids=["rewritten", "cut", "gone"],
)
def test_a_ledger_written_anew_contradicts_what_was_kept_elsewhere(
    tamper: Callable[[Lines], Lines],
) -> None:
    lines = chain(6)
    forged = tamper(lines)
    assert breaks_of(forged) == []
    (found,) = breaks_of(forged, [end_of(lines)])
    assert "entry 5 is missing or edited" in found.text


def test_what_a_writer_found_missing_is_not_forgotten() -> None:
    lines = chain(6)
    end, cut = end_of(lines), lines[:3]
    cut.append(line_after(3, cut[-1], {"event": "next", "known": end.text(), "detail": ""}))
    assert [each.sequence for each in breaks_of(cut)] == [5]


def test_a_break_that_a_person_accepted_is_none_until_it_changes_again() -> None:
    lines = chain(4)
    lines[1] = lines[1].replace(b"event 1", b"event X")
    breaks = breaks_of(lines)
    entry = {"event": ACCEPTED, "accepted": [each.text for each in breaks], "detail": "a drill"}
    lines.append(line_after(4, lines[-1], entry))
    assert unaccepted(breaks_of(lines), lines) == []
    lines[1] = lines[1].replace(b"event X", b"event Y")
    assert [each.sequence for each in unaccepted(breaks_of(lines), lines)] == [1]


@given(st.integers(0, 10**12))
def test_a_position_survives_being_a_tag(sequence: int) -> None:
    position = Position(sequence, digest_of_bytes(b"x"))
    assert position_of(position.text()) == position


@pytest.mark.parametrize("text", ["", "3", "3 sha256:0", "x sha256:" + "0" * 64, "none"])
def test_what_is_no_position_is_none(text: str) -> None:
    assert position_of(text) is None


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"sequence":1}', b'{"sequence":true,"previous":"none"}', b"\xff"]
)
def test_what_is_no_entry_is_none(line: bytes) -> None:
    assert entry_of(line) is None


def test_a_detail_is_cut_so_that_every_line_fits_into_what_is_read_of_the_end() -> None:
    line = line_after(0, None, {"event": "failed", "detail": "x" * 10**6})
    assert len(line) < LONGEST_DETAIL + 500
