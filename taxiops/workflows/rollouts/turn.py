"""A process's turn at an endpoint: the lease, safe points, and the ledger everybody can read."""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints, lease
from taxiops.cloud.client import Connection
from taxiops.cloud.interrupts import check_stop, stopping_safely
from taxiops.cloud.lease import Holder, Lease
from taxiops.cloud.store import WorkspaceStore, open_store
from taxiops.domain.rollout import live_only
from taxiops.domain.serving import OBSERVED
from taxiops.errors import Conflict, NotAuthorised, TaxiopsError
from taxiops.workflows.documents import (
    Progress,
    is_alive,
    now,
    remove_drafts_of_the_dead,
    write_document,
)
from taxiops.workflows.evidence.chained_ledger import ChainedLedger
from taxiops.workflows.evidence.ledger import Ledger, actor
from taxiops.workflows.rollouts.record import LEDGER_TAG

# A run waits this much longer than a lease lasts for a predecessor of its own that died.
GRACE_S = 15


@dataclass(frozen=True)
class Turn:
    """What acts at an endpoint need. held: None where the workspace's store is out of bounds."""

    ledger: Ledger
    held: Lease | None = None

    def check(self) -> None:
        """Before each act. Raises Conflict when the lease is lost, Interrupted after a signal."""
        check_stop()
        if self.held is not None:
            self.held.check()


@dataclass
class EndpointPublisher:
    """Tells the workspace's ledger what happens at one endpoint.

    left: the traffic that the last event there left; None: not looked for yet.
    """

    ledger: ChainedLedger
    endpoint: str
    progress: Progress
    left: Mapping[str, int] | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        """The event, after what happened unseen before it; where that fails, the journal here
        still has it."""
        try:
            self.catch_up(event)
            if event["event"] != OBSERVED:
                self.ledger.append(event)
                self.left = event["after"]
        except TaxiopsError as error:
            self.progress(f"the workspace's ledger lacks an event: {error.what} {error.why[:120]}")

    def catch_up(self, event: Mapping[str, Any]) -> None:
        """An entry for traffic that changed without an event: nobody may have decided it."""
        if self.left is None:
            self.left = shares_left(self.ledger.newest_of(self.endpoint))
        if live_only(self.left) == live_only(event["before"]):
            return
        detail = "found so; no event tells who changed it"
        seen = {"before": self.left, "after": event["before"], "detail": detail}
        self.ledger.append({**event, **seen, "event": OBSERVED})
        self.left = event["before"]

    def tags(self) -> dict[str, str]:
        """The newest entry's place, for the endpoint to remember."""
        try:
            position = self.ledger.position()
        except TaxiopsError:
            return {}
        return {LEDGER_TAG: position.text()} if position else {}


def shares_left(entry: Mapping[str, Any] | None) -> dict[str, int]:
    """The traffic that an entry left; none for an entry that cannot be understood."""
    shares = (entry or {}).get("after")
    if not isinstance(shares, Mapping):
        return {}
    return {str(slot): share for slot, share in shares.items() if isinstance(share, int)}


@contextmanager
def turn_at(
    connection: Connection,
    ledger: Ledger,
    doing: str,
    run_id: str,
    progress: Progress,
    end_at: float = 0.0,
) -> Iterator[Turn]:
    """Nobody else of ours changes the endpoint within the block.

    end_at: until when (monotonic seconds) to wait for the lease of whoever has it.

    Raises Conflict naming the holder when somebody else has the lease. A process that died on this
    machine is followed at once, one of the same run on another machine once its lease has ended.
    """
    with stopping_safely(progress):
        holder = Holder(actor(), socket.gethostname(), str(os.getpid()), run_id, doing, now())
        turn = begin(connection, ledger, holder, end_at, progress)
        try:
            yield turn
        except KeyboardInterrupt:
            # Leaves at once; the next process here takes the lease over by its id.
            raise
        except BaseException:
            end(turn)
            raise
        end(turn)


def begin(
    connection: Connection, ledger: Ledger, holder: Holder, end_at: float, progress: Progress
) -> Turn:
    for path in (ledger.state_file, ledger.own_state_file):
        remove_drafts_of_the_dead(path)
    try:
        store = open_store(connection)
        held = acquired(connection, store, ledger, holder, end_at, progress)
    except NotAuthorised as error:
        progress(
            f"no lease: {error.why[:200]} Two rollouts at once are then told apart only by "
            "reading the endpoint again before each change."
        )
        return Turn(ledger)
    publish = EndpointPublisher(ChainedLedger(store), ledger.endpoint, progress)
    return Turn(replace(ledger, publish=publish), held)


def acquired(
    connection: Connection,
    store: WorkspaceStore,
    ledger: Ledger,
    holder: Holder,
    end_at: float,
    progress: Progress,
) -> Lease:
    """The lease, waiting until `end_at`, or for the end of that of a dead predecessor of this run.

    The file that names the lease's id is there before the lease is, so that no death between the
    two leaves a lease behind that nobody here knows.
    """
    lease_id = lease_id_of(ledger.lease_file, holder.host)
    written = {"schema_version": 1, "lease_id": lease_id, "pid": os.getpid(), "host": holder.host}
    grace = time.monotonic() + lease.LEASE_S + GRACE_S
    told = False
    while True:
        try:
            write_document(ledger.lease_file, written)
            return lease.acquire(store, ledger.endpoint, holder, lease_id)
        except Conflict as error:
            own = bool(holder.run_id) and error.details.get("run_id") == holder.run_id
            if error.code != lease.HELD or time.monotonic() > max(end_at, grace * own):
                ledger.lease_file.unlink(missing_ok=True)
                raise
            if not told:
                progress(f"waiting: {error.what}")
                told = True
        check_stop()
        time.sleep(endpoints.interval_s(connection))


def end(turn: Turn) -> None:
    if turn.held is not None:
        turn.held.release()
        turn.ledger.lease_file.unlink(missing_ok=True)


def lease_id_of(path: Path, host: str) -> str:
    """The id that a process of this machine left when it died, else a new one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        former, pid = str(uuid.UUID(document["lease_id"])), int(document["pid"])
        is_here = document["host"] == host
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return str(uuid.uuid4())
    is_ours = is_here and (pid == os.getpid() or not is_alive(pid))
    return former if is_ours else str(uuid.uuid4())
