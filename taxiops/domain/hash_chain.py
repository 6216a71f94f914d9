"""The ledger's lines: each holds its predecessor's digest; what is amiss among them. Reads nothing.

A line is the canonical JSON of one entry. `sequence` counts from 0 without a gap, `previous` is the
digest of the line before. So a line that was edited, taken out, put in or moved contradicts its
neighbour. The end has no neighbour: positions that are kept elsewhere (the head file, a tag on the
endpoint) say how far the ledger once went, and whoever finds such a position gone writes it into
the next entry as `known`, so that it is not forgotten.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taxiops.domain.evidence import canonical_json, digest_of_bytes
from taxiops.domain.fields import SCHEMA_VERSION, SHA256

# What stands for the predecessor of the first line.
NO_PREDECESSOR = "none"
# An entry by which a person accepts that the ledger was damaged; see `unaccepted`.
ACCEPTED = "breaks_accepted"
LONGEST_DETAIL = 2000


@dataclass(frozen=True)
class Position:
    """A place in the ledger and the digest of the line there."""

    sequence: int
    digest: str

    def text(self) -> str:
        return f"{self.sequence} {self.digest}"


@dataclass(frozen=True)
class Break:
    """Something amiss at the entry `sequence`, in a sentence that names the digests found."""

    sequence: int
    text: str


def position_of(text: str) -> Position | None:
    """The reverse of Position.text; None for what is none."""
    number, _, digest = text.partition(" ")
    fits = number.isascii() and number.isdecimal() and len(number) < 16
    return Position(int(number), digest) if fits and SHA256.fullmatch(digest) else None


def line_after(sequence: int, former: bytes | None, entry: Mapping[str, Any]) -> bytes:
    """The entry as the line with that number, after the line `former` (None: the first)."""
    previous = NO_PREDECESSOR if former is None else digest_of_bytes(former)
    kept = {**entry, "detail": str(entry.get("detail", ""))[:LONGEST_DETAIL]}
    return canonical_json(
        {**kept, "schema_version": SCHEMA_VERSION, "sequence": sequence, "previous": previous}
    )


def entry_of(line: bytes) -> dict[str, Any] | None:
    """The entry in a line; None when it holds none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("previous"), str):
        return None
    number = entry.get("sequence")
    return entry if isinstance(number, int) and not isinstance(number, bool) else None


def breaks_of(lines: Sequence[bytes], known: Iterable[Position] = ()) -> list[Break]:
    """What is amiss, in the order of the lines. known: positions kept outside of the ledger."""
    found, expected = list[Break](), 0
    former: bytes | None = None
    remembered = list(known)
    for line in lines:
        entry = entry_of(line)
        number = entry["sequence"] if entry else expected
        if entry is None:
            text = f"entry {expected} cannot be read: its line is {digest_of_bytes(line)}"
            found.append(Break(expected, text))
        elif number != expected:
            found.append(misplaced(expected, number, line))
        elif entry["previous"] != digest_or_none(former):
            found.append(contradicted(entry, former))
        if entry and (position := position_of(str(entry.get("known", "")))):
            remembered.append(position)
        expected = max(expected, number + 1)
        former = line
    return [*found, *lost(lines, dict.fromkeys(remembered))]


def misplaced(expected: int, number: int, line: bytes) -> Break:
    if number > expected:
        gone = f"entry {expected}" if number == expected + 1 else f"entries {expected}-{number - 1}"
        return Break(expected, f"{gone} missing before entry {number}, {digest_of_bytes(line)}")
    text = f"entry {number} stands where entry {expected} belongs: {digest_of_bytes(line)}"
    return Break(number, text)


def contradicted(entry: Mapping[str, Any], former: bytes | None) -> Break:
    """The line before is another than the one that this entry was written after."""
    number = entry["sequence"]
    if former is None:
        return Break(0, f"entry 0 was written after {entry['previous']}, which is gone")
    return Break(
        number - 1,
        f"entry {number - 1} was edited: it is {digest_of_bytes(former)}, entry {number} was "
        f"written after {entry['previous']}",
    )


def digest_or_none(line: bytes | None) -> str:
    return NO_PREDECESSOR if line is None else digest_of_bytes(line)


def lost(lines: Sequence[bytes], known: Iterable[Position]) -> list[Break]:
    """Entries that somebody outside of the ledger knows and that are not there, or others now."""
    digests = {digest_of_bytes(line) for line in lines}
    return [
        Break(each.sequence, f"entry {each.sequence} is missing or edited: it was {each.digest}")
        for each in known
        if each.digest not in digests
    ]


def unaccepted(breaks: Sequence[Break], lines: Sequence[bytes]) -> list[Break]:
    """The breaks that no entry accepts by their very text.

    Whoever accepts a break says so in the ledger, by name and with a reason; a further edit of the
    same entry has another text, and is a break again.
    """
    accepted = set[str]()
    for line in lines:
        entry = entry_of(line) or {}
        texts = entry.get("accepted")
        if entry.get("event") == ACCEPTED and isinstance(texts, list):
            accepted |= {str(text) for text in texts}
    return [each for each in breaks if each.text not in accepted]
