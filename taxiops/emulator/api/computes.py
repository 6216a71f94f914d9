"""Computes of a workspace: enough for jobs to name one."""

from taxiops.emulator.api.wire import WORKSPACE, Json, Request, Response, Routes, not_found
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator

routes = Routes()


@routes.add("GET", WORKSPACE + "/computes")
def list_computes(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    stored = emulator.store.all("compute", request.workspace_scope)
    return Response(body={"value": [rest(workspace, each) for each in stored]})


@routes.add("GET", WORKSPACE + "/computes/{name}")
def get(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    name = request.params["name"]
    stored = emulator.store.get("compute", request.workspace_scope, name.lower())
    if stored is None:
        raise not_found(f"Compute with name '{name}' was not found.", "ComputeNotFound")
    return Response(body=rest(workspace, stored))


def rest(workspace: Json, stored: Json) -> Json:
    inner = {
        "osType": "Linux",
        "vmSize": "STANDARD_DS3_V2",
        "vmPriority": "Dedicated",
        "scaleSettings": {
            "minNodeCount": 0,
            "maxNodeCount": 1,
            "nodeIdleTimeBeforeScaleDown": "PT120S",
        },
        "remoteLoginPortPublicAccess": "Disabled",
        "allocationState": "Steady",
    }
    return {
        "id": f"{workspace['id']}/computes/{stored['name']}",
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": workspace["location"],
        "properties": {
            "computeType": "AmlCompute",
            "provisioningState": "Succeeded",
            "computeLocation": workspace["location"],
            "properties": inner,
        },
    }
