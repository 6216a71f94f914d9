"""Online deployments on the control plane: create, change, read, logs, delete."""

from taxiops.emulator.api.endpoints import ENDPOINT, json_object, read_endpoint
from taxiops.emulator.api.operations import accepted, operation_headers
from taxiops.emulator.api.shapes import TEXTS
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
from taxiops.emulator.state.assets.assets import Unresolved
from taxiops.emulator.state.endpoints.deployment_rules import BadDeployment, checked_deployment
from taxiops.emulator.state.endpoints.documents import Busy, InUse, Missing, TooMany
from taxiops.emulator.state.endpoints.traffic import NAME, NAME_RULE

routes = Routes()
DEPLOYMENT = ENDPOINT + "/deployments/{deployment}"
SHOWN_LINES, MOST_LINES = 500, 100_000
DEPLOYMENT_BODY = {
    **dict.fromkeys(("location", "kind"), str),
    "tags": TEXTS,
    "sku": {"name": str},
    "properties": {
        **dict.fromkeys(("description", "instanceType", "environmentId", "model"), str),
        **dict.fromkeys(("properties", "environmentVariables"), TEXTS),
    },
}


def read_deployment(emulator: Emulator, request: Request) -> Json:
    """The stored deployment of the path. Raises AzureError 404."""
    endpoint = read_endpoint(emulator, request)
    name = request.params["deployment"].lower()
    stored = emulator.deployments.documents.deployment(
        request.workspace_scope, endpoint["name"], name
    )
    if stored is None:
        raise not_found(f"Online deployment '{name}' was not found in '{endpoint['name']}'.")
    return stored


@routes.add("GET", ENDPOINT + "/deployments")
def list_deployments(emulator: Emulator, request: Request) -> Response:
    endpoint = read_endpoint(emulator, request)
    found = emulator.deployments.documents.deployments(request.workspace_scope, endpoint["name"])
    return Response(body={"value": [rest(emulator, request, each) for each in found]})


@routes.add("GET", DEPLOYMENT)
def get(emulator: Emulator, request: Request) -> Response:
    return Response(body=rest(emulator, request, read_deployment(emulator, request)))


@routes.add("PUT", DEPLOYMENT, body=DEPLOYMENT_BODY)
def put(emulator: Emulator, request: Request) -> Response:
    name = request.params["deployment"].lower()
    if not NAME.fullmatch(name):
        raise bad_request(f"The deployment name {name!r} {NAME_RULE}.", "InvalidName")
    return apply_document(emulator, request, request.json())


@routes.add("PATCH", DEPLOYMENT, body=DEPLOYMENT_BODY)
def patch(emulator: Emulator, request: Request) -> Response:
    """Azure lets tags and the number of instances be patched."""
    present, body = read_deployment(emulator, request), request.json()
    changed = {each: present[each] for each in ("location", "kind", "properties", "tags")}
    if "tags" in body:
        changed["tags"] = body["tags"]
    changed["sku"] = {**present["sku"], **json_object(body, "sku")}
    return apply_document(emulator, request, changed, present_status=202)


def apply_document(
    emulator: Emulator, request: Request, body: Json, present_status: int = 200
) -> Response:
    """Begin to provision what the body says."""
    endpoint = read_endpoint(emulator, request)["name"]
    scope, name = request.workspace_scope, request.params["deployment"].lower()
    is_new = emulator.deployments.documents.deployment(scope, endpoint, name) is None
    try:
        document = checked_deployment(body)
        check_references(emulator, scope, document["properties"])
        operation = emulator.deployments.put_deployment((scope, endpoint, name), document)
    except Missing as error:
        raise not_found(str(error)) from error
    except (BadDeployment, Unresolved) as error:
        raise bad_request(str(error), "BadArgument") from error
    except TooMany as error:
        raise bad_request(str(error), "QuotaExceeded") from error
    except Busy as error:
        raise conflict(str(error)) from error
    headers = operation_headers(emulator, operation)
    shown = rest(emulator, request, read_deployment(emulator, request))
    return Response(201 if is_new else present_status, shown, headers)


def check_references(emulator: Emulator, scope: str, properties: Json) -> None:
    """Raises Unresolved for a model or code that does not exist."""
    if model := properties.get("model"):
        emulator.assets.find(model, scope, "model")
    if code := (properties.get("codeConfiguration") or {}).get("codeId"):
        emulator.assets.find(code, scope, "code")


@routes.add("DELETE", DEPLOYMENT)
def delete(emulator: Emulator, request: Request) -> Response:
    endpoint = read_endpoint(emulator, request)
    name = request.params["deployment"].lower()
    try:
        key = (request.workspace_scope, endpoint["name"], name)
        operation = emulator.deployments.delete_deployment(key)
    except InUse as error:
        raise bad_request(str(error), "DeploymentHasTraffic") from error
    except Busy as error:
        raise conflict(str(error)) from error
    return accepted(emulator, operation) if operation else Response(204)


@routes.add("POST", DEPLOYMENT + "/getLogs")
def get_logs(emulator: Emulator, request: Request) -> Response:
    endpoint, stored = read_endpoint(emulator, request), read_deployment(emulator, request)
    body = request.json()
    lines = body.get("tail") or SHOWN_LINES
    if isinstance(lines, bool) or not isinstance(lines, int) or not 0 < lines <= MOST_LINES:
        raise bad_request(f"tail must be a whole number from 1 to {MOST_LINES}.")
    container = str(body.get("containerType") or "")
    key = (request.workspace_scope, endpoint["name"], stored["name"])
    text = emulator.deployments.log_text(key, container, lines)
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
