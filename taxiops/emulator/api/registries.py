"""Registries: discovery, ARM document, and the registry's own data plane."""

import shutil
import uuid
from collections.abc import Callable

from taxiops.emulator.api import versions
from taxiops.emulator.api.operations import accepted
from taxiops.emulator.api.shapes import Each
from taxiops.emulator.api.wire import (
    REGISTRY,
    AzureError,
    Handler,
    Json,
    Request,
    Response,
    Routes,
    bad_request,
    conflict,
    not_found,
)
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets import curated
from taxiops.emulator.state.assets.asset_rules import misnamed
from taxiops.emulator.state.assets.assets import AlreadyExists, Key, Unresolved
from taxiops.emulator.state.assets.references import URI_KEY

routes = Routes()
ARM_REGISTRY = REGISTRY.removeprefix("/mferp/managementfrontend")
ASSET = "/{kind}"
# What of a shared asset goes with it.
SHARED = {
    "model": frozenset({"modelUri", "flavors", "modelType", "description"}),
    "data": frozenset({"dataUri", "dataType", "description"}),
    "environment": frozenset({"image", "condaFile", "build", "osType", "description"}),
}


def read_registry(emulator: Emulator, name: str) -> Json:
    """The stored registry of that name, Microsoft's public one included. Raises AzureError 404."""
    if name.lower() == curated.REGISTRY:
        return curated.STORED
    for stored in emulator.store.all("registry"):
        if stored["name"].lower() == name.lower():
            return stored
    raise not_found(f"Registry {name[:80]!r} was not found.")


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
    return Response(body=arm_rest(emulator, read_registry(emulator, request.params["registry"])))


def arm_rest(emulator: Emulator, stored: Json) -> Json:
    """A registry as a resource of the control plane."""
    return {
        "id": stored["id"],
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/registries",
        "location": stored["location"],
        "tags": stored.get("tags") or {},
        "identity": {"type": "SystemAssigned", "tenantId": emulator.identity.tenant_id},
        "properties": {
            "discoveryUrl": emulator.addresses.arm
            + f"/registrymanagement/v1.0/registries/{stored['name']}/discovery",
            "publicNetworkAccess": "Disabled",
            "regionDetails": stored.get("regions") or [],
            "provisioningState": "Succeeded",
        },
    }


def home_of(emulator: Emulator, request: Request) -> versions.Home:
    """Raises AzureError 404 for a registry, or for a part of Microsoft's, that there is not."""
    stored = read_registry(emulator, request.params["registry"])
    kind = request.params.get("kind", "environments").lower()
    if stored["name"] == curated.REGISTRY and kind != "environments":
        raise not_found(
            f"Of Microsoft's registry {curated.REGISTRY!r} the emulator has the curated "
            f"environments, not its {kind[:40]}: register your own, or use Azure.",
            "RegistryAssetNotEmulated",
        )
    return versions.Home(stored["scope"], f"azureml://registries/{stored['name']}", "registries")


def writable_home(emulator: Emulator, request: Request) -> versions.Home:
    """Raises AzureError 403 for Microsoft's registry."""
    home = home_of(emulator, request)
    if home.scope == curated.SCOPE:
        raise AzureError(403, "Forbidden", f"The registry {curated.REGISTRY!r} is read only.")
    return home


def add(method: str, template: str, body: object = None) -> Callable[[Handler], Handler]:
    """Register a handler on the registry's own data plane and on ARM."""

    def register(handler: Handler) -> Handler:
        for base in (REGISTRY, ARM_REGISTRY):
            routes.add(method, base + ASSET + template, body=body)(handler)
        return handler

    return register


@routes.add("PUT", REGISTRY + "/tempdatarefs/{name}/versions/{version}")
def temporary_reference(emulator: Emulator, request: Request) -> Response:
    """Where to upload a new version: a container of its own."""
    writable_home(emulator, request)
    container = f"reg-{uuid.uuid4()}"
    emulator.blobs.create_container(container)
    sas = emulator.blobs.sas_url(container, permissions="rwdlc")
    return Response(body=reference(emulator.blobs.url(container), sas))


