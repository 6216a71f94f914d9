"""The workspace's ledger on a real emulator: several writers, deaths, damage, what came before."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taxiops.cloud.store import WorkspaceStore, open_store
from taxiops.config import Settings
from taxiops.workflows.evidence import chained_ledger
from taxiops.workflows.evidence.chained_ledger import HEAD, ChainedLedger
from taxiops.workflows.history import accept_breaks, read_history

if TYPE_CHECKING:
    from conftest import World

AT = "2026-11-23T10:00:00.000Z"
ENDPOINT = "booked"


def ignore(_: str) -> None:
    """Progress that nobody reads."""


class Folder(WorkspaceStore):
    """A part of the store that is another workspace's, as far as the ledger can tell."""

    def __init__(self, store: WorkspaceStore, folder: str) -> None:
        super().__init__(store._container)
        self.folder = folder

    def blob(self, name: str):  # type: ignore[no-untyped-def]
        return super().blob(f"{self.folder}/{name}")

    def sizes(self, prefix: str) -> list[tuple[str, int]]:
        found = super().sizes(f"{self.folder}/{prefix}")
        return [(name.removeprefix(f"{self.folder}/"), size) for name, size in found]

    def names(self, prefix: str) -> list[str]:
        found = super().names(f"{self.folder}/{prefix}")
        return [name.removeprefix(f"{self.folder}/") for name in found]


@pytest.fixture
def store(world: "World", request: pytest.FixtureRequest) -> WorkspaceStore:
    return Folder(open_store(world.connect()), request.node.name)


def event(name: str, **more: object) -> dict[str, object]:
    texts = dict.fromkeys(("slot", "model_version", "model_sha256", "run_id", "detail"), "")
    facts = {"at": AT, "event": name, "actor": "ada", "endpoint": ENDPOINT, "before": {}}
    return {"schema_version": 1, **texts, **facts, "after": {}, **more}


def names(ledger: ChainedLedger) -> list[str]:
    return [str(each["event"]) for each in ledger.read().entries]


