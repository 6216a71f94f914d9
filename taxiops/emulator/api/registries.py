"""Registries: discovery, ARM document, and the registry's own data plane."""

import shutil
import uuid

from taxiops.emulator.api import versions
from taxiops.emulator.api.assets import prepared, upsert
from taxiops.emulator.api.operations import accepted
from taxiops.emulator.api.wire import (
    REGISTRY,
    Json,
    Request,
    Response,
    Routes,
    bad_request,
    conflict,
    not_found,
)
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets import KINDS, URI_KEY, AlreadyExists, Key

routes = Routes()
ARM_REGISTRY = REGISTRY.removeprefix("/mferp/managementfrontend")
ASSET = "/{kind}"


def read_registry(emulator: Emulator, name: str) -> Json:
    """The stored registry of that name. Raises AzureError 404."""
    for stored in emulator.store.all("registry"):
        if stored["name"].lower() == name.lower():
            return stored
    raise not_found(f"Registry '{name}' was not found.")


@routes.add("GET", "/registrymanagement/v1.0/registries/{registry}/discovery")
def discovery(emulator: Emulator, request: Request) -> Response:
    stored = read_registry(emulator, request.params["registry"])
    body = {
        "registryName": stored["name"],
        "primaryRegionResourceProviderUri": emulator.addresses.arm + "/",
        "resourceGroup": stored["resource_group"],
        "subscriptionId": stored["subscription"],
        "primaryRegion": stored["location"],
    }
    return Response(body=body)


@routes.add("GET", ARM_REGISTRY)
def get(emulator: Emulator, request: Request) -> Response:
    stored = read_registry(emulator, request.params["registry"])
    body = {
        "id": stored["id"],
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/registries",
        "location": stored["location"],
        "tags": {},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "discoveryUrl": emulator.addresses.arm
            + f"/registrymanagement/v1.0/registries/{stored['name']}/discovery",
            "publicNetworkAccess": "Disabled",
            "regionDetails": [],
        },
    }
    return Response(body=body)


def scope_of(emulator: Emulator, request: Request) -> tuple[str, str]:
    """(key of the registry's assets, what their ids begin with)."""
    stored = read_registry(emulator, request.params["registry"])
    return stored["scope"], f"azureml://registries/{stored['name']}"


@routes.add("PUT", REGISTRY + "/tempdatarefs/{name}/versions/{version}")
def temporary_reference(emulator: Emulator, request: Request) -> Response:
    """Where to upload a new version: a container of its own."""
    scope_of(emulator, request)
    container = f"reg-{uuid.uuid4()}"
    emulator.blobs.create_container(container)
    sas = emulator.blobs.sas_url(container, permissions="rwdlc")
    return Response(body=reference(emulator.blobs.url(container), sas))


@routes.add("POST", REGISTRY + "/datarefs/{name}/versions/{version}")
def data_reference(emulator: Emulator, request: Request) -> Response:
    """A signed URL to read what a version's own URI points to."""
    scope, _ = scope_of(emulator, request)
    uri = str(request.json().get("blobUri", ""))
    located = emulator.blobs.locate(uri)
    name, version = request.params["name"], request.params["version"]
    kinds = ("model", "data", "environment", "component", "code")
    found = (emulator.assets.get(kind, scope, name, version) for kind in kinds)
    uris = {
        document["properties"].get(URI_KEY.get(kind, ""))
        for kind, document in zip(kinds, found, strict=True)
        if document
    }
    if located is None or uri not in uris:
        raise not_found(f"{name}:{version} has no content at that address.")
    return Response(body=reference(uri, emulator.blobs.sas_url(located[0])))


def reference(uri: str, sas: str) -> Json:
    credential = {"credentialType": "SAS", "sasUri": sas}
    return {
        "blobReferenceForConsumption": {
            "blobUri": uri,
            "storageAccountArmId": "",
            "credential": credential,
        }
    }


@routes.add("GET", REGISTRY + ASSET)
def list_containers(emulator: Emulator, request: Request) -> Response:
    scope, scope_id = scope_of(emulator, request)
    kind = known_kind(request)
    found = [
        emulator.assets.container(kind, scope, name) for name in emulator.assets.names(kind, scope)
    ]
    keep = versions.shown(request)
    rows = [
        versions.container_rest(scope_id, request.params["kind"], each)
        for each in found
        if each and keep(each)
    ]
    return versions.page(emulator, request, rows)


def known_kind(request: Request) -> str:
    if request.params["kind"].lower() not in KINDS:
        raise not_found(f"No assets of the kind {request.params['kind']!r}.")
    return versions.kind_of(request)


