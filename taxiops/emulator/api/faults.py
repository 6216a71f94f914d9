"""Faults on the wire: the control routes that switch them on, and how a request goes wrong."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from taxiops.emulator.api.control import check_key
from taxiops.emulator.api.wire import (
    AzureError,
    Json,
    Request,
    Response,
    Route,
    Routes,
    bad_request,
)
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.faults import REFUSALS, BadFault, Fault, parse_fault

routes = Routes()
CONTROL = "/_emulator/"
# A response that is never sent: the connection breaks instead.
DROPPED = Response(status=0)
MOST_REMEMBERED = 500


@routes.add("POST", CONTROL + "faults", is_anonymous=True)
def add(emulator: Emulator, request: Request) -> Response:
    check_key(emulator, request)
    try:
        fault = emulator.faults.add(parse_fault(request.json()))
    except BadFault as error:
        raise bad_request(str(error), "BadFault") from error
    return Response(body={"name": fault.name})


@routes.add("GET", CONTROL + "faults", is_anonymous=True)
def listed(emulator: Emulator, request: Request) -> Response:
    check_key(emulator, request)
    return Response(body={"faults": emulator.faults.listed()})


@routes.add("DELETE", CONTROL + "faults", is_anonymous=True)
def clear(emulator: Emulator, request: Request) -> Response:
    check_key(emulator, request)
    return Response(body={"cleared": emulator.faults.clear()})


def routed(
    emulator: Emulator, route: Route, request: Request, parameters: Mapping[str, str]
) -> Response:
    """Handle a request of the control or data plane, or let it go wrong as a fault says."""

    def act() -> Response:
        return route.handler(emulator, replace(request, params=parameters))

    if request.path.startswith(CONTROL):
        return act()
    target = list(parameters.values())[-1] if parameters else ""
    fault = emulator.faults.take(route.operation, target)
    if fault is None:
        answer = act()
    elif fault.kind == "stale":
        answer = emulator.remembered.get(request.path) or act()
    elif fault.kind == "revert":
        answer = reverted(emulator, request, parameters, act)
    else:
        answer = struck(fault, act, refuse)
    if request.method == "GET" and emulator.faults.are_stale and answer.status == 200:
        remember(emulator, request.path, answer)
    return answer


def struck(
    fault: Fault, act: Callable[[], Response], refuse: Callable[[Fault], Response]
) -> Response:
    """The request with a fault that any kind of request can have."""
    if fault.kind in REFUSALS:
        return refuse(fault)
    if fault.kind == "lost-request":
        return DROPPED
    if fault.kind == "slow":
        time.sleep(fault.seconds)
    answer = act()
    if fault.kind == "lost-answer":
        return DROPPED
    return emptied(answer) if fault.kind == "empty" else answer


def refuse(fault: Fault) -> Response:
    refusal = REFUSALS[fault.kind]
    headers = {"retry-after": f"{fault.seconds:.0f}"} if fault.kind == "throttle" else {}
    raise AzureError(refusal.status, refusal.code, refusal.message, headers=headers)


def emptied(answer: Response) -> Response:
    """A list without anything in it; what is no list stays."""
    if isinstance(answer.body, dict) and "value" in answer.body:
        return replace(answer, body={**answer.body, "value": []})
    if isinstance(answer.body, bytes) and b"<Blobs>" in answer.body:
        bare = re.sub(rb"<Blobs>.*</Blobs>", b"<Blobs></Blobs>", answer.body, flags=re.DOTALL)
        return replace(answer, body=bare)
    return answer


def reverted(
    emulator: Emulator, request: Request, parameters: Mapping[str, str], act: Callable[[], Response]
) -> Response:
    """The service acknowledges new traffic, and goes back to what it was."""
    scope = replace(request, params=parameters).workspace_scope
    name = parameters["endpoint"].lower()
    before: Json = emulator.deployments.documents.endpoint(scope, name) or {}
    answer = act()
    if before:
        shares = before["properties"]
        emulator.deployments.put_back(
            scope, name, shares.get("traffic") or {}, shares.get("mirrorTraffic") or {}
        )
    return answer


def remember(emulator: Emulator, path: str, answer: Response) -> None:
    """Keep the answer for a later stale read."""
    if len(emulator.remembered) >= MOST_REMEMBERED:
        emulator.remembered.pop(next(iter(emulator.remembered)))
    emulator.remembered[path] = answer
