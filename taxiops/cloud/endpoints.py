"""Online endpoints: read, written with every field kept, waited for, read back."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from taxiops.cloud.failures import FORBIDDEN, TRANSIENT_CODES, azure_errors
from taxiops.cloud.interrupts import check_stop
from taxiops.cloud.scoring import Scorer
from taxiops.cloud.silence import aloud, sdk_silenced
from taxiops.cloud.views import EndpointView, endpoint_view, nonzero, slot_view
from taxiops.errors import Conflict, NotFound, StepFailed, StillRunning, TaxiopsError

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection

Progress = Callable[[str], None]

SETTLE_DEADLINE_S = 15 * 60.0
# How often it is told that something goes on, and looked whether somebody asked to stop.
HEARTBEAT_S, LOOK_S = 30.0, 0.5
# "Cannot create a deployment in Updating provisioning state" comes just after success too.
TRIES = 6
RETRY_DELAY_S = 2.0
# A role that was just assigned is refused for a while.
FORBIDDEN_TRIES = 3
TRIES_OF_CODE = {**dict.fromkeys(TRANSIENT_CODES, TRIES), FORBIDDEN: FORBIDDEN_TRIES}
# A read may tell of the state before the last write.
READS_BACK = 4
NEAR_INTERVAL_S, FAR_INTERVAL_S = 0.1, 5.0
TERMINAL = frozenset({"succeeded", "failed", "canceled"})
# The SDK mixes these into the properties it reads; they are the service's, not ours to write.
READ_ONLY_PROPERTIES = ("createdBy", "createdAt", "lastModifiedAt")


def read_endpoint(connection: "Connection", name: str = "") -> EndpointView | None:
    """The named or the environment's endpoint with its slots, or None when there is none."""
    name = name or connection.environment.endpoint
    try:
        with azure_errors(f"Reading endpoint {name}"):
            endpoint = connection.workspace.online_endpoints.get(name)
            found = list(connection.workspace.online_deployments.list(name))
    except NotFound:
        return None
    slots = {slot.name: slot for slot in map(slot_view, found)}
    return endpoint_view(endpoint, slots)


def glance_at_endpoint(connection: "Connection") -> EndpointView | None:
    """The environment's endpoint with its slots, or None, for one request each.

    The SDK's `get` lists the deployments on its own account, and ours would be the second list.
    """
    name = connection.environment.endpoint
    workspace = connection.workspace
    with azure_errors(f"Listing the endpoints of {connection.environment.workspace}"):
        named = (each for each in workspace.online_endpoints.list() if each.name == name)
        endpoint = next(named, None)
        if endpoint is None:
            return None
        found = list(workspace.online_deployments.list(name))
    return endpoint_view(endpoint, {slot.name: slot for slot in map(slot_view, found)})


def list_endpoints(connection: "Connection") -> list[EndpointView]:
    """Every online endpoint of the workspace with its slots, for one request each and two more.

    Raises Conflict when the answers contradict each other: a list may be stale or empty.
    """
    workspace, found = connection.workspace, []
    with azure_errors(f"Listing the endpoints of {connection.environment.workspace}"):
        for entity in list(workspace.online_endpoints.list()):
            name = str(entity.name)
            slots = map(slot_view, workspace.online_deployments.list(name))
            found.append(endpoint_view(entity, {slot.name: slot for slot in slots}))
    own = connection.environment.endpoint
    if own not in [each.name.lower() for each in found] and read_endpoint(connection) is not None:
        raise contradiction(f"endpoint {own} is there, but not in the list of endpoints")
    for each in found:
        missing = {*nonzero(each.traffic), *nonzero(each.mirror)} - set(each.slots)
        if missing:
            what = f"slot {sorted(missing)[0]} of {each.name} has traffic, but is not in the list"
            raise contradiction(what)
    return found


def contradiction(what: str) -> Conflict:
    return Conflict(
        f"The service contradicts itself: {what}.",
        hint="Run it again in a minute.",
        code="answers-contradict",
    )