@routes.add("GET", REGISTRY + ASSET + "/{name}")
def get_container(emulator: Emulator, request: Request) -> Response:
    scope, scope_id = scope_of(emulator, request)
    found = emulator.assets.container(known_kind(request), scope, request.params["name"])
    if found is None:
        raise not_found(f"{request.params['kind']} {request.params['name']} was not found.")
    return Response(body=versions.container_rest(scope_id, request.params["kind"], found))


@routes.add("PUT", REGISTRY + ASSET + "/{name}")
def put_container(emulator: Emulator, request: Request) -> Response:
    scope, scope_id = scope_of(emulator, request)
    kind, name = known_kind(request), request.params["name"]
    properties = request.json().get("properties") or {}
    kept = {k: v for k, v in properties.items() if k not in {"latestVersion", "nextVersion"}}
    emulator.assets.put_container(kind, scope, name, kept)
    found = emulator.assets.container(kind, scope, name) or {}
    return Response(body=versions.container_rest(scope_id, request.params["kind"], found))


@routes.add("GET", REGISTRY + ASSET + "/{name}/versions")
def list_versions(emulator: Emulator, request: Request) -> Response:
    """An unknown name is an empty list, not a 404: the client creates and shares by that."""
    scope, scope_id = scope_of(emulator, request)
    keep = versions.shown(request)
    documents = emulator.assets.versions(known_kind(request), scope, request.params["name"])
    ordered = versions.sorted_versions(request, [each for each in documents if keep(each)])
    rows = [versions.rest(scope_id, request.params["kind"], each) for each in ordered]
    return versions.page(emulator, request, rows)


@routes.add("GET", REGISTRY + ASSET + "/{name}/versions/{version}")
def get_version(emulator: Emulator, request: Request) -> Response:
    scope, scope_id = scope_of(emulator, request)
    known_kind(request)
    document = versions.read_version(emulator, request, scope)
    return Response(body=versions.rest(scope_id, request.params["kind"], document))


@routes.add("PUT", REGISTRY + ASSET + "/{name}/versions/{version}")
def put_version(emulator: Emulator, request: Request) -> Response:
    scope, scope_id = scope_of(emulator, request)
    known_kind(request)
    key = versions.key_of(request, scope)
    properties = request.json().get("properties")
    if not isinstance(properties, dict):
        raise bad_request("The body has no properties.")
    uri = URI_KEY.get(key.kind)
    if uri and isinstance(properties.get(uri), str):
        properties = {**properties, uri: properties[uri].partition("?")[0]}
    document, created = upsert(emulator, key, prepared(key.kind, properties))
    body = versions.rest(scope_id, request.params["kind"], document)
    return Response(201 if created else 200, body)


@routes.add("DELETE", REGISTRY + ASSET + "/{name}/versions/{version}")
@routes.add("DELETE", ARM_REGISTRY + ASSET + "/{name}/versions/{version}")
def delete_version(emulator: Emulator, request: Request) -> Response:
    scope, _ = scope_of(emulator, request)
    known_kind(request)
    if not emulator.assets.delete(versions.key_of(request, scope)):
        return Response(204)
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


@routes.add("POST", REGISTRY + "/import")
def import_asset(emulator: Emulator, request: Request) -> Response:
    """Copy a workspace model's bytes; its tags stay behind, as the request carries none."""
    scope, _ = scope_of(emulator, request)
    properties = request.json().get("properties") or {}
    source = emulator.assets.find(str(properties.get("sourceAssetId", "")), scope, "model")
    name = str(properties.get("destinationName") or source.name)
    version = str(properties.get("destinationVersion") or source.version)
    document = emulator.assets.get(source.kind, source.scope, source.name, source.version) or {}
    container = f"reg-{uuid.uuid4()}"
    emulator.blobs.create_container(container)
    path = emulator.assets.resolve(document["properties"][URI_KEY[source.kind]], source.scope)
    target = emulator.blobs.path(container, path.name)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy2(path, target)
    copied = {"flavors", "modelType", "dataType", "description"}
    kept = {k: v for k, v in document["properties"].items() if k in copied}
    kept[URI_KEY[source.kind]] = emulator.blobs.url(container, path.name)
    kept |= {"tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False}
    try:
        emulator.assets.create(Key(source.kind, scope, name, version), kept)
    except AlreadyExists as error:
        raise conflict(f"{source.kind} {name}:{version} already exists in the registry.") from error
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)
