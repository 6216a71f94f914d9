"""The lease of a blob as the service keeps it: who may write, until when; pure.

learn.microsoft.com/rest/api/storageservices/lease-blob has the states and what each action does
in them. Times are seconds since the epoch; the caller passes the present.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

AVAILABLE, LEASED, EXPIRED, BREAKING, BROKEN = (
    "available",
    "leased",
    "expired",
    "breaking",
    "broken",
)
SHORTEST_S, LONGEST_S, FOREVER = 15, 60, -1


class LeaseError(Exception):
    """A lease action or a write that the lease forbids, with the service's code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Lease:
    """A blob's lease. duration_s: FOREVER for one without end. until: 0 without end.

    broken_at: when a break takes effect; 0 when nobody broke it.
    """

    lease_id: str = ""
    duration_s: int = FOREVER
    until: float = 0.0
    broken_at: float = 0.0

    def state(self, now: float) -> str:
        if not self.lease_id:
            return AVAILABLE
        if self.broken_at:
            return BREAKING if now < self.broken_at else BROKEN
        return LEASED if self.duration_s == FOREVER or now < self.until else EXPIRED

    def is_active(self, now: float) -> bool:
        """Whether only its holder may write."""
        return self.state(now) in (LEASED, BREAKING)

    def document(self) -> dict[str, Any]:
        return asdict(self)


def acquired(lease: Lease, wanted_id: str, duration_s: int, now: float) -> Lease:
    """Taken, or taken again by its holder. Raises LeaseError."""
    if duration_s != FOREVER and not SHORTEST_S <= duration_s <= LONGEST_S:
        raise LeaseError(400, "InvalidHeaderValue", "x-ms-lease-duration must be -1 or 15 to 60.")
    state = lease.state(now)
    if state == BREAKING or (state == LEASED and lease.lease_id != wanted_id):
        raise LeaseError(409, "LeaseAlreadyPresent", "There is already a lease present.")
    return Lease(wanted_id, duration_s, now + duration_s if duration_s != FOREVER else 0.0)


def renewed(lease: Lease, lease_id: str, now: float) -> Lease:
    """From now on as long again. Raises LeaseError."""
    require_holder(lease, lease_id)
    if lease.broken_at:
        raise LeaseError(409, "LeaseIsBrokenAndCannotBeRenewed", "The lease was broken.")
    if lease.duration_s == FOREVER:
        return lease
    return replace(lease, until=now + lease.duration_s)


def released(lease: Lease, lease_id: str) -> Lease:
    """Free for anybody at once. Raises LeaseError."""
    require_holder(lease, lease_id)
    return Lease()


def changed(lease: Lease, lease_id: str, wanted_id: str, now: float) -> Lease:
    """The same lease under another id. Raises LeaseError."""
    if lease.state(now) != LEASED:
        raise absent()
    if lease_id != wanted_id and lease.lease_id != wanted_id:
        require_holder(lease, lease_id)
    return replace(lease, lease_id=wanted_id)


def broken(lease: Lease, period_s: int | None, now: float) -> Lease:
    """Ended by somebody who need not hold it, after the period or what is left of the lease."""
    if lease.state(now) == AVAILABLE:
        raise absent()
    left = 0.0 if lease.duration_s == FOREVER else max(0.0, lease.until - now)
    wait_s = left if period_s is None else min(period_s, left or period_s)
    return replace(lease, broken_at=now + wait_s)


def check_write(lease: Lease, given_id: str, now: float) -> None:
    """Raises LeaseError unless a write with this lease id (empty: none) may go on."""
    if not lease.is_active(now):
        if given_id and lease.lease_id != given_id:
            raise LeaseError(412, "LeaseNotPresentWithBlobOperation", "There is no such lease.")
        if given_id:
            raise LeaseError(412, "LeaseLost", "The lease has expired.")
        return
    if not given_id:
        raise LeaseError(412, "LeaseIdMissing", "There is a lease, and no id was given.")
    if given_id != lease.lease_id:
        raise LeaseError(412, "LeaseIdMismatchWithBlobOperation", "It is another lease's id.")


def require_holder(lease: Lease, lease_id: str) -> None:
    if not lease.lease_id:
        raise absent()
    if lease.lease_id != lease_id:
        raise LeaseError(
            409, "LeaseIdMismatchWithLeaseOperation", "The id is not that of the lease."
        )


def absent() -> LeaseError:
    return LeaseError(409, "LeaseNotPresentWithLeaseOperation", "There is no lease on the blob.")