@routes.add("POST", REGISTRY + "/datarefs/{name}/versions/{version}")
def data_reference(emulator: Emulator, request: Request) -> Response:
    """A signed URL to read what a version's own URI points to."""
    scope = home_of(emulator, request).scope
    uri = str(request.json().get("blobUri", ""))
    located = emulator.blobs.locate(uri)
    name, version = request.params["name"], request.params["version"]
    found = (
        (key, emulator.assets.get(kind, scope, name, version)) for kind, key in URI_KEY.items()
    )
    uris = {document["properties"].get(key) for key, document in found if document}
    if located is None or not uris & {uri, emulator.blobs.lasting(uri)}:
        raise not_found(f"{name[:255]}:{version[:80]} has no content at that address.")
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


@add("GET", "")
def list_containers(emulator: Emulator, request: Request) -> Response:
    return versions.list_containers(emulator, request, home_of(emulator, request))


@add("GET", "/{name}")
def get_container(emulator: Emulator, request: Request) -> Response:
    return versions.get_container(emulator, request, home_of(emulator, request))


@add("PUT", "/{name}", versions.CONTAINER_BODY)
def put_container(emulator: Emulator, request: Request) -> Response:
    return versions.put_container(emulator, request, writable_home(emulator, request))


@add("DELETE", "/{name}")
def delete_container(emulator: Emulator, request: Request) -> Response:
    home = writable_home(emulator, request)
    return deleted(emulator, versions.delete_container(emulator, request, home))


@add("GET", "/{name}/versions")
def list_versions(emulator: Emulator, request: Request) -> Response:
    return versions.list_versions(emulator, request, home_of(emulator, request))


@add("GET", "/{name}/versions/{version}")
def get_version(emulator: Emulator, request: Request) -> Response:
    return versions.get_version(emulator, request, home_of(emulator, request))


@add("PUT", "/{name}/versions/{version}", versions.VERSION_BODY)
def put_version(emulator: Emulator, request: Request) -> Response:
    return versions.put_version(emulator, request, writable_home(emulator, request))


@add("DELETE", "/{name}/versions/{version}")
def delete_version(emulator: Emulator, request: Request) -> Response:
    home = writable_home(emulator, request)
    return deleted(emulator, emulator.assets.delete(versions.key_of(request, home.scope)))


def deleted(emulator: Emulator, was_there: bool) -> Response:
    if not was_there:
        return Response(204)
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


@routes.add("POST", REGISTRY + "/import", body={"properties": Each(str)})
def import_asset(emulator: Emulator, request: Request) -> Response:
    """Copy a workspace's asset, bytes included; tags stay behind, as the request carries none."""
    scope = writable_home(emulator, request).scope
    properties = request.json().get("properties") or {}
    source = emulator.assets.find(str(properties.get("sourceAssetId", "")), scope, "model")
    if source.kind not in SHARED:
        raise bad_request(
            f"A {source.kind} cannot be shared, as it refers to what its workspace holds; "
            "create it in the registry."
        )
    name = str(properties.get("destinationName") or source.name)
    version = str(properties.get("destinationVersion") or source.version)
    if problem := misnamed(name, version):
        raise bad_request(problem, "ValidationError")
    document = emulator.assets.get(source.kind, source.scope, source.name, source.version) or {}
    kept = {k: v for k, v in document["properties"].items() if k in SHARED[source.kind]}
    try:
        emulator.assets.create(
            Key(source.kind, scope, name, version), copied(emulator, source, kept)
        )
    except AlreadyExists as error:
        raise conflict(f"{source.kind} {name}:{version} already exists in the registry.") from error
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


def copied(emulator: Emulator, source: Key, properties: Json) -> Json:
    """The properties with the content they point to in a container of the registry's."""
    if key := URI_KEY.get(source.kind):
        return {**properties, key: copied_content(emulator, str(properties[key]), source)}
    build = properties.get("build")
    if not isinstance(build, dict):
        return properties
    uri = copied_content(emulator, str(build["contextUri"]), source)
    return {**properties, "build": {**build, "contextUri": uri}}


def copied_content(emulator: Emulator, uri: str, source: Key) -> str:
    """The address of a copy of what is there. Raises Unresolved when nothing is."""
    path = emulator.assets.resolve(uri, source.scope)
    if not path.exists():
        raise Unresolved(f"{source.name}:{source.version} has no content at {uri}.")
    container = f"reg-{uuid.uuid4()}"
    emulator.blobs.create_container(container)
    target = emulator.blobs.path(container, path.name)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy2(path, target)
    return emulator.blobs.url(container, path.name)
