"""Online endpoints on the control plane: create, read, traffic, keys, delete."""

from taxiops.emulator.api.operations import accepted
from taxiops.emulator.api.wire import (
    WORKSPACE,
    Json,
    Request,
    Response,
    Routes,
    bad_request,
    not_found,
)
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import TOKEN_VALID_S, issue_token, now_s
from taxiops.emulator.state.traffic import NAME, BadTraffic, checked_mirror, checked_traffic

routes = Routes()
ENDPOINT = WORKSPACE + "/onlineEndpoints/{endpoint}"


def read_endpoint(emulator: Emulator, request: Request) -> Json:
    """The stored endpoint of the path. Raises AzureError 404."""
    name = request.params["endpoint"].lower()
    stored = emulator.deployments.endpoint(request.workspace_scope, name)
    if stored is None:
        raise not_found(f"Online endpoint '{request.params['endpoint']}' was not found.")
    return stored


@routes.add("GET", WORKSPACE + "/onlineEndpoints")
def list_endpoints(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    found = emulator.deployments.endpoints(request.workspace_scope)
    return Response(body={"value": [rest(emulator, workspace, each) for each in found]})


@routes.add("GET", ENDPOINT)
def get(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    return Response(body=rest(emulator, workspace, read_endpoint(emulator, request)))


@routes.add("PUT", ENDPOINT)
def put(emulator: Emulator, request: Request) -> Response:
    """A full replacement: what the body leaves out is gone."""
    workspace = read_workspace(emulator, request)
    scope, name = request.workspace_scope, request.params["endpoint"].lower()
    body = request.json()
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise bad_request("The body has no properties.")
    if not NAME.fullmatch(name):
        raise bad_request(f"The endpoint name {name!r} must have 3-32 letters, digits and dashes.")
    existing = {each["name"] for each in emulator.deployments.deployments(scope, name)}
    try:
        traffic = checked_traffic(properties.get("traffic"), existing)
        mirror = checked_mirror(properties.get("mirrorTraffic"), traffic, existing)
    except BadTraffic as error:
        raise bad_request(str(error), "InvalidTraffic") from error
    present = emulator.deployments.endpoint(scope, name)
    document = {
        "location": body.get("location"),
        "tags": body.get("tags") or {},
        "kind": body.get("kind"),
        "identity": body.get("identity") or {"type": "SystemAssigned"},
        "properties": {**properties, "traffic": traffic, "mirrorTraffic": mirror},
    }
    stored = emulator.deployments.put_endpoint(scope, name, document)
    return Response(200 if present else 201, rest(emulator, workspace, stored))


@routes.add("DELETE", ENDPOINT)
def delete(emulator: Emulator, request: Request) -> Response:
    read_workspace(emulator, request)
    if not emulator.deployments.delete_endpoint(
        request.workspace_scope, request.params["endpoint"].lower()
    ):
        return Response(204)
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


@routes.add("POST", ENDPOINT + "/listKeys")
def list_keys(emulator: Emulator, request: Request) -> Response:
    return Response(body=read_endpoint(emulator, request)["keys"])


@routes.add("POST", ENDPOINT + "/regenerateKeys")
def regenerate_keys(emulator: Emulator, request: Request) -> Response:
    stored = read_endpoint(emulator, request)
    kind = str(request.json().get("keyType", "Primary")).lower()
    if kind not in {"primary", "secondary"}:
        raise bad_request(f"There is no key of the type {kind!r}.")
    emulator.deployments.regenerate_key(request.workspace_scope, stored["name"], f"{kind}Key")
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


@routes.add("POST", ENDPOINT + "/token")
def token(emulator: Emulator, request: Request) -> Response:
    read_endpoint(emulator, request)
    now = now_s()
    access = issue_token(emulator.identity, "https://ml.azure.com", emulator.addresses.arm, now)
    body = {
        "accessToken": access,
        "tokenType": "Bearer",
        "expiryTimeUtc": int(now) + TOKEN_VALID_S,
        "refreshAfterTimeUtc": int(now) + TOKEN_VALID_S // 2,
    }
    return Response(body=body)


def rest(emulator: Emulator, workspace: Json, stored: Json) -> Json:
    properties = {k: v for k, v in stored["properties"].items() if k != "keys"}
    properties |= {
        "provisioningState": "Succeeded",
        "scoringUri": f"{emulator.addresses.scoring}{stored['path']}/score",
        "swaggerUri": f"{emulator.addresses.scoring}{stored['path']}/swagger.json",
    }
    properties.setdefault("authMode", "Key")
    properties.setdefault("properties", {})
    return {
        "id": f"{workspace['id']}/onlineEndpoints/{stored['name']}",
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "location": stored["location"] or workspace["location"],
        "tags": stored["tags"],
        "kind": stored["kind"] or "Managed",
        "identity": stored["identity"],
        "properties": properties,
        "systemData": {},
    }
