"""The slots of an endpoint, which are its deployments: made, deleted, and what they log."""

from functools import partial
from typing import TYPE_CHECKING

from taxiops.cloud.endpoints import (
    SETTLE_DEADLINE_S,
    Progress,
    finish,
    read_endpoint,
    require_endpoint,
    settle,
)
from taxiops.cloud.failures import azure_errors
from taxiops.cloud.views import EndpointView, SlotSpec
from taxiops.errors import NotFound, StepFailed, TaxiopsError

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection

# Creating a deployment takes up to 20 minutes when its image is built first, scaling up to 18.
PROVISION_DEADLINE_S = 60 * 60.0
CONTAINERS = ("inference-server", "storage-initializer")
LOG_LINES = 400


def create_slot(
    connection: "Connection",
    spec: SlotSpec,
    progress: Progress,
    deadline_s: float = PROVISION_DEADLINE_S,
) -> EndpointView:
    """A new deployment at 0 percent; the endpoint once it is provisioned.

    Raises StepFailed with the service's reason, StillRunning after the deadline.
    """
    from azure.ai.ml.entities import (
        CodeConfiguration,
        Environment,
        ManagedOnlineDeployment,
        OnlineRequestSettings,
    )

    endpoint = connection.environment.endpoint
    entity = ManagedOnlineDeployment(
        name=spec.name,
        endpoint_name=endpoint,
        model=spec.model,
        environment=Environment(image=spec.image, conda_file=spec.conda_file),
        code_configuration=CodeConfiguration(
            code=str(spec.code), scoring_script=spec.scoring_script
        ),
        environment_variables=dict(spec.variables),
        tags=dict(spec.tags),
        instance_type=spec.instance_type,
        instance_count=spec.instance_count,
        request_settings=OnlineRequestSettings(
            request_timeout_ms=spec.request_timeout_ms,
            max_concurrent_requests_per_instance=spec.max_concurrent_requests,
        ),
    )
    doing = f"Provisioning slot {spec.name} of {endpoint}"
    begin = partial(connection.workspace.online_deployments.begin_create_or_update, entity)
    finish(connection, begin, doing, deadline_s, progress)
    found = require_endpoint(connection)
    slot = found.slots.get(spec.name)
    if slot is None or not slot.is_healthy:
        state = slot.state if slot else "missing"
        raise StepFailed(f"{doing} ended, but the slot is {state}.", code="slot-unhealthy")
    return found


def delete_slot(connection: "Connection", slot: str, progress: Progress) -> None:
    """Delete a deployment and wait until it is gone; one that is gone already is fine."""
    endpoint = connection.environment.endpoint
    doing = f"Deleting slot {slot} of {endpoint}"
    begin = partial(connection.workspace.online_deployments.begin_delete, slot, endpoint)
    settle(connection, progress)
    try:
        finish(connection, begin, doing, SETTLE_DEADLINE_S, progress)
    except NotFound:
        return
    found = read_endpoint(connection)
    if found is not None and slot in found.slots:
        raise StepFailed(f"{doing}: it is still there.", hint="Run it again.", code="slot-remains")


def slot_logs(connection: "Connection", slot: str) -> dict[str, str]:
    """The last lines of both containers; a log that cannot be had is told as its reason."""
    logs = {}
    for container in CONTAINERS:
        try:
            with azure_errors(f"Reading the {container} log"):
                logs[container] = connection.workspace.online_deployments.get_logs(
                    slot, connection.environment.endpoint, LOG_LINES, container_type=container
                )
        except TaxiopsError as error:
            logs[container] = f"{error.what} {error.why}"
    return logs
