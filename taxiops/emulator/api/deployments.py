"""Online deployments on the control plane: create, change, read, logs, delete."""

from taxiops.emulator.api.endpoints import ENDPOINT, read_endpoint
from taxiops.emulator.api.operations import accepted, operation_headers
from taxiops.emulator.api.wire import (
    Json,
    Request,
    Response,
    Routes,
    bad_request,
    conflict,
    not_found,
)
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets import Unresolved
from taxiops.emulator.state.deployments import InUse
from taxiops.emulator.state.traffic import NAME

routes = Routes()
DEPLOYMENT = ENDPOINT + "/deployments/{deployment}"
BUSY = frozenset({"Creating", "Updating", "Deleting"})


def read_deployment(emulator: Emulator, request: Request) -> Json:
    """The stored deployment of the path. Raises AzureError 404."""
    endpoint = read_endpoint(emulator, request)
    name = request.params["deployment"].lower()
    stored = emulator.deployments.deployment(request.workspace_scope, endpoint["name"], name)
    if stored is None:
        raise not_found(f"Online deployment '{name}' was not found in '{endpoint['name']}'.")
    return stored


@routes.add("GET", ENDPOINT + "/deployments")
def list_deployments(emulator: Emulator, request: Request) -> Response:
    endpoint = read_endpoint(emulator, request)
    found = emulator.deployments.deployments(request.workspace_scope, endpoint["name"])
    return Response(body={"value": [rest(emulator, request, each) for each in found]})


@routes.add("GET", DEPLOYMENT)
def get(emulator: Emulator, request: Request) -> Response:
    return Response(body=rest(emulator, request, read_deployment(emulator, request)))


@routes.add("PUT", DEPLOYMENT)
def put(emulator: Emulator, request: Request) -> Response:
    endpoint = read_endpoint(emulator, request)
    scope, name = request.workspace_scope, request.params["deployment"].lower()
    body = request.json()
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise bad_request("The body has no properties.")
    if not NAME.fullmatch(name):
        raise bad_request(
            f"The deployment name {name!r} must have 3-32 letters, digits and dashes."
        )
    present = emulator.deployments.deployment(scope, endpoint["name"], name)
    if present and present["state"] in BUSY:
        raise conflict(f"Cannot create a deployment in {present['state']} provisioning state.")
    model = properties.get("model")
    if model:
        try:
            emulator.assets.find(model, scope, "model")
        except Unresolved as error:
            raise bad_request(str(error), "BadArgument") from error
    document = {
        "location": body.get("location"),
        "tags": body.get("tags") or {},
        "sku": body.get("sku") or {"name": "Default", "capacity": 1},
        "kind": body.get("kind"),
        "properties": properties,
    }
    operation = emulator.deployments.put_deployment(scope, endpoint["name"], name, document)
    stored = emulator.deployments.deployment(scope, endpoint["name"], name) or {}
    headers = operation_headers(emulator, operation)
    return Response(200 if present else 201, rest(emulator, request, stored), headers)


@routes.add("DELETE", DEPLOYMENT)
def delete(emulator: Emulator, request: Request) -> Response:
    endpoint = read_endpoint(emulator, request)
    name = request.params["deployment"].lower()
    try:
        operation = emulator.deployments.delete_deployment(
            request.workspace_scope, endpoint["name"], name
        )
    except InUse as error:
        raise bad_request(str(error), "DeploymentHasTraffic") from error
    return accepted(emulator, operation) if operation else Response(204)


@routes.add("POST", DEPLOYMENT + "/getLogs")
def get_logs(emulator: Emulator, request: Request) -> Response:
    endpoint, stored = read_endpoint(emulator, request), read_deployment(emulator, request)
    lines = request.json().get("tail") or 500
    if not isinstance(lines, int) or lines < 1:
        raise bad_request("tail must be a positive whole number.")
    text = emulator.deployments.log_text(
        request.workspace_scope, endpoint["name"], stored["name"], lines
    )
    return Response(body={"content": text})


def rest(emulator: Emulator, request: Request, stored: Json) -> Json:
    """As Azure shows it; the client fails without sku and scaleSettings."""
    workspace = read_workspace(emulator, request)
    endpoint = request.params["endpoint"].lower()
    properties = {
        "scaleSettings": {"scaleType": "Default"},
        "endpointComputeType": "Managed",
        "instanceType": "Standard_DS3_v2",
    }
    properties |= {k: v for k, v in stored["properties"].items() if v is not None}
    properties["provisioningState"] = stored["state"]
    return {
        "id": f"{workspace['id']}/onlineEndpoints/{endpoint}/deployments/{stored['name']}",
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        "location": stored["location"] or workspace["location"],
        "tags": stored["tags"],
        "sku": stored["sku"],
        "kind": stored["kind"] or "Managed",
        "properties": properties,
        "systemData": {},
    }
