"""Datastores of a workspace: its own ones, and those that clients attach."""

import re
from typing import Any

from taxiops.emulator.api import versions
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

routes = Routes()
KIND = "datastore"
DATASTORE = WORKSPACE + "/datastores/{name}"
NAME = re.compile(r"[A-Za-z0-9_]{1,255}")
TYPES = frozenset({"AzureBlob", "AzureFile", "AzureDataLakeGen1", "AzureDataLakeGen2", "OneLake"})
WITHOUT_SECRET = "None"


@routes.add("GET", WORKSPACE + "/datastores")
def list_datastores(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    stored = emulator.store.all(KIND, request.workspace_scope)
    if request.query.get("isdefault", "").lower() == "true":
        stored = [each for each in stored if each["is_default"]]
    return versions.page(emulator, request, [rest(emulator, workspace, each) for each in stored])


@routes.add("GET", DATASTORE)
def get(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    return Response(body=rest(emulator, workspace, read_datastore(emulator, request)))


def read_datastore(emulator: Emulator, request: Request) -> Json:
    """Raises AzureError 404."""
    read_workspace(emulator, request)
    name = request.params["name"]
    stored = emulator.store.get(KIND, request.workspace_scope, name.lower())
    if stored is None:
        raise not_found(f"Datastore {name[:80]!r} was not found.")
    return stored


@routes.add("PUT", DATASTORE)
def put(emulator: Emulator, request: Request) -> Response:
    """Attach a storage that lies elsewhere: it is remembered, and never reached."""
    workspace = read_workspace(emulator, request)
    name, properties = request.params["name"], request.json().get("properties")
    if not NAME.fullmatch(name):
        raise bad_request(f"{name[:80]!r} is no name: letters, digits and '_'.", "ValidationError")
    if not isinstance(properties, dict) or str(properties.get("datastoreType")) not in TYPES:
        raise bad_request(f"datastoreType must be one of {', '.join(sorted(TYPES))}.")
    given = properties.get("credentials") or {"credentialsType": WITHOUT_SECRET}
    if not isinstance(given, dict):
        raise bad_request("credentials must be an object.")
    with emulator.store.transaction():
        present = emulator.store.get(KIND, request.workspace_scope, name.lower())
        if present and present.get("container"):
            raise conflict(f"The datastore {name!r} is the workspace's own.")
        secrets = given.get("secrets") or (present or {}).get("secrets")
        credentials = {key: value for key, value in given.items() if key != "secrets"}
        kept = {**properties, "credentials": credentials}
        document = {"name": name, "is_default": False, "attached": kept, "secrets": secrets}
        emulator.store.put(KIND, request.workspace_scope, name.lower(), document)
    return Response(200 if present else 201, rest(emulator, workspace, document))


@routes.add("DELETE", DATASTORE)
def delete(emulator: Emulator, request: Request) -> Response:
    """Forget an attached storage; the workspace's own ones stay."""
    read_workspace(emulator, request)
    name = request.params["name"].lower()
    with emulator.store.transaction():
        present = emulator.store.get(KIND, request.workspace_scope, name)
        if present and present.get("container"):
            raise conflict(f"The datastore {present['name']!r} is the workspace's own.")
        found = emulator.store.delete(KIND, request.workspace_scope, name)
    return Response(200 if found else 204)


@routes.add("POST", DATASTORE + "/listSecrets")
def list_secrets(emulator: Emulator, request: Request) -> Response:
    stored = read_datastore(emulator, request)
    if stored.get("container"):
        token = emulator.blobs.account_sas(stored["container"], "rwdlc")
        return Response(body={"secretsType": "Sas", "sasToken": token})
    if not stored.get("secrets"):
        raise bad_request(f"The datastore {stored['name']!r} has no credentials.", "UserError")
    kind = stored["attached"]["credentials"].get("credentialsType")
    return Response(body={"secretsType": kind, **stored["secrets"]})


def rest(emulator: Emulator, workspace: Json, stored: Json) -> dict[str, Any]:
    own = owned(emulator, workspace, stored) if stored.get("container") else attached(stored)
    return {
        "id": f"{workspace['id']}/datastores/{stored['name']}",
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "tags": {},
            "properties": {},
            "serviceDataAccessAuthIdentity": "None",
            **own,
            "isDefault": stored["is_default"],
        },
    }


def owned(emulator: Emulator, workspace: Json, stored: Json) -> Json:
    """The workspace's own: a container of blobs, or one that is told as a share of files."""
    is_share = stored.get("is_share")
    return {
        "datastoreType": "AzureFile" if is_share else "AzureBlob",
        "accountName": account_name(emulator, workspace),
        "fileShareName" if is_share else "containerName": stored["container"],
        "endpoint": "local",
        "protocol": "https",
        "credentials": {"credentialsType": "Sas"},
    }


def attached(stored: Json) -> Json:
    return {key: value for key, value in stored["attached"].items() if value is not None}


def account_name(emulator: Emulator, workspace: Json) -> str:
    """What makes the SDK's https://{account}.blob.local lead to the emulator's blob port."""
    host = emulator.addresses.blobs.removeprefix("https://")
    return f"{host}/{workspace['name'].lower()}"
