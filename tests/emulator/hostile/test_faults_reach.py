"""Every operation has a name by which a fault strikes it, new ones included."""

import json

import pytest

from taxiops.emulator.api.app import ROUTES
from taxiops.emulator.api.wire import Route
from taxiops.emulator.state.faults import parse_fault

from .bodies import BODIES, WORKSPACE
from .conftest import BLOB_PORT, InProcess, address

OWN = "/_emulator/"


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if not r.template.startswith(OWN)], ids=lambda r: r.template
)
def test_a_fault_strikes_each_route_by_its_operation(inside: InProcess, route: Route) -> None:
    faults = inside.emulator.faults
    faults.clear()
    faults.add(parse_fault({"kind": "forbidden", "on": route.operation}))
    inside.settle()
    before = inside.mark()
    body = json.dumps(BODIES.get(route.operation, {})).encode()
    reply = inside.send(route.method, address(route, {}), body)
    assert reply.status == 403
    assert [each["struck"] for each in faults.listed()] == [1]
    assert inside.mark() == before
    faults.clear()


@pytest.mark.parametrize("operation", ["GET", "PUT", "DELETE", "HEAD", "LIST"])
def test_a_fault_strikes_each_operation_of_the_blob_service(
    inside: InProcess, operation: str
) -> None:
    faults = inside.emulator.faults
    faults.clear()
    faults.add(parse_fault({"kind": "forbidden", "on": f"{operation} blobs"}))
    stored = inside.emulator.store.get("workspace", WORKSPACE.lower(), "") or {}
    container = stored["container"]
    query = f"?{inside.emulator.blobs.sas(container, 'rwdlc')}"
    method, path = operation, f"/{container}/some/blob{query}"
    if operation == "LIST":
        method, path = "GET", f"/{container}{query}&restype=container&comp=list"
    assert inside.send(method, path, port=BLOB_PORT).status == 403
    assert [each["struck"] for each in faults.listed()] == [1]
    faults.clear()
