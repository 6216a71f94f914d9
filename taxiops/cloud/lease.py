"""One writer per endpoint, on whichever machine: a blob lease with an owner and a heartbeat.

The blob service's lease (learn.microsoft.com/rest/api/storageservices/lease-blob): 15 to 60
seconds, renewed by whoever knows its id, taken by anybody once it has expired. Acquiring it with
the id that it has now renews it, which is how a process goes on for its dead predecessor.
"""

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from taxiops.cloud.failures import azure_errors
from taxiops.cloud.store import WorkspaceStore
from taxiops.errors import Conflict, NotFound, TaxiopsError

if TYPE_CHECKING:
    from azure.storage.blob import BlobLeaseClient

LEASE_S = 60
HEARTBEAT_S = 15.0
HELD = "lease-held"
LOST = "lease-lost"


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as anybody may read. pid: on that host. since: RFC 3339."""

    owner: str
    host: str
    pid: str
    run_id: str
    doing: str
    since: str


class Lease:
    """A lease that this process holds; a thread renews it until `release` or the process ends."""

    def __init__(self, name: str, client: "BlobLeaseClient", heartbeat_s: float) -> None:
        self.name = name
        self._client, self._heartbeat_s = client, heartbeat_s
        self._ended = threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def keep(self) -> None:
        self._thread.start()

    def _beat(self) -> None:
        """A heartbeat that fails for another reason than loss is tried again at the next."""
        while not self._ended.wait(self._heartbeat_s):
            try:
                with azure_errors(f"Renewing the lease of {self.name}"):
                    self._client.renew()
            except TaxiopsError as error:
                if isinstance(error, Conflict):
                    self._lost = error.why or error.what
                    return

    def check(self) -> None:
        """Raises Conflict when somebody else took or broke the lease."""
        if self._lost:
            raise Conflict(
                f"The lease of {self.name} was lost.",
                why=self._lost,
                hint="taxiops traffic show; then run the same command again",
                code=LOST,
            )

    def release(self) -> None:
        """Let the next one in at once; a lease that is gone already is fine."""
        self._ended.set()
        try:
            with azure_errors(f"Releasing the lease of {self.name}"):
                self._client.release()
        except TaxiopsError:
            # It expires by itself within LEASE_S.
            return


def acquire(
    store: WorkspaceStore,
    name: str,
    holder: Holder,
    lease_id: str,
    heartbeat_s: float = HEARTBEAT_S,
) -> Lease:
    """The lease of an endpoint under this id (a UUID).

    Raises Conflict naming the holder while somebody else has it, NotAuthorised without permission.
    """
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    blob = store.blob(f"leases/{name}.json")
    doing = f"Taking the lease of {name}"
    client: Any = None
    with azure_errors(doing):
        try:
            client = blob.acquire_lease(LEASE_S, lease_id=lease_id)
        except ResourceNotFoundError:
            # Two at once both find it missing: one makes it, both then ask for the lease.
            with contextlib.suppress(ResourceExistsError):
                blob.upload_blob(b"{}", overwrite=False)
            return acquire(store, name, holder, lease_id, heartbeat_s)
        except ResourceExistsError as error:
            if getattr(error, "error_code", "") != "LeaseAlreadyPresent":
                raise
    if client is None:
        raise held(name, read_holder(store, name))
    with azure_errors(doing):
        blob.upload_blob(json.dumps(asdict(holder)).encode(), overwrite=True, lease=client)
    lease = Lease(name, client, heartbeat_s)
    lease.keep()
    return lease


def read_holder(store: WorkspaceStore, name: str) -> Holder | None:
    """Who wrote itself down last; None when nobody did."""
    try:
        document = json.loads(store.read(f"leases/{name}.json"))
        return Holder(**{each.name: str(document[each.name])[:200] for each in fields(Holder)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def current_holder(store: WorkspaceStore, name: str) -> Holder | None:
    """Who holds the lease now; None when it is free. Raises TaxiopsError when it cannot be read."""
    try:
        with azure_errors(f"Reading the lease of {name}"):
            properties = store.blob(f"leases/{name}.json").get_blob_properties()
    except NotFound:
        return None
    return read_holder(store, name) if properties.lease.state == "leased" else None


def held(name: str, holder: Holder | None) -> Conflict:
    """The refusal that names the holder."""
    who = f"{holder.owner} on {holder.host}" if holder else "somebody else"
    details: Mapping[str, str] = asdict(holder) if holder else {}
    run = f", run {holder.run_id}" if holder and holder.run_id else ""
    since = f" since {holder.since} ({holder.doing}{run})" if holder else ""
    return Conflict(
        f"Endpoint {name} is being changed by {who}.",
        why=f"It holds the lease{since}; {LEASE_S} s after its last sign of life the lease ends.",
        hint="taxiops traffic show; then run the same command again",
        code=HELD,
        details=details,
    )
