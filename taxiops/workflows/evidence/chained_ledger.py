"""The workspace's ledger: one hash chain of all events, appended by whoever comes next, read back.

It lies in the workspace's blob store as append blobs, one line an event. A writer names the end
that it appended after; when somebody else was first the service refuses, and the writer reads the
new end and tries again. What is amiss in it is found by taxiops.domain.hash_chain.
"""

import random
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taxiops.cloud.store import WorkspaceStore
from taxiops.domain.evidence import canonical_json, digest_of_bytes, digest_of_files
from taxiops.domain.fields import parse_text
from taxiops.domain.hash_chain import (
    Break,
    Position,
    breaks_of,
    entry_of,
    line_after,
    position_of,
    unaccepted,
)
from taxiops.errors import Conflict, UsageError
from taxiops.workflows.documents import now

FOLDER, HEAD = "ledger/", "ledger/head.json"
# An append blob holds 50,000 blocks; the lines of one blob stay well below.
SEGMENT_LINES = 40_000
# No line is longer: its detail is cut, and an endpoint has 20 slots at most.
TAIL_BYTES = 64 * 1024
TRIES, LONGEST_PAUSE_S = 60, 0.25
BEGUN = "ledger_begun"
# Where events were kept before they were chained, a file each.
FORMER_FOLDER = "history/"


@dataclass(frozen=True)
class End:
    """Where the next line goes. former: the line before it; None when it is the first.

    lines: the last ones, whole. is_cut: the blob does not end with the end of a line.
    """

    sequence: int
    former: bytes | None
    sizes: Mapping[str, int]
    lines: tuple[bytes, ...] = ()
    is_cut: bool = False

    @property
    def name(self) -> str:
        return f"{FOLDER}{self.sequence // SEGMENT_LINES:06}.jsonl"

    @property
    def at(self) -> int:
        return self.sizes.get(self.name, 0)

    @property
    def position(self) -> Position | None:
        return Position(self.sequence - 1, digest_of_bytes(self.former)) if self.former else None


@dataclass(frozen=True)
class Reading:
    """The whole ledger. breaks: what is amiss in it and was not accepted by a person."""

    entries: tuple[Mapping[str, Any], ...]
    breaks: tuple[Break, ...]


