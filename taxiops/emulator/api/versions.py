"""What the wire of every versioned asset shares: reading, listing in pages, changing, deleting."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import urlencode

from taxiops.emulator.api.shapes import TEXTS, Each
from taxiops.emulator.api.wire import (
    AzureError,
    Json,
    Request,
    Response,
    bad_request,
    conflict,
    not_found,
)
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets import curated
from taxiops.emulator.state.assets.asset_rules import (
    changed_content,
    malformed,
    misnamed,
)
from taxiops.emulator.state.assets.assets import AlreadyExists, Key, Unresolved
from taxiops.emulator.state.assets.component_rules import version_of_spec, whole_spec
from taxiops.emulator.state.assets.references import KINDS, URI_KEY

PAGE = 100
SHARED = {"description": str, "tags": TEXTS, "properties": TEXTS, "isArchived": bool}
CONTAINER_BODY = {"properties": SHARED}
VERSION_BODY = {
    "properties": {
        **SHARED,
        **dict.fromkeys(("modelUri", "dataUri", "codeUri", "modelType", "dataType"), str),
        "isAnonymous": bool,
        "componentSpec": dict,
        "build": dict,
        **dict.fromkeys(("image", "osType", "condaFile"), str),
        "flavors": Each(dict),
    }
}
BARE_VERSION = "azureml_default"
SKIP_TOKEN = "$skipToken"
ListView = Callable[[Json], bool]


@dataclass(frozen=True)
class Home:
    """Where assets live: the key of their scope, and what their ids begin with.

    resource: `workspaces` or `registries`. account: the storage account's name in addresses of
    code, which the SDK finds a snapshot's container by; empty in a registry.
    """

    scope: str
    scope_id: str
    resource: str
    account: str = ""


def kind_of(request: Request) -> str:
    """Raises AzureError 404 for a kind that there is not."""
    kind = KINDS.get(request.params["kind"].lower())
    if kind is None:
        raise not_found(f"No assets of the kind {request.params['kind'][:80]!r}.")
    return kind


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


def wanted(request: Request) -> ListView:
    """The versions that a list asks for: by archive flag, stage and tags."""
    is_shown, stage = shown(request), request.query.get("stage")
    tags = [part.partition("=") for part in request.query.get("tags", "").split(",") if part]

    def keep(document: Json) -> bool:
        properties = document["properties"]
        own = properties.get("tags") or {}
        fits = all(key in own and (not sign or str(own[key]) == value) for key, sign, value in tags)
        return is_shown(document) and fits and stage in (None, "", properties.get("stage"))

    return keep


def page(emulator: Emulator, request: Request, rows: list[Json]) -> Response:
    """One page of a list that is at hand as a whole."""
    begin = whole_number(request, SKIP_TOKEN) or 0
    return page_of(emulator, request, ((str(i + 1), rows[i]) for i in range(begin, len(rows))))


def page_of(
    emulator: Emulator, request: Request, rows: Iterable[tuple[str, Json]], most: int | None = None
) -> Response:
    """The first rows of a list, with nextLink when there are more.

    rows: (what a next page goes on behind, row). most: $top, which ends the whole list.
    """
    if most is not None:
        return Response(body={"value": [row for _, row in islice(rows, most)]})
    taken = list(islice(rows, PAGE + 1))
    body: Json = {"value": [row for _, row in taken[:PAGE]]}
    if len(taken) > PAGE:
        kept = {k: v for k, v in request.query.items() if k != SKIP_TOKEN.lower()}
        query = urlencode({**kept, SKIP_TOKEN: taken[PAGE - 1][0]})
        body["nextLink"] = f"{emulator.addresses.arm}{request.path}?{query}"
    return Response(body=body)


def list_versions(emulator: Emulator, request: Request, home: Home) -> Response:
    """An unknown name is an empty list, not a 404: the client creates and shares by that."""
    kind, keep = kind_of(request), wanted(request)
    after = whole_number(request, SKIP_TOKEN)
    newest_first = "desc" in request.query.get("$orderby", "").lower()
    found = emulator.assets.scan(
        kind, home.scope, request.params["name"], newest_first=newest_first, after=after
    )
    rows = (
        (str(place), rest(emulator, request, home, each)) for place, each in found if keep(each)
    )
    return page_of(emulator, request, rows, whole_number(request, "$top"))


def whole_number(request: Request, name: str) -> int | None:
    """A number of the query; None without one. Raises AzureError 400."""
    text = request.query.get(name.lower(), "")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise bad_request(f"{name} must be a whole number.")
    return int(text) if text else None


def list_containers(emulator: Emulator, request: Request, home: Home) -> Response:
    kind, keep = kind_of(request), shown(request)

    def rows() -> Iterable[tuple[str, Json]]:
        after = request.query.get(SKIP_TOKEN.lower(), "")
        names = emulator.assets.names(kind, home.scope, after)
        if kind == "environment" and home.scope == curated.SCOPE:
            names = (each for each in curated.NAMES if each > after)
        for name in names:
            found = emulator.assets.container(kind, home.scope, name)
            if found and keep(found):
                yield name, container_rest(request, home, found)

    return page_of(emulator, request, rows())


def get_container(emulator: Emulator, request: Request, home: Home) -> Response:
    name = request.params["name"]
    found = emulator.assets.container(kind_of(request), home.scope, name)
    if found is None:
        raise not_found(f"{request.params['kind']} {name[:255]!r} was not found.")
    return Response(body=container_rest(request, home, found))


def put_container(emulator: Emulator, request: Request, home: Home) -> Response:
    kind, name = kind_of(request), request.params["name"]
    if problem := misnamed(name, "1"):
        raise bad_request(problem, "ValidationError")
    properties = request.json().get("properties") or {}
    if not isinstance(properties, dict):
        raise bad_request("properties must be an object.")
    kept = {k: v for k, v in properties.items() if k not in {"latestVersion", "nextVersion"}}
    emulator.assets.put_container(kind, home.scope, name, kept)
    found = emulator.assets.container(kind, home.scope, name) or {}
    return Response(body=container_rest(request, home, found))


def delete_container(emulator: Emulator, request: Request, home: Home) -> bool:
    return emulator.assets.delete_container(kind_of(request), home.scope, request.params["name"])


def rest(emulator: Emulator, request: Request, home: Home, document: Json) -> Json:
    """A stored version as Azure shows it, with addresses of today."""
    kind_path = request.params["kind"]
    kind = KINDS[kind_path.lower()]
    properties = dict(document["properties"])
    account = home.account if kind == "code" else ""
    key = URI_KEY.get(kind)
    if key and properties.get(key):
        properties[key] = emulator.blobs.present(str(properties[key]), account)
    build = properties.get("build")
    if kind == "environment" and isinstance(build, dict) and build.get("contextUri"):
        uri = emulator.blobs.present(str(build["contextUri"]))
        properties["build"] = {**build, "contextUri": uri}
    name, version = document["name"], document["version"]
    spec = properties.get("componentSpec")
    if kind == "component" and isinstance(spec, dict) and not spec.get("version"):
        properties["componentSpec"] = {**spec, "version": version}
    return {
        "id": f"{home.scope_id}/{kind_path}/{name}/versions/{version}",
        "name": version,
        "type": f"Microsoft.MachineLearningServices/{home.resource}/{kind_path}/versions",
        "properties": {"provisioningState": "Succeeded", **properties},
        "systemData": document["systemData"],
    }


def container_rest(request: Request, home: Home, container: Json) -> Json:
    kind_path = request.params["kind"]
    return {
        "id": f"{home.scope_id}/{kind_path}/{container['name']}",
        "name": container["name"],
        "type": f"Microsoft.MachineLearningServices/{home.resource}/{kind_path}",
        "properties": {"provisioningState": "Succeeded", **container["properties"]},
        "systemData": {},
    }


def get_version(emulator: Emulator, request: Request, home: Home) -> Response:
    """The version of the path. Raises AzureError 404. A bare version name means the newest."""
    key = key_of(request, home.scope)
    version = key.version
    if version == BARE_VERSION:
        container = emulator.assets.container(key.kind, home.scope, key.name)
        version = container["properties"]["latestVersion"] if container else version
    document = emulator.assets.get(key.kind, home.scope, key.name, version or "")
    if document is None:
        raise not_found(f"{key.kind.capitalize()} {key.name[:255]}:{version} was not found.")
    body = rest(emulator, request, home, document)
    if key.version == BARE_VERSION:
        body["id"] = f"{body['id'].rpartition('/versions/')[0]}/labels/default"
    return Response(body=body)


def put_version(emulator: Emulator, request: Request, home: Home) -> Response:
    key = key_of(request, home.scope)
    properties = request.json().get("properties")
    if not isinstance(properties, dict):
        raise bad_request("The body has no properties.")
    try:
        document, created = upsert(emulator, key, properties)
    except Unresolved as error:
        raise bad_request(str(error), "UserError") from error
    return Response(201 if created else 200, rest(emulator, request, home, document))


def upsert(emulator: Emulator, key: Key, properties: Json) -> tuple[Json, bool]:
    """Create, or change what is mutable. Raises AzureError 409 when the content would change.

    An anonymous version is named by its content: it stays as it is.
    """
    properties = as_told(key.kind, properties)
    key = own_key(emulator, key, properties)
    present = emulator.assets.get(key.kind, key.scope, key.name, key.version)
    if present is None:
        problem = misnamed(key.name, key.version) or malformed(key.kind, properties)
        if problem:
            raise bad_request(problem, "ValidationError")
        try:
            return emulator.assets.create(key, properties), True
        except AlreadyExists as error:
            raise conflict(f"{key.kind} {key.name}:{key.version} already exists.") from error
    if present["properties"].get("isAnonymous") and properties.get("isAnonymous"):
        return present, False
    if present["properties"].get("environmentType") == "Curated":
        raise AzureError(403, "Forbidden", f"{key.name} is a curated environment: read only.")
    new = emulator.assets.settled(key.kind, key.scope, merged_types(present, properties))
    if part := changed_content(key.kind, as_told(key.kind, present["properties"]), new):
        raise conflict(
            f"{key.kind.capitalize()} {key.name}:{key.version} exists with another {part}; "
            "a version's content cannot be changed: use a new name or version.",
            "UserError",
        )
    return emulator.assets.replace(key, new), False


def as_told(kind: str, properties: Json) -> Json:
    """Properties as Azure tells them; what an older emulator stored may be as it was sent."""
    spec = properties.get("componentSpec")
    if kind != "component" or not isinstance(spec, dict):
        return properties
    return {**properties, "componentSpec": whole_spec(spec)}


def own_key(emulator: Emulator, key: Key, properties: Json) -> Key:
    """A nameless component is not given another's version, though the client may ask for it."""
    if key.kind != "component" or not properties.get("isAnonymous"):
        return key
    present = emulator.assets.get(key.kind, key.scope, key.name, key.version)
    told = as_told(key.kind, present["properties"]) if present else properties
    if told.get("componentSpec") == properties.get("componentSpec"):
        return key
    return replace(key, version=version_of_spec(properties.get("componentSpec")))


def merged_types(present: Json, properties: Json) -> Json:
    """What is sent, with the type that says whether its address is that of a folder."""
    kind = present["properties"].get("dataType")
    return {"dataType": kind, **properties} if kind else properties
