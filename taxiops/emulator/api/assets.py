"""Codes, data, environments and components of a workspace; models have a file of their own."""

import re
import uuid
from collections.abc import Callable
from dataclasses import replace

from taxiops.emulator.api import versions
from taxiops.emulator.api.wire import (
    WORKSPACE,
    Handler,
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
from taxiops.emulator.state.assets import (
    DEFAULT_DATASTORE,
    KINDS,
    URI_KEY,
    AlreadyExists,
    Key,
    Unresolved,
)

routes = Routes()
JOB_OUTPUT = re.compile(
    r"azureml://jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*))?"
)


def checked(emulator: Emulator, request: Request) -> str:
    """The ARM id of the workspace. Raises AzureError 404 for another workspace or kind."""
    workspace = read_workspace(emulator, request)
    return str(workspace["id"])


def add(method: str, template: str) -> Callable[[Handler], Handler]:
    """Register a handler for every kind of asset; it finds the kind among the path parameters."""

    def register(handler: Handler) -> Handler:
        for kind in KINDS:
            routes.add(method, f"{WORKSPACE}/{kind}{template}")(with_kind(handler, kind))
        return handler

    return register


def with_kind(handler: Handler, kind: str) -> Handler:
    def bound(emulator: Emulator, request: Request) -> Response:
        return handler(emulator, replace(request, params={**request.params, "kind": kind}))

    return bound


@add("GET", "")
def list_containers(emulator: Emulator, request: Request) -> Response:
    scope_id = checked(emulator, request)
    kind, scope = versions.kind_of(request), request.workspace_scope
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


@add("GET", "/{name}")
def get_container(emulator: Emulator, request: Request) -> Response:
    scope_id = checked(emulator, request)
    name = request.params["name"]
    found = emulator.assets.container(versions.kind_of(request), request.workspace_scope, name)
    if found is None:
        raise not_found(f"{request.params['kind']} {name} was not found.")
    return Response(body=versions.container_rest(scope_id, request.params["kind"], found))


@add("PUT", "/{name}")
def put_container(emulator: Emulator, request: Request) -> Response:
    scope_id = checked(emulator, request)
    kind, name = versions.kind_of(request), request.params["name"]
    properties = request.json().get("properties") or {}
    kept = {k: v for k, v in properties.items() if k not in {"latestVersion", "nextVersion"}}
    emulator.assets.put_container(kind, request.workspace_scope, name, kept)
    found = emulator.assets.container(kind, request.workspace_scope, name)
    return Response(body=versions.container_rest(scope_id, request.params["kind"], found or {}))


@add("GET", "/{name}/versions")
def list_versions(emulator: Emulator, request: Request) -> Response:
    scope_id = checked(emulator, request)
    kind, scope = versions.kind_of(request), request.workspace_scope
    if kind == "code" and request.query.get("hash"):
        documents = codes_by_hash(emulator, scope, request.query["hash"])
    else:
        documents = emulator.assets.versions(kind, scope, request.params["name"])
        keep = versions.shown(request)
        documents = [each for each in documents if keep(each)]
    ordered = versions.sorted_versions(request, documents)
    return versions.page(
        emulator,
        request,
        [versions.rest(scope_id, request.params["kind"], each) for each in ordered],
    )


def codes_by_hash(emulator: Emulator, scope: str, digest: str) -> list[Json]:
    """Snapshots of the same content under any name, so that the client need not upload again."""
    return [
        each
        for each in emulator.store.all("code", scope)
        if (each["properties"].get("properties") or {}).get("hash_sha256") == digest
    ]


@add("GET", "/{name}/versions/{version}")
def get_version(emulator: Emulator, request: Request) -> Response:
    scope_id = checked(emulator, request)
    document = versions.read_version(emulator, request, request.workspace_scope)
    return Response(body=versions.rest(scope_id, request.params["kind"], document))


@add("DELETE", "/{name}/versions/{version}")
def delete_version(emulator: Emulator, request: Request) -> Response:
    checked(emulator, request)
    found = emulator.assets.delete(versions.key_of(request, request.workspace_scope))
    return Response(200 if found else 204)


@add("PUT", "/{name}/versions/{version}")
def put_version(emulator: Emulator, request: Request) -> Response:
    scope_id = checked(emulator, request)
    key = versions.key_of(request, request.workspace_scope)
    properties = request.json().get("properties")
    if not isinstance(properties, dict):
        raise bad_request("The body has no properties.")
    properties = located(emulator, request, key.kind, prepared(key.kind, properties))
    document, created = upsert(emulator, key, properties)
    body = versions.rest(scope_id, request.params["kind"], document)
    return Response(201 if created else 200, body)


def prepared(kind: str, properties: Json) -> Json:
    """Fill what Azure fills; the client fails on a model without flavors."""
    if kind == "model":
        return {
            "flavors": {},
            **{k: v for k, v in properties.items() if v is not None or k != "flavors"},
        }
    return properties


# How MLflow names a path among a run's artifacts.
RUN_ARTIFACT = re.compile("^runs:/([^/]+)/(.+)$")


def located(emulator: Emulator, request: Request, kind: str, properties: Json) -> Json:
    """A job's output as the place in the datastore where it lies: what clients can download."""
    name = URI_KEY.get(kind, "")
    uri = RUN_ARTIFACT.sub(
        r"azureml://jobs/\1/outputs/artifacts/paths/\2", str(properties.get(name))
    )
    match = JOB_OUTPUT.fullmatch(uri)
    if match is None:
        return properties
    try:
        where = emulator.jobs.output_uri(
            request.workspace_scope, match["job"], match["output"], match["path"] or ""
        )
    except Unresolved as error:
        raise bad_request(str(error)) from error
    return {**properties, name: where}


def upsert(emulator: Emulator, key: Key, properties: Json) -> tuple[Json, bool]:
    """Create, or change what is mutable. Raises AzureError 409 when the content would change."""
    present = emulator.assets.get(key.kind, key.scope, key.name, key.version)
    if present is None:
        try:
            return emulator.assets.create(key, properties), True
        except AlreadyExists as error:
            raise conflict(f"{key.kind} {key.name}:{key.version} already exists.") from error
    uri = URI_KEY.get(key.kind)
    old = present["properties"]
    if uri and properties.get(uri) and old.get(uri) != properties[uri]:
        raise conflict(
            f"{key.kind.capitalize()} {key.name}:{key.version} exists with another path; "
            "a version's content cannot be changed.",
        )
    merged = {**old, **{k: v for k, v in properties.items() if v is not None}}
    return emulator.assets.replace(key, merged), False


@add("POST", "/{name}/versions/{version}/startPendingUpload")
def start_upload(emulator: Emulator, request: Request) -> Response:
    checked(emulator, request)
    store = emulator.store.get("datastore", request.workspace_scope, DEFAULT_DATASTORE) or {}
    container = f"{store['container'][:40]}-{uuid.uuid4().hex[:20]}"
    emulator.blobs.create_container(container)
    uri = emulator.blobs.url(container)
    sas = emulator.blobs.sas_url(container, permissions="rwdlc")
    reference = {
        "blobUri": uri,
        "storageAccountArmId": "",
        "credential": {"credentialType": "SAS", "sasUri": sas},
    }
    body = {
        "pendingUploadId": container,
        "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": reference,
    }
    return Response(body=body)