def list_batch_models(connection: "Connection") -> dict[str, str]:
    """Batch deployments of the workspace, as `endpoint/deployment` -> the model it refers to."""
    workspace, found = connection.workspace, {}
    with azure_errors(f"Listing the batch endpoints of {connection.environment.workspace}"):
        for endpoint in list(workspace.batch_endpoints.list()):
            for each in workspace.batch_deployments.list(str(endpoint.name)):
                found[f"{endpoint.name}/{each.name}"] = str(getattr(each, "model", None) or "")
    return found


def require_endpoint(connection: "Connection") -> EndpointView:
    """The environment's endpoint; raises NotFound when there is none."""
    endpoint = read_endpoint(connection)
    if endpoint is None:
        raise NotFound(
            f"Endpoint {connection.environment.endpoint} does not exist in workspace "
            f"{connection.environment.workspace}.",
            hint=f"taxiops deploy --env {connection.environment.name}",
            code="endpoint-missing",
        )
    return endpoint


def create_endpoint(
    connection: "Connection", tags: Mapping[str, str], description: str, progress: Progress
) -> EndpointView:
    """A new endpoint without deployments, authenticated by key; waits until it is there."""
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    name = connection.environment.endpoint
    entity = ManagedOnlineEndpoint(
        name=name, description=description, auth_mode="key", tags=dict(tags)
    )
    doing = f"Creating endpoint {name}"
    operations = connection.workspace.online_endpoints
    begin = partial(operations.begin_create_or_update, entity)
    finish(connection, begin, doing, SETTLE_DEADLINE_S, progress)
    return require_endpoint(connection)


def write_endpoint(
    connection: "Connection",
    expected: EndpointView,
    progress: Progress,
    *,
    traffic: Mapping[str, int] | None = None,
    mirror: Mapping[str, int] | None = None,
    tags: Mapping[str, str] | None = None,
) -> EndpointView:
    """Change traffic, mirror or tags in one PUT that keeps every other field; then read back.

    `tags` are merged, an empty value removes one. Azure knows no ETag here, so the endpoint is read
    again just before and must still be as `expected`. Raises Conflict when it is not, StepFailed
    when the service accepts the change but does not show it.
    """
    name = connection.environment.endpoint
    operations = connection.workspace.online_endpoints

    def begin() -> Any:  # noqa: ANN401 - the SDK has no types
        entity: Any = operations.get(name)
        check_unchanged(expected, endpoint_view(entity, expected.slots))
        if traffic is not None:
            entity.traffic = nonzero(traffic)
        if mirror is not None:
            entity.mirror_traffic = nonzero(mirror)
        if tags is not None:
            merged = {**(entity.tags or {}), **tags}
            entity.tags = {key: value for key, value in merged.items() if value}
        for key in READ_ONLY_PROPERTIES:
            (entity.properties or {}).pop(key, None)
        return operations.begin_create_or_update(entity)

    settle(connection, progress)
    finish(connection, begin, f"Updating endpoint {name}", SETTLE_DEADLINE_S, progress)
    return read_back(connection, traffic, mirror)


def check_unchanged(expected: EndpointView, found: EndpointView) -> None:
    """Raises Conflict when somebody changed traffic, mirror or our tags meanwhile."""
    same = (
        nonzero(expected.traffic) == nonzero(found.traffic)
        and nonzero(expected.mirror) == nonzero(found.mirror)
        and dict(expected.tags) == dict(found.tags)
    )
    if not same:
        raise Conflict(
            f"Endpoint {expected.name} was changed by somebody else meanwhile.",
            why=f"Traffic was {nonzero(expected.traffic)}, now {nonzero(found.traffic)}.",
            hint="taxiops traffic show",
            code="endpoint-changed",
        )


def read_back(
    connection: "Connection",
    traffic: Mapping[str, int] | None,
    mirror: Mapping[str, int] | None,
) -> EndpointView:
    """The endpoint as it is now, asked again while a read may still tell of before.

    Raises StepFailed when it is not what was asked for.
    """
    for attempt in range(1, READS_BACK + 1):
        endpoint = require_endpoint(connection)
        what, asked, found = differing(endpoint, traffic, mirror)
        if not what:
            break
        if attempt < READS_BACK:
            time.sleep(interval_s(connection))
            continue
        raise StepFailed(
            f"Endpoint {endpoint.name}: the service accepted the {what} but does not show it.",
            why=f"Asked for {asked}, found {found}.",
            hint="taxiops traffic show",
            code="traffic-reverted",
        )
    return endpoint


