"""The emulator's own routes, which Azure does not have: health and seeding."""

import re
import uuid
from typing import Any

from taxiops.emulator.api.wire import AzureError, Json, Request, Response, Routes, bad_request
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import same

routes = Routes()
KEY_HEADER = "x-emulator-key"
NEEDED = ("subscription", "resource_group", "name")
SEEDED_NAME = re.compile(r"(?!\.+$)[\w.()-]{1,90}")
NAMED = dict.fromkeys(("subscription", "resource_group", "name", "location"), str)
SEED_BODY = {"workspaces": [{**NAMED, "computes": [str]}], "registries": [NAMED]}


def check_key(emulator: Emulator, request: Request) -> None:
    if not same(request.headers.get(KEY_HEADER, ""), emulator.identity.client_secret):
        raise AzureError(
            403, "Forbidden", f"The header {KEY_HEADER} does not hold the emulator's key."
        )


@routes.add("GET", "/_emulator/health", is_anonymous=True)
def health(_emulator: Emulator, _request: Request) -> Response:
    return Response(body={"status": "running"})


@routes.add("POST", "/_emulator/seed", is_anonymous=True, body=SEED_BODY)
def seed(emulator: Emulator, request: Request) -> Response:
    """Make the named workspaces and registries where they are missing; changes nothing else."""
    check_key(emulator, request)
    document = request.json()
    workspaces, registries = document.get("workspaces") or [], document.get("registries") or []
    for each in [*workspaces, *registries]:
        for field in NEEDED:
            if not SEEDED_NAME.fullmatch(each.get(field) or ""):
                raise bad_request(f"The seed names no {field} that can be one.")
    with emulator.store.transaction():
        for workspace in workspaces:
            seed_workspace(emulator, workspace)
        for registry in registries:
            seed_registry(emulator, registry)
    return Response(body={"seeded": True})


def resource_id(kind: str, document: Json) -> str:
    return (
        f"/subscriptions/{document['subscription']}/resourceGroups/{document['resource_group']}"
        f"/providers/Microsoft.MachineLearningServices/{kind}/{document['name']}"
    )


def seed_workspace(emulator: Emulator, document: dict[str, Any]) -> None:
    identifier = resource_id("workspaces", document)
    scope = identifier.lower()
    store = emulator.store
    with store.transaction():
        if store.get("workspace", scope, "") is None:
            guid = str(uuid.uuid4())
            stored = {"id": identifier, "scope": scope, "name": document["name"], "guid": guid}
            stored["location"] = document.get("location") or "canadacentral"
            stored["container"] = f"azureml-blobstore-{guid}"
            store.put("workspace", scope, "", stored)
            for row in own_datastores(guid):
                emulator.blobs.create_container(row["container"])
                store.put("datastore", scope, row["name"], row)
        for compute in document.get("computes") or []:
            store.put("compute", scope, compute.lower(), {"name": compute})


def own_datastores(guid: str) -> list[Json]:
    """Those that Azure makes with a workspace: two containers of blobs, two shares of files."""
    containers = {
        "workspaceblobstore": f"azureml-blobstore-{guid}",
        "workspaceartifactstore": f"azureml-{guid}",
        "workspacefilestore": f"azureml-filestore-{guid}",
        "workspaceworkingdirectory": f"code-{guid}",
    }
    shares = ("workspacefilestore", "workspaceworkingdirectory")
    return [
        {"name": name, "container": container, "is_default": not number, "is_share": name in shares}
        for number, (name, container) in enumerate(containers.items())
    ]


def seed_registry(emulator: Emulator, document: dict[str, Any]) -> None:
    identifier = resource_id("registries", document)
    scope = identifier.lower()
    with emulator.store.transaction():
        if emulator.store.get("registry", scope, "") is None:
            stored = {
                "id": identifier,
                "scope": scope,
                "name": document["name"],
                "guid": str(uuid.uuid4()),
                "subscription": document["subscription"],
                "resource_group": document["resource_group"],
                "location": document.get("location") or "canadacentral",
            }
            emulator.store.put("registry", scope, "", stored)
