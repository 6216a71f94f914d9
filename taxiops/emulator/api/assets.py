"""Models, data, environments, components and codes of a workspace."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from taxiops.emulator.api import versions
from taxiops.emulator.api.wire import WORKSPACE, Handler, Request, Response, Routes
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets.assets import DEFAULT_DATASTORE
from taxiops.emulator.state.assets.references import KINDS
from taxiops.emulator.state.storage.blobs import ACCOUNT_LETTERS

routes = Routes()


def home_of(emulator: Emulator, request: Request) -> versions.Home:
    """Raises AzureError 404 for a workspace that there is not."""
    workspace = read_workspace(emulator, request)
    account = str(workspace["name"]).lower()
    return versions.Home(
        request.workspace_scope, str(workspace["id"]), "workspaces", account=account
    )


def add(method: str, template: str, body: object = None) -> Callable[[Handler], Handler]:
    """Register a handler for every kind of asset; it finds the kind among the path parameters."""

    def register(handler: Handler) -> Handler:
        for kind in KINDS:
            path = f"{WORKSPACE}/{kind}{template}"
            routes.add(method, path, body=body)(with_kind(handler, kind))
        return handler

    return register


def with_kind(handler: Handler, kind: str) -> Handler:
    def bound(emulator: Emulator, request: Request) -> Response:
        return handler(emulator, replace(request, params={**request.params, "kind": kind}))

    return bound


@add("GET", "")
def list_containers(emulator: Emulator, request: Request) -> Response:
    return versions.list_containers(emulator, request, home_of(emulator, request))


@add("GET", "/{name}")
def get_container(emulator: Emulator, request: Request) -> Response:
    return versions.get_container(emulator, request, home_of(emulator, request))


@add("PUT", "/{name}", versions.CONTAINER_BODY)
def put_container(emulator: Emulator, request: Request) -> Response:
    return versions.put_container(emulator, request, home_of(emulator, request))


@add("DELETE", "/{name}")
def delete_container(emulator: Emulator, request: Request) -> Response:
    home = home_of(emulator, request)
    return Response(200 if versions.delete_container(emulator, request, home) else 204)


@add("GET", "/{name}/versions")
def list_versions(emulator: Emulator, request: Request) -> Response:
    home = home_of(emulator, request)
    if versions.kind_of(request) == "code" and request.query.get("hash"):
        return codes_by_hash(emulator, request, home)
    return versions.list_versions(emulator, request, home)


def codes_by_hash(emulator: Emulator, request: Request, home: versions.Home) -> Response:
    """Snapshots of the same content under any name, so that the client need not upload again."""

    def digest(document: dict[str, Any]) -> object:
        return (document["properties"].get("properties") or {}).get("hash_sha256")

    found = [
        versions.rest(emulator, request, home, each)
        for each in emulator.store.all("code", home.scope)
        if digest(each) == request.query["hash"]
    ]
    return Response(body={"value": found})


@add("GET", "/{name}/versions/{version}")
def get_version(emulator: Emulator, request: Request) -> Response:
    return versions.get_version(emulator, request, home_of(emulator, request))


@add("DELETE", "/{name}/versions/{version}")
def delete_version(emulator: Emulator, request: Request) -> Response:
    home = home_of(emulator, request)
    found = emulator.assets.delete(versions.key_of(request, home.scope))
    return Response(200 if found else 204)


@add("PUT", "/{name}/versions/{version}", versions.VERSION_BODY)
def put_version(emulator: Emulator, request: Request) -> Response:
    return versions.put_version(emulator, request, home_of(emulator, request))


@add("POST", "/{name}/versions/{version}/startPendingUpload")
def start_upload(emulator: Emulator, request: Request) -> Response:
    """A container of its own for a version's content."""
    home = home_of(emulator, request)
    store = emulator.store.get("datastore", home.scope, DEFAULT_DATASTORE) or {}
    container = f"{store['container'][:ACCOUNT_LETTERS]}-{uuid.uuid4().hex[:20]}"
    emulator.blobs.create_container(container)
    sas = emulator.blobs.sas_url(container, permissions="rwdlc")
    reference = {
        "blobUri": emulator.blobs.url(container),
        "storageAccountArmId": "",
        "credential": {"credentialType": "SAS", "sasUri": sas},
    }
    body = {
        "pendingUploadId": container,
        "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": reference,
    }
    return Response(body=body)
