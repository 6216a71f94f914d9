"""Online endpoints on the control plane: create, change, read, traffic, keys, delete."""

from taxiops.emulator.api.operations import accepted
from taxiops.emulator.api.shapes import TEXTS, Each
from taxiops.emulator.api.wire import (
    WORKSPACE,
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
from taxiops.emulator.identity import TOKEN_VALID_S, issue_token, now_s
from taxiops.emulator.state.endpoints.documents import Busy
from taxiops.emulator.state.endpoints.routing import token_audience
from taxiops.emulator.state.endpoints.traffic import NAME, NAME_RULE, BadTraffic

routes = Routes()
ENDPOINT = WORKSPACE + "/onlineEndpoints/{endpoint}"
AUTH_MODES = frozenset({"key", "amltoken", "aadtoken"})
ENDPOINT_BODY = {
    **dict.fromkeys(("location", "kind"), str),
    "tags": TEXTS,
    "identity": {"type": str},
    "properties": {
        **dict.fromkeys(("authMode", "description"), str),
        "properties": TEXTS,
        "keys": Each(str, may_be_null=True),
    },
}


def read_endpoint(emulator: Emulator, request: Request) -> Json:
    """The stored endpoint of the path. Raises AzureError 404."""
    name = request.params["endpoint"].lower()
    stored = emulator.deployments.documents.endpoint(request.workspace_scope, name)
    if stored is None:
        raise not_found(f"Online endpoint '{request.params['endpoint']}' was not found.")
    return stored


def json_object(body: Json, name: str) -> Json:
    """A member of a body that must be an object; empty when absent. Raises AzureError 400."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{name} must be an object.")
    return value


@routes.add("GET", WORKSPACE + "/onlineEndpoints")
def list_endpoints(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    found = emulator.deployments.documents.endpoints(request.workspace_scope)
    return Response(body={"value": [rest(emulator, workspace, each) for each in found]})


@routes.add("GET", ENDPOINT)
def get(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    return Response(body=rest(emulator, workspace, read_endpoint(emulator, request)))


@routes.add("PUT", ENDPOINT, body=ENDPOINT_BODY)
def put(emulator: Emulator, request: Request) -> Response:
    """A full replacement: what the body leaves out is gone."""
    workspace = read_workspace(emulator, request)
    scope, name = request.workspace_scope, request.params["endpoint"].lower()
    body = request.json()
    properties = json_object(body, "properties")
    if not properties:
        raise bad_request("The body has no properties.")
    if not NAME.fullmatch(name):
        raise bad_request(f"The endpoint name {name!r} {NAME_RULE}.", "InvalidName")
    if str(properties.get("authMode") or "Key").lower() not in AUTH_MODES:
        raise bad_request(f"There is no authMode {properties['authMode']!r}.")
    document = {
        "location": body.get("location"),
        "tags": json_object(body, "tags"),
        "kind": body.get("kind"),
        "identity": body.get("identity") or {"type": "SystemAssigned"},
        "properties": properties,
    }
    present = emulator.deployments.documents.endpoint(scope, name)
    try:
        stored = emulator.deployments.put_endpoint(scope, name, document)
    except BadTraffic as error:
        raise bad_request(str(error), "InvalidTraffic") from error
    except Busy as error:
        raise conflict(str(error)) from error
    return Response(200 if present else 201, rest(emulator, workspace, stored))


@routes.add("PATCH", ENDPOINT, body=ENDPOINT_BODY)
def patch(emulator: Emulator, request: Request) -> Response:
    """Azure lets only tags and identity be patched."""
    workspace, stored = read_workspace(emulator, request), read_endpoint(emulator, request)
    body = request.json()
    changes: Json = {}
    if "tags" in body:
        changes["tags"] = json_object(body, "tags")
    if body.get("identity"):
        changes["identity"] = json_object(body, "identity")
    scope, name = request.workspace_scope, stored["name"]
    stored = emulator.deployments.documents.change_endpoint(scope, name, changes)
    return Response(200, rest(emulator, workspace, stored))


@routes.add("GET", WORKSPACE + "/batchEndpoints")
def list_batch(emulator: Emulator, request: Request) -> Response:
    """None can be made here, so there are none."""
    read_workspace(emulator, request)
    return Response(body={"value": []})


@routes.add("DELETE", ENDPOINT)
def delete(emulator: Emulator, request: Request) -> Response:
    """With all of its deployments."""
    read_workspace(emulator, request)
    operation = emulator.deployments.delete_endpoint(
        request.workspace_scope, request.params["endpoint"].lower()
    )
    return accepted(emulator, operation) if operation else Response(204)


@routes.add("POST", ENDPOINT + "/listKeys")
def list_keys(emulator: Emulator, request: Request) -> Response:
    return Response(body=read_endpoint(emulator, request)["keys"])


@routes.add("POST", ENDPOINT + "/regenerateKeys")
def regenerate_keys(emulator: Emulator, request: Request) -> Response:
    """The client's own keyValue is the current key, so it is not looked at."""
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
    """A token for an endpoint whose authMode is AMLToken."""
    audience = token_audience(read_endpoint(emulator, request)["path"])
    now = now_s()
    body = {
        "accessToken": issue_token(emulator.identity, audience, emulator.addresses.arm, now),
        "tokenType": "Bearer",
        "expiryTimeUtc": int(now) + TOKEN_VALID_S,
        "refreshAfterTimeUtc": int(now) + TOKEN_VALID_S // 2,
    }
    return Response(body=body)


def rest(emulator: Emulator, workspace: Json, stored: Json) -> Json:
    """As Azure shows it; keys never."""
    properties = {k: v for k, v in stored["properties"].items() if k != "keys"}
    properties |= {
        "provisioningState": stored["state"],
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
