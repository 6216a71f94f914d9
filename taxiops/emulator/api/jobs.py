"""Jobs on the control plane: submit, read, list, cancel, delete."""

import json
import re

from taxiops.emulator.api import versions
from taxiops.emulator.api.operations import accepted
from taxiops.emulator.api.shapes import TEXTS, Each
from taxiops.emulator.api.wire import (
    WORKSPACE,
    AzureError,
    Json,
    Request,
    Response,
    Routes,
    bad_request,
    not_found,
)
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.jobs.bindings import KINDS as STEP_KINDS
from taxiops.emulator.state.jobs.bindings import not_emulated
from taxiops.emulator.state.jobs.graph import PARENT_INPUT
from taxiops.emulator.state.jobs.values import with_modes

routes = Routes()
NAME = re.compile(r"[a-zA-Z0-9][\w-]{0,254}", re.ASCII)
KINDS = frozenset({"Pipeline", "Command", "Sweep"})
TEXT_FIELDS = ("jobType", "displayName", "description", "experimentName", "computeId", "codeId")
JOB_BODY = {
    "properties": {
        **dict.fromkeys((*TEXT_FIELDS, "environmentId", "command"), str),
        "tags": TEXTS,
        "properties": TEXTS,
        "isArchived": bool,
        "environmentVariables": dict,
        "inputs": Each({"jobInputType": str, "uri": str}),
        "outputs": Each({"jobOutputType": str, "uri": str}, may_be_null=True),
        "settings": {"default_compute": str, "defaultCompute": str},
        "limits": dict,
        "jobs": Each(
            {
                **dict.fromkeys(("type", "name", "componentId", "computeId"), str),
                "inputs": Each(dict),
                "outputs": Each(dict, may_be_null=True),
                "environment_variables": dict,
                "limits": dict,
            }
        ),
    }
}