def test_the_next_entry_follows_whoever_wrote_last_and_the_newest_is_found_at_once(
    store: WorkspaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ChainedLedger(store), ChainedLedger(store)
    assert (one.position(), one.newest_of(ENDPOINT), one.read().entries) == (None, None, ())
    for number in range(3):
        one.append(event(f"one {number}"))
        other.append(event(f"other {number}"))
    assert names(one)[1:] == ["one 0", "other 0", "one 1", "other 1", "one 2", "other 2"]
    assert one.read().breaks == ()
    assert (one.newest_of(ENDPOINT) or {})["event"] == "other 2"
    assert one.newest_of("another") is None
    # An append blob holds so many blocks only: the chain goes on in the next.
    monkeypatch.setattr(chained_ledger, "SEGMENT_LINES", 4)
    segmented = ChainedLedger(Folder(store, "segmented"))
    for number in range(9):
        segmented.append(event(f"event {number}"))
    assert len(segmented.store.names("ledger/0")) == 3
    assert ChainedLedger(segmented.store).position() == segmented.position()
    assert (len(names(segmented)), segmented.read().breaks) == (10, ())


def test_processes_that_write_at_once_make_one_chain(world: "World") -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from taxiops.cloud import connect
        from taxiops.cloud.store import open_store
        from taxiops.workflows.evidence.chained_ledger import ChainedLedger

        store = open_store(connect("local", "prod"))
        print(flush=True)
        sys.stdin.readline()
        ledger = ChainedLedger(store)
        for number in range(15):
            ledger.append({"at": "2026-11-23T10:00:00.000Z", "event": f"{sys.argv[1]} {number}"})
    """)
    environment = {**os.environ, "TAXIOPS_EMULATOR_STATE": str(world.state)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, name],
            cwd=world.root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.wait() for writer in writers] == [0, 0]
    reading = ChainedLedger(open_store(world.connect("prod"))).read()
    assert reading.breaks == ()
    events = [str(each["event"]) for each in reading.entries]
    for name in ("one", "other"):
        assert [each for each in events if each.startswith(f"{name} ")] == [
            f"{name} {number}" for number in range(15)
        ]


def test_a_writer_that_died_before_it_kept_the_place_leaves_a_whole_ledger(
    store: WorkspaceStore,
) -> None:
    ledger = ChainedLedger(store)
    ledger.append(event("first"))
    head = store.read(HEAD)
    ledger.append(event("second"))
    store.write(HEAD, head)
    assert ledger.read().breaks == ()
    ChainedLedger(store).append(event("third"))
    assert (names(ledger)[1:], ledger.read().breaks) == (["first", "second", "third"], ())


def test_an_answer_that_was_lost_makes_no_second_entry(
    store: WorkspaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, really = ChainedLedger(store), store.append
    ledger.append(event("first"))

    def lost(name: str, content: bytes, at: int) -> None:
        really(name, content, at)
        monkeypatch.setattr(store, "append", really)
        # What the service says to the retry of a request that it had carried out.
        really(name, content, at)

    monkeypatch.setattr(store, "append", lost)
    ledger.append(event("second"))
    assert names(ledger)[1:] == ["first", "second"]


def rewritten(store: WorkspaceStore, change: Callable[[list[bytes]], None]) -> None:
    """The ledger as somebody with access to the store would leave it."""
    (name,) = [each for each in store.names("ledger/") if each.endswith(".jsonl")]
    lines = store.read(name).splitlines()
    change(lines)
    store.blob(name).delete_blob()
    store.append(name, b"\n".join([*lines, b""]), 0)


def test_entries_cut_off_stay_known_until_a_person_accepts_it(
    store: WorkspaceStore, world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taxiops.workflows.history.open_store", lambda _: store)
    ledger, settings = ChainedLedger(store), world.settings(endpoint=ENDPOINT)
    for number in range(3):
        ledger.append(event(f"event {number}"))
    rewritten(store, lambda lines: lines.__delitem__(slice(2, None)))
    for number in range(4):
        ChainedLedger(store).append(event(f"later {number}"))
    result = read_history(settings, "", 20, ignore)
    assert [each.sequence for each in result.breaks] == [3]
    assert "entry 3 is missing" in result.breaks[0].text
    accept_breaks(settings, "a drill", ignore)
    after = read_history(settings, "", 20, ignore)
    assert after.breaks == ()
    rewritten(store, lambda lines: lines.__setitem__(1, lines[1].replace(b'"ada"', b'"eve"')))
    assert "entry 1 was edited" in read_history(settings, "", 20, ignore).breaks[0].text


def test_garbage_at_the_end_is_a_break_and_does_not_stop_the_next_entry(
    store: WorkspaceStore,
) -> None:
    ledger = ChainedLedger(store)
    ledger.append(event("first"))
    (name,) = [each for each in store.names("ledger/") if each.endswith(".jsonl")]
    store.append(name, b'{"cut":', len(store.read(name)))
    ChainedLedger(store).append(event("second"))
    reading = ledger.read()
    assert [str(each["event"]) for each in reading.entries][1:] == ["first", "second"]
    assert [each.text.partition(":")[0] for each in reading.breaks] == ["entry 2 cannot be read"]


@pytest.fixture
def before_the_ledger(store: WorkspaceStore) -> Iterator[list[str]]:
    """Events as they were kept before they were chained, one of them damaged."""
    texts = [
        json.dumps(event("provisioned", slot="blue", model_version="1")),
        json.dumps(event("promoted", slot="blue", model_version="1", after={"blue": 100})),
        '{"schema_version": 1, "at": NaN}',
    ]
    kept = [f"history/{ENDPOINT}/20261123T10000{at}000Z-event.json" for at in range(len(texts))]
    for name, text in zip(kept, texts, strict=True):
        store.write(name, text.encode())
    yield kept
    for name in store.names("history/"):
        store.blob(name).delete_blob()


def test_what_was_kept_before_is_shown_and_held_fast_by_the_first_entry(
    store: WorkspaceStore,
    world: "World",
    before_the_ledger: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taxiops.workflows.history.open_store", lambda _: store)
    settings: Settings = world.settings(endpoint=ENDPOINT)
    told: list[str] = []
    result = read_history(settings, "", 20, told.append)
    assert [each.sequence for each in result.events] == [-1, -1]
    assert (dict(result.traffic), result.serving["blue"].texts["actor"]) == ({"blue": 100}, "ada")
    assert "passing over a damaged event" in told[0]
    ChainedLedger(store).append(event("canary", slot="green", after={"blue": 70, "green": 30}))
    result = read_history(settings, "", 20, ignore)
    assert [each.texts["event"] for each in result.events] == ["provisioned", "promoted", "canary"]
    assert (result.breaks, dict(result.traffic)) == ((), {"blue": 70, "green": 30})
    then = read_history(settings, "2026-11-23T09:00Z", 20, ignore)
    assert (then.events, dict(then.traffic)) == ((), {})
    store.write(before_the_ledger[1], b"{}")
    (found,) = read_history(settings, "", 20, ignore).breaks
    assert "the events of before were changed" in found.text
    assert Path(before_the_ledger[1]).suffix == ".json"
