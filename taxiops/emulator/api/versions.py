"""What the wire of every versioned asset shares: reading, listing with paging, containers."""

from collections.abc import Callable
from urllib.parse import urlencode

from taxiops.emulator.api.wire import Json, Request, Response, bad_request, not_found
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets import KINDS, Key

PAGE = 100
BARE_VERSION = "azureml_default"
ListView = Callable[[Json], bool]


def kind_of(request: Request) -> str:
    return KINDS[request.params["kind"].lower()]


def key_of(request: Request, scope: str) -> Key:
    return Key(kind_of(request), scope, request.params["name"], request.params["version"])


def shown(request: Request) -> ListView:
    """The filter that listViewType asks for; the client may send the enum's Python name."""
    wanted = request.query.get("listviewtype", "ActiveOnly").rpartition(".")[2]
    wanted = wanted.replace("_", "").lower()
    if wanted == "archivedonly":
        return lambda document: bool(document["properties"].get("isArchived"))
    if wanted == "all":
        return lambda _document: True
    return lambda document: not document["properties"].get("isArchived")


def page(emulator: Emulator, request: Request, documents: list[Json]) -> Response:
    """One page of a list, with nextLink when there is more."""
    skip = request.query.get("$skip", "0")
    if not skip.isdecimal():
        raise bad_request("$skip must be a whole number.")
    begin = int(skip)
    body: Json = {"value": documents[begin : begin + PAGE]}
    if len(documents) > begin + PAGE:
        query = urlencode({**request.query, "$skip": begin + PAGE})
        body["nextLink"] = f"{emulator.addresses.arm}{request.path}?{query}"
    return Response(body=body)


def sorted_versions(request: Request, documents: list[Json]) -> list[Json]:
    """Newest first when $orderBy asks for it, at most $top; `documents` are oldest first."""
    order = request.query.get("$orderby", "").lower()
    ordered = documents[::-1] if "desc" in order else documents
    top = request.query.get("$top", "")
    return ordered[: int(top)] if top.isdecimal() else ordered


def rest(scope_id: str, kind_path: str, document: Json) -> Json:
    """A stored version as Azure shows it. `scope_id`: the ARM id in its original spelling."""
    return {
        "id": f"{scope_id}/{kind_path}/{document['name']}/versions/{document['version']}",
        "name": document["version"],
        "type": f"Microsoft.MachineLearningServices/workspaces/{kind_path}/versions",
        "properties": {"provisioningState": "Succeeded", **document["properties"]},
        "systemData": document["systemData"],
    }


def container_rest(scope_id: str, kind_path: str, container: Json) -> Json:
    return {
        "id": f"{scope_id}/{kind_path}/{container['name']}",
        "name": container["name"],
        "type": f"Microsoft.MachineLearningServices/workspaces/{kind_path}",
        "properties": container["properties"],
        "systemData": {},
    }


def read_version(emulator: Emulator, request: Request, scope: str) -> Json:
    """The version of the path. Raises AzureError 404. A bare version name means the newest."""
    key = key_of(request, scope)
    version = key.version
    if version == BARE_VERSION:
        container = emulator.assets.container(key.kind, scope, key.name)
        version = container["properties"]["latestVersion"] if container else version
    document = emulator.assets.get(key.kind, scope, key.name, version)
    if document is None:
        raise not_found(f"{key.kind.capitalize()} {key.name}:{version} was not found.")
    return document