@routes.add("PUT", WORKSPACE + "/jobs/{name}", body=JOB_BODY)
def put(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    scope, name = request.workspace_scope, request.params["name"]
    properties = request.json().get("properties")
    if not isinstance(properties, dict):
        raise bad_request("The body has no properties.")
    present = emulator.jobs.get(scope, name)
    if present is not None:
        changes = {
            k: v
            for k, v in properties.items()
            if k in {"tags", "displayName", "description", "isArchived"}
        }
        document = emulator.jobs.update(
            scope, name, properties={**present["properties"], **changes}
        )
        return Response(200, rest(emulator, workspace, document))
    if properties.get("jobType") not in KINDS:
        raise bad_request(
            f"Jobs of the type {properties.get('jobType')!r} are not emulated, "
            f"only {sorted(KINDS)}."
        )
    check_shape(name, properties)
    check_kinds(properties)
    check_computes(emulator, request, properties)
    document = emulator.jobs.create(scope, name, with_origin(with_modes(properties)))
    return Response(201, rest(emulator, workspace, document))


def with_origin(properties: Json) -> Json:
    """With what Azure notes on a pipeline: where it came from, and its parameters."""
    if properties.get("jobType") != "Pipeline":
        return properties
    literals = {
        key: str(each.get("value"))
        for key, each in (properties.get("inputs") or {}).items()
        if each and str(each.get("jobInputType")).lower() == "literal"
    }
    noted = {
        "azureml.runsource": "azureml.PipelineRun",
        "runSource": "MFE",
        "runType": "HTTP",
        "azureml.parameters": json.dumps(literals),
    }
    return {**properties, "properties": {**noted, **(properties.get("properties") or {})}}


def check_shape(name: str, properties: Json) -> None:
    """Raises AzureError 400 for what no job can be."""
    if not NAME.fullmatch(name):
        raise bad_request(
            f"The job name {name[:80]!r} must begin with a letter or digit and have at most 255 "
            "letters, digits, '-' and '_'.",
            "ValidationError",
        )
    for key in ("inputs", "outputs", "jobs", "settings", "tags", "properties", "trial", "limits"):
        value = properties.get(key)
        if value is not None and not isinstance(value, dict):
            raise bad_request(f"properties.{key} must be an object.", "ValidationError")
    for key in ("inputs", "outputs", "jobs"):
        for member, value in (properties.get(key) or {}).items():
            if not isinstance(value, dict) and (value is not None or key == "jobs"):
                raise bad_request(
                    f"properties.{key}.{member} must be an object.", "ValidationError"
                )


def check_kinds(properties: Json) -> None:
    """Raises AzureError 400 for a step of a kind that is not emulated."""
    for step, node in (properties.get("jobs") or {}).items():
        kind = str(node.get("type") or "command")
        if kind not in STEP_KINDS:
            raise bad_request(not_emulated(step, kind))


def check_computes(emulator: Emulator, request: Request, properties: Json) -> None:
    """Raises AzureError 400 for a compute that the workspace does not have."""
    nodes = properties.get("jobs") or {}
    settings = properties.get("settings") or {}
    named = [
        properties.get("computeId"),
        settings.get("default_compute"),
        settings.get("defaultCompute"),
    ]
    named += [node.get("computeId") for node in nodes.values()]
    for each in named:
        name = compute_name(str(each or ""), properties)
        if (
            name
            and name.lower() != "serverless"
            and emulator.store.get("compute", request.workspace_scope, name.lower()) is None
        ):
            raise AzureError(
                400, "UserError", f"Compute with name '{name}' was not found in the workspace."
            )


def compute_name(reference: str, properties: Json) -> str:
    """The name in a reference, which may be one of the pipeline's own inputs."""
    if match := PARENT_INPUT.fullmatch(reference.strip()):
        given = (properties.get("inputs") or {}).get(match[1]) or {}
        reference = str(given.get("value") or "")
    return reference.rpartition("/")[2].removeprefix("azureml:")


@routes.add("GET", WORKSPACE + "/jobs")
def list_jobs(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    keep = versions.shown(request)
    documents = [
        each
        for each in emulator.jobs.all(request.workspace_scope)[::-1]
        if not each.get("parent") and keep(each)
    ]
    return versions.page(emulator, request, [rest(emulator, workspace, each) for each in documents])


@routes.add("GET", WORKSPACE + "/jobs/{name}")
def get(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    return Response(body=rest(emulator, workspace, read_job(emulator, request)))


def read_job(emulator: Emulator, request: Request) -> Json:
    name = request.params["name"]
    document = emulator.jobs.get(request.workspace_scope, name)
    if document is None:
        raise not_found(f"Job {name} was not found.", "JobNotFound")
    return document


@routes.add("POST", WORKSPACE + "/jobs/{name}/cancel")
def cancel(emulator: Emulator, request: Request) -> Response:
    document = read_job(emulator, request)
    if not emulator.jobs.cancel(request.workspace_scope, document["name"]):
        raise bad_request(f"Job {document['name']} has ended: it is {document['status']}.")
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


@routes.add("DELETE", WORKSPACE + "/jobs/{name}")
def delete(emulator: Emulator, request: Request) -> Response:
    document = read_job(emulator, request)
    emulator.jobs.delete(request.workspace_scope, document["name"])
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation)


def rest(emulator: Emulator, workspace: Json, document: Json) -> Json:
    """A job as Azure shows it. The output "default" is left out: the client would list blobs."""
    studio = f"{emulator.addresses.arm}/runs/{document['name']}?wsid={workspace['id']}"
    services = {
        "Studio": {"jobServiceType": "Studio", "endpoint": studio},
        "Tracking": {"jobServiceType": "Tracking", "endpoint": f"{emulator.addresses.arm}/mlflow"},
    }
    properties = {k: v for k, v in document["properties"].items() if v is not None}
    properties.setdefault("tags", {})
    properties.setdefault("properties", {})
    properties.setdefault("isArchived", False)
    properties.setdefault("experimentName", "Default")
    properties.setdefault("displayName", document["name"])
    properties |= {"status": document["status"], "services": services}
    if parameters := emulator.tracking.parameters(str(workspace["scope"]), document["name"]):
        properties["parameters"] = parameters
    if document.get("parent"):
        properties["parentJobName"] = document["parent"]
        properties.setdefault("environmentId", "")
        properties.setdefault("computeId", "")
    return {
        "id": f"{workspace['id']}/jobs/{document['name']}",
        "name": document["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/jobs",
        "properties": properties,
        "systemData": {
            "createdAt": document["created"],
            "createdBy": "emulator",
            "createdByType": "Application",
        },
    }
