"""What the caller may do: everything, because the emulator knows one account."""

from taxiops.emulator.api.registries import ARM_REGISTRY, read_registry
from taxiops.emulator.api.wire import WORKSPACE, Request, Response, Routes
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator

routes = Routes()
# learn.microsoft.com/rest/api/authorization/permissions/list-for-resource
PATH = "/providers/Microsoft.Authorization/permissions"
EVERYTHING = {"actions": ["*"], "notActions": [], "dataActions": ["*"], "notDataActions": []}


@routes.add("GET", WORKSPACE + PATH)
def on_workspace(emulator: Emulator, request: Request) -> Response:
    read_workspace(emulator, request)
    return Response(body={"value": [EVERYTHING]})


@routes.add("GET", ARM_REGISTRY + PATH)
def on_registry(emulator: Emulator, request: Request) -> Response:
    read_registry(emulator, request.params["registry"])
    return Response(body={"value": [EVERYTHING]})
