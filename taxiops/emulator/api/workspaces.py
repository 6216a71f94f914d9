"""Workspaces and discovery."""

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
            "mlFlowTrackingUri": f"{arm}/mlflow/v1.0{stored['id']}",
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
