"""The wire of blob leases: actions on a lease, and what a blob's headers say of it."""

import time
import uuid

from taxiops.emulator.api.control import check_key
from taxiops.emulator.api.wire import Request, Response, Routes
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.storage.blobs import Blob
from taxiops.emulator.state.storage.leases import (
    FOREVER,
    LeaseError,
    acquired,
    broken,
    changed,
    check_write,
    released,
    renewed,
)

routes = Routes()
LEASE_ID = "x-ms-lease-id"


@routes.add("POST", "/_emulator/leases/expire", is_anonymous=True)
def expire(emulator: Emulator, request: Request) -> Response:
    """Let every lease end now, as if its time had passed."""
    check_key(emulator, request)
    return Response(body={"expired": emulator.blobs.expire_leases()})


def lease(emulator: Emulator, request: Request, container: str, blob: Blob) -> Response:
    """One action of PUT ?comp=lease. Raises LeaseError."""
    action = request.headers.get("x-ms-lease-action", "").lower()
    given = identifier(request.headers.get(LEASE_ID, ""))
    proposed = identifier(request.headers.get("x-ms-proposed-lease-id", ""))
    now, status, headers = time.time(), 200, {}
    with emulator.blobs.leasing():
        present = emulator.blobs.lease(container, blob.name)
        if action == "acquire":
            duration_s = whole(request, "x-ms-lease-duration", FOREVER)
            after = acquired(present, proposed or str(uuid.uuid4()), duration_s, now)
            status = 201
        elif action == "renew":
            after = renewed(present, given, now)
        elif action == "release":
            after = released(present, given)
        elif action == "change":
            after = changed(present, given, proposed, now)
        elif action == "break":
            is_given = "x-ms-lease-break-period" in request.headers
            period_s = whole(request, "x-ms-lease-break-period", 0) if is_given else None
            after = broken(present, period_s, now)
            status = 202
            headers["x-ms-lease-time"] = str(max(0, round(after.broken_at - now)))
        else:
            raise LeaseError(400, "InvalidHeaderValue", f"There is no lease action {action!r}.")
        emulator.blobs.set_lease(container, blob.name, after)
    if action in ("acquire", "renew", "change"):
        headers[LEASE_ID] = after.lease_id
    return Response(status, b"", {"etag": blob.etag, **headers})


def identifier(text: str) -> str:
    """A lease id in its plain form; empty for none. Raises LeaseError for what is no UUID."""
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError as error:
        raise LeaseError(400, "InvalidHeaderValue", f"{text!r} is no lease id.") from error


def whole(request: Request, name: str, default: int) -> int:
    try:
        return int(request.headers.get(name, default))
    except ValueError as error:
        raise LeaseError(400, "InvalidHeaderValue", f"{name} must be a whole number.") from error


def require_lease(emulator: Emulator, request: Request, container: str, blob: str) -> None:
    """Before anything is written to a blob. Raises LeaseError."""
    given = identifier(request.headers.get(LEASE_ID, ""))
    check_write(emulator.blobs.lease(container, blob), given, time.time())


def lease_headers(emulator: Emulator, container: str, blob: str) -> dict[str, str]:
    """What a blob's properties say of its lease."""
    found, now = emulator.blobs.lease(container, blob), time.time()
    active = found.is_active(now)
    headers = {
        "x-ms-lease-state": found.state(now),
        "x-ms-lease-status": "locked" if active else "unlocked",
    }
    if active:
        headers["x-ms-lease-duration"] = "infinite" if found.duration_s == FOREVER else "fixed"
    return headers
