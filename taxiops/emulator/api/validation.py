"""What Azure Resource Manager would say of a template, for the SDK's validation of components."""

from taxiops.emulator.api.wire import WORKSPACE, Json, Request, Response, Routes, not_found
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets.asset_rules import misnamed
from taxiops.emulator.state.assets.assets import Unresolved

routes = Routes()
COMPONENT = "microsoft.machinelearningservices/workspaces/components/versions"


@routes.add(
    "POST",
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.Resources/deployments/{workspace}/validate",
)
def validate(emulator: Emulator, request: Request) -> Response:
    """What is wrong with a template's components. 200 either way: the SDK gives up on a 400."""
    scope = WORKSPACE.format(**request.params).lower()
    if emulator.store.get("workspace", scope, "") is None:
        raise not_found(f"The workspace {request.params['workspace'][:80]!r} was not found.")
    template = field(field(request.json(), "properties"), "template")
    resources = template.get("resources")
    details = [
        problem
        for resource in (resources if isinstance(resources, list) else [])
        for problem in problems(emulator, scope, resource)
    ]
    if not details:
        succeeded = {"provisioningState": "Succeeded", "mode": "Incremental"}
        return Response(body={"name": request.params["workspace"], "properties": succeeded})
    code, message = "InvalidTemplateDeployment", "The template is not valid: see the details."
    return Response(body={"error": {"code": code, "message": message, "details": details}})


def field(document: object, name: str) -> Json:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def problems(emulator: Emulator, scope: str, resource: object) -> list[Json]:
    """Each as {code, message, target}; target: the path in the component, with slashes."""
    resource = resource if isinstance(resource, dict) else {}
    kind = str(resource.get("type")).lower()
    if kind != COMPONENT:
        return [said("type", f"Resources of the type {kind[:80]!r} are not emulated.")]
    spec = field(field(resource, "properties"), "componentSpec")
    _, name, version = (*str(resource.get("name")).split("/"), "", "", "")[:3]
    found = [said("name", wrong)] if (wrong := misnamed(name, version)) else []
    if spec.get("type") == "command" and not spec.get("command"):
        found.append(said("command", "A command component needs a command."))
    environment = spec.get("environment")
    if isinstance(environment, str):
        try:
            emulator.assets.find(environment, scope, "environment")
        except Unresolved as error:
            found.append(said("environment", str(error)))
    return found


def said(target: str, message: str) -> Json:
    return {"code": "UserError", "message": message, "target": target}
