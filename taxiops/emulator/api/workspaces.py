"""Workspaces, their datastores and discovery."""

from typing import Any

from taxiops.emulator.api.wire import WORKSPACE, Json, Request, Response, Routes, not_found
from taxiops.emulator.context import Emulator

routes = Routes()


def read_workspace(emulator: Emulator, request: Request) -> Json:
    """The stored workspace of the path. Raises AzureError 404."""
    stored = emulator.store.get("workspace", request.workspace_scope, "")
    if stored is None:
        raise not_found(
            f"The Resource 'Microsoft.MachineLearningServices/workspaces/"
            f"{request.params['workspace']}' under resource group '{request.params['group']}' "
            "was not found."
        )
    return stored


@routes.add("GET", WORKSPACE)
def get(emulator: Emulator, request: Request) -> Response:
    return Response(body=rest(emulator, read_workspace(emulator, request)))


@routes.add("GET", WORKSPACE.rpartition("/")[0])
def list_workspaces(emulator: Emulator, request: Request) -> Response:
    prefix = request.path.rstrip("/").lower() + "/"
    stored = [each for each in emulator.store.all("workspace") if each["scope"].startswith(prefix)]
    return Response(body={"value": [rest(emulator, each) for each in stored]})


def rest(emulator: Emulator, stored: Json) -> Json:
    arm = emulator.addresses.arm
    return {
        "id": stored["id"],
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": stored["location"],
        "tags": {},
        "identity": {"type": "SystemAssigned", "tenantId": emulator.identity.tenant_id},
        "properties": {
            "workspaceId": stored["guid"],
            "friendlyName": stored["name"],
            "discoveryUrl": f"{arm}/discovery",
            "mlFlowTrackingUri": f"azureml://127.0.0.1/mlflow/v1.0{stored['id']}",
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Disabled",
            "storageAccount": f"{stored['id']}/storage",
        },
    }


@routes.add("GET", "/discovery", is_anonymous=True)
def discovery(emulator: Emulator, _request: Request) -> Response:
    arm = emulator.addresses.arm
    names = ("api", "history", "experimentation", "mlflow", "pipelines", "modelmanagement")
    return Response(body=dict.fromkeys(names, arm))


@routes.add("GET", WORKSPACE + "/datastores")
def list_datastores(emulator: Emulator, request: Request) -> Response:
    read_workspace(emulator, request)
    stored = emulator.store.all("datastore", request.workspace_scope)
    if request.query.get("isdefault", "").lower() == "true":
        stored = [each for each in stored if each["is_default"]]
    return Response(body={"value": [datastore_rest(emulator, request, each) for each in stored]})


@routes.add("GET", WORKSPACE + "/datastores/{name}")
def get_datastore(emulator: Emulator, request: Request) -> Response:
    return Response(body=datastore_rest(emulator, request, read_datastore(emulator, request)))


@routes.add("POST", WORKSPACE + "/datastores/{name}/listSecrets")
def list_secrets(emulator: Emulator, request: Request) -> Response:
    stored = read_datastore(emulator, request)
    token = emulator.blobs.sas(stored["container"], "rwdlc")
    return Response(body={"secretsType": "Sas", "sasToken": token})


def read_datastore(emulator: Emulator, request: Request) -> Json:
    read_workspace(emulator, request)
    name = request.params["name"]
    stored = emulator.store.get("datastore", request.workspace_scope, name.lower())
    if stored is None:
        raise not_found(f"Datastore '{name}' was not found.")
    return stored


def datastore_rest(emulator: Emulator, request: Request, stored: Json) -> dict[str, Any]:
    workspace = read_workspace(emulator, request)
    host = emulator.addresses.blobs.removeprefix("https://")
    return {
        "id": f"{workspace['id']}/datastores/{stored['name']}",
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "datastoreType": "AzureBlob",
            "isDefault": stored["is_default"],
            "accountName": f"{host}/{workspace['name'].lower()}",
            "containerName": stored["container"],
            "endpoint": "local",
            "protocol": "https",
            "credentials": {"credentialsType": "Sas"},
            "tags": {},
            "properties": {},
            "serviceDataAccessAuthIdentity": "None",
        },
    }