def differing(
    endpoint: EndpointView,
    traffic: Mapping[str, int] | None,
    mirror: Mapping[str, int] | None,
) -> tuple[str, dict[str, int], dict[str, int]]:
    """What is not as asked, what was asked and what is there; empty when all is."""
    for what, wanted, found in (
        ("traffic", traffic, endpoint.traffic),
        ("mirror traffic", mirror, endpoint.mirror),
    ):
        if wanted is not None and nonzero(wanted) != nonzero(found):
            return what, nonzero(wanted), nonzero(found)
    return "", {}, {}


def delete_endpoint(connection: "Connection", progress: Progress) -> None:
    """Delete the environment's endpoint with all of its slots; none is fine."""
    name = connection.environment.endpoint
    begin = partial(connection.workspace.online_endpoints.begin_delete, name)
    try:
        finish(connection, begin, f"Deleting endpoint {name}", SETTLE_DEADLINE_S, progress)
    except NotFound:
        return


def open_scorer(connection: "Connection", endpoint: EndpointView) -> Scorer:
    """A scoring client with the endpoint's key."""
    with azure_errors(f"Reading the keys of {endpoint.name}"):
        keys: Any = connection.workspace.online_endpoints.get_keys(endpoint.name)
    key = getattr(keys, "primary_key", None) or getattr(keys, "access_token", "")
    return Scorer(endpoint.scoring_uri, str(key), connection.ca_file)


def settle(connection: "Connection", progress: Progress) -> None:
    """Wait until the service is done with the endpoint and each of its slots."""
    end = time.monotonic() + SETTLE_DEADLINE_S
    told = False
    while True:
        endpoint = read_endpoint(connection)
        if endpoint is None:
            return
        states = [endpoint.state, *(slot.state for slot in endpoint.slots.values())]
        busy = [state for state in states if state.lower() not in TERMINAL]
        if not busy:
            return
        if time.monotonic() > end:
            raise StillRunning(
                f"Endpoint {endpoint.name} is {busy[0]} for more than {SETTLE_DEADLINE_S:.0f} s.",
                hint="Run the same command again later.",
            )
        if not told:
            progress(f"waiting for {endpoint.name}: {busy[0]}")
            told = True
        check_stop()
        time.sleep(interval_s(connection))


def finish(
    connection: "Connection",
    begin: Callable[[], Any],
    doing: str,
    deadline_s: float,
    progress: Progress,
) -> None:
    """Begin a long operation and wait for its end, retrying conflicts that pass by themselves.

    Raises TaxiopsError with Azure's reason, StillRunning after the deadline.
    """
    end = time.monotonic() + deadline_s
    tell = aloud(progress)
    for attempt in range(1, TRIES + 1):
        try:
            with azure_errors(doing), sdk_silenced():
                poller = begin()
                wait_for(poller, doing, end, tell)
                poller.result()
                return
        except TaxiopsError as error:
            if attempt >= TRIES_OF_CODE.get(error.code, 0):
                raise
            progress(f"{doing}: {error.why[:120]}; trying again")
            settle(connection, progress)
            time.sleep(min(RETRY_DELAY_S * attempt, interval_s(connection) * 4 * attempt))


def wait_for(poller: Any, doing: str, end: float, progress: Progress) -> None:  # noqa: ANN401
    """Wait for a poller, saying now and then that it goes on."""
    begun = told = time.monotonic()
    while not poller.done():
        check_stop()
        poller.wait(min(LOOK_S, max(0.1, end - time.monotonic())))
        elapsed_s = time.monotonic() - begun
        if poller.done():
            return
        if time.monotonic() >= end:
            raise StillRunning(
                f"{doing} goes on after {elapsed_s:.0f} s.",
                hint="Run the same command again to go on waiting.",
            )
        if time.monotonic() - told >= HEARTBEAT_S:
            told = time.monotonic()
            progress(f"{doing}: {poller.status()} for {elapsed_s:.0f} s")


def interval_s(connection: "Connection") -> float:
    return NEAR_INTERVAL_S if connection.is_near else FAR_INTERVAL_S