@dataclass
class ChainedLedger:
    """The ledger of one workspace. Not for several threads at once."""

    store: WorkspaceStore
    _end: End | None = field(default=None, init=False)

    def append(self, event: Mapping[str, Any]) -> Position:
        """The event as the next entry; gives its place.

        Raises Conflict after many lost races, TaxiopsError when the store refuses.
        """
        entry = {**event, "id": uuid.uuid4().hex}
        for attempt in range(TRIES):
            head = None if self._end else self.read_head()
            end = self._end or self.read_end()
            if end.former is None and event.get("event") != BEGUN:
                self.append(self.beginning())
                continue
            if (own := place_of(entry["id"], event, end)) is not None:
                # The answer to the last attempt was lost, or somebody else began the ledger.
                return self.written(own, head)
            # What the head remembers and is not there any more must not be forgotten.
            is_lost = head is not None and head.sequence >= end.sequence
            more = {"known": head.text()} if head and is_lost else {}
            line = line_after(end.sequence, end.former, {**entry, **more})
            content = b"\n" * end.is_cut + line + b"\n"
            try:
                self.store.append(end.name, content, end.at)
            except Conflict:
                self._end = None
                time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.01 * 2**attempt)))
                continue
            sizes = {**end.sizes, end.name: end.at + len(content)}
            self._end = End(end.sequence + 1, line, sizes, (line,))
            return self.written(Position(end.sequence, digest_of_bytes(line)), head)
        raise Conflict(
            f"The ledger could not be written in {TRIES} tries.",
            why="Somebody else appends to it all the time.",
            hint="taxiops history",
            code="ledger-contended",
        )

    def written(self, position: Position, head: Position | None) -> Position:
        """Keep the place outside of the ledger too, unless a place further on is kept there."""
        if head is None or head.sequence < position.sequence:
            self.store.write(HEAD, canonical_json({"schema_version": 1, "head": position.text()}))
        return position

    def position(self) -> Position | None:
        """The place of the newest entry; None when there is none."""
        self._end = self._end or self.read_end()
        return self._end.position

    def read(self, known: Iterable[Position] = ()) -> Reading:
        """All of it, checked. known: places that are kept elsewhere."""
        lines = self.read_lines()
        head = self.read_head()
        breaks = breaks_of(lines, [*known, *([head] if head else [])])
        entries = [entry for line in lines if (entry := entry_of(line)) is not None]
        if entries and entries[0].get("event") == BEGUN:
            breaks += self.breaks_before(entries[0])
        return Reading(tuple(entries), tuple(unaccepted(breaks, lines)))

    def breaks_before(self, first: Mapping[str, Any]) -> list[Break]:
        """What became of the events that were there when the ledger began."""
        former = self.former_events(str(first.get("at", "")))
        found, wanted = digest_of_former(former), str(first.get("former_sha256", ""))
        if found == wanted:
            return []
        text = f"the events of before were changed: they are {found}, entry 0 says {wanted}"
        return [Break(0, text)]

    def read_head(self) -> Position | None:
        """The place that is kept in the head file; None when there is none that can be read."""
        try:
            head = parse_text(self.store.read(HEAD).decode("utf-8", "replace"), HEAD)
        except UsageError:
            return None
        return position_of(str(head.get("head", "")))

    def read_end(self) -> End:
        """The end as it is now, for two requests."""
        sizes = {name: size for name, size in self.store.sizes(FOLDER) if name.endswith(".jsonl")}
        filled = [name for name, size in sizes.items() if size]
        if not filled:
            return End(0, None, sizes)
        name = max(filled)
        begin = max(0, sizes[name] - TAIL_BYTES)
        content = self.store.read_from(name, begin)[: sizes[name] - begin]
        lines = content.split(b"\n")[1 if begin else 0 :]
        lines = [line for line in lines if line]
        former = lines[-1] if lines else b""
        entry = entry_of(former) or {}
        sequence = int(entry.get("sequence", -1)) + 1
        segment = int(name.removeprefix(FOLDER).removesuffix(".jsonl"))
        if not 0 < sequence - segment * SEGMENT_LINES <= SEGMENT_LINES:
            # The last line is damaged; its number is the count of the lines before.
            whole = self.store.read_from(name, 0)[: sizes[name]]
            sequence = segment * SEGMENT_LINES + len(whole.rstrip(b"\n").split(b"\n"))
        return End(sequence, former, sizes, tuple(lines), not content.endswith(b"\n"))

    def newest_of(self, endpoint: str) -> Mapping[str, Any] | None:
        """The newest entry about an endpoint, mostly for two requests; None when there is none."""
        end = self.read_end()
        found = newest_among(end.lines, endpoint)
        is_whole = end.sequence <= len(end.lines)
        return found if found or is_whole else newest_among(self.read_lines(), endpoint)

    def read_lines(self) -> list[bytes]:
        """Every line, the oldest first."""
        names = [name for name, size in self.store.sizes(FOLDER) if size and name != HEAD]
        return [
            line
            for content in self.store.read_all([name for name in names if ".jsonl" in name])
            for line in content.split(b"\n")
            if line
        ]

    def beginning(self) -> dict[str, Any]:
        """The first entry: the digest of what was kept before events were chained."""
        former = self.former_events(now())
        return {
            "at": now(),
            "event": BEGUN,
            "actor": "taxiops",
            "detail": f"{len(former)} earlier events, not chained",
            "former_events": len(former),
            "former_sha256": digest_of_former(former),
        }

    def former_events(self, until: str) -> list[tuple[str, bytes]]:
        """Name and bytes of each event that was kept before, until a moment (RFC 3339)."""
        digits = "".join(each for each in until if each.isdigit())[:17]
        names = [
            name
            for name in self.store.names(FORMER_FOLDER)
            if "".join(each for each in name.rpartition("/")[2][:20] if each.isdigit()) <= digits
        ]
        return list(zip(names, self.store.read_all(names), strict=True))


def newest_among(lines: Sequence[bytes], endpoint: str) -> Mapping[str, Any] | None:
    for line in reversed(lines):
        entry = entry_of(line)
        if entry and entry.get("endpoint") == endpoint:
            return entry
    return None


def place_of(identity: str, event: Mapping[str, Any], end: End) -> Position | None:
    """Where an entry of ours stands already; a ledger that has begun is not begun again."""
    if event.get("event") == BEGUN and end.former is not None:
        return end.position
    for line in end.lines:
        entry = entry_of(line)
        if entry and entry.get("id") == identity:
            return Position(entry["sequence"], digest_of_bytes(line))
    return None


def digest_of_former(former: Sequence[tuple[str, bytes]]) -> str:
    """The digest over the names and bytes of those events; `none` when there are none."""
    hexadecimal = [(name, digest_of_bytes(content).partition(":")[2]) for name, content in former]
    return digest_of_files(hexadecimal) if hexadecimal else "none"
