"""Run history and the data plane's address book: status, logs, children, outputs."""

from urllib.parse import quote

from taxiops.emulator.api.jobs import read_job
from taxiops.emulator.api.shapes import TEXTS
from taxiops.emulator.api.wire import WORKSPACE, Json, Request, Response, Routes, not_found
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import same, signature

routes = Routes()
HISTORY = "/history/v1.0" + WORKSPACE
OUTPUT_ID = "azureml://outputs/"
RUN_BODY = {
    **dict.fromkeys(("displayName", "description"), str),
    "tags": TEXTS,
    "properties": TEXTS,
    "hidden": bool,
}


@routes.add("GET", HISTORY + "/runs/{name}")
def get(emulator: Emulator, request: Request) -> Response:
    return Response(body=run_of(read_job(emulator, request)))


@routes.add("GET", HISTORY + "/runs/{name}/children")
def children(emulator: Emulator, request: Request) -> Response:
    document = read_job(emulator, request)
    found = emulator.jobs.children(request.workspace_scope, document["name"])
    return Response(body={"value": [run_of(each) for each in found]})


@routes.add("GET", HISTORY + "/runs/{name}/details")
def details(emulator: Emulator, request: Request) -> Response:
    document = read_job(emulator, request)
    logs = emulator.jobs.logs(request.workspace_scope, document["name"])
    body = {
        "runId": document["name"],
        "status": document["status"],
        "startTimeUtc": document["started"],
        "endTimeUtc": document["ended"],
        "properties": {},
        "inputDatasets": [],
        "outputDatasets": [],
        "logFiles": {each: log_url(emulator, request, document["name"], each) for each in logs},
    }
    if document["status"] == "Failed":
        body["error"] = error_of(document)
    return Response(body=body)


def error_of(document: Json) -> Json:
    return {"error": {"code": "UserError", "message": document["error"] or "The job failed."}}


def run_of(document: Json) -> Json:
    properties = document["properties"]
    run = {
        "runId": document["name"],
        "runUuid": document["run_id"],
        "rootRunId": document.get("root") or document["name"],
        "parentRunId": document.get("parent"),
        "experimentName": properties.get("experimentName") or "Default",
        "displayName": properties.get("displayName") or document["name"],
        "description": properties.get("description"),
        "status": document["status"],
        "startTimeUtc": document["started"],
        "endTimeUtc": document["ended"],
        "createdUtc": document["created"],
        "runType": "azureml.StepRun" if document.get("parent") else "azureml.PipelineRun",
        "hidden": bool(properties.get("isArchived")),
        "tags": properties.get("tags") or {},
        "properties": {str(k): str(v) for k, v in (properties.get("properties") or {}).items()},
    }
    if document["status"] == "Failed":
        run["error"] = error_of(document)
    return run


@routes.add("PATCH", HISTORY + "/experiments/{experiment}/runs/{name}", body=RUN_BODY)
def patch(emulator: Emulator, request: Request) -> Response:
    document, changes = read_job(emulator, request), request.json()
    properties = dict(document["properties"])
    for key in ("tags", "properties"):
        if isinstance(changes.get(key), dict):
            properties[key] = {**(properties.get(key) or {}), **changes[key]}
    for key in ("displayName", "description"):
        if changes.get(key) is not None:
            properties[key] = changes[key]
    if isinstance(changes.get("hidden"), bool):
        properties["isArchived"] = changes["hidden"]
    return Response(
        body=run_of(
            emulator.jobs.update(request.workspace_scope, document["name"], properties=properties)
        )
    )


@routes.add("POST", HISTORY + "/rundata")
def run_data(emulator: Emulator, request: Request) -> Response:
    """Outputs of a run, named as the data plane resolves them."""
    name = str(request.json().get("runId", ""))
    document = emulator.jobs.get(request.workspace_scope, name)
    if document is None:
        raise not_found(f"Run {name} was not found.")
    metadata = run_of(document)
    metadata["outputs"] = {
        key: {"assetId": f"{OUTPUT_ID}{name}/{key}", "type": output_type(emulator, each)}
        for key, each in document["output_locations"].items()
    }
    return Response(body={"runMetadata": metadata})


def output_type(emulator: Emulator, location: Json) -> str:
    path = emulator.blobs.path(location["container"], location["path"])
    return "uri_file" if path.is_file() else "uri_folder"


@routes.add(
    "POST",
    "/data/v1.0" + WORKSPACE + "/dataversion/batchGetResolvedUris",
    body={"values": [str]},
)
def resolved_uris(emulator: Emulator, request: Request) -> Response:
    values = {}
    for identifier in request.json().get("values") or []:
        name, _, key = str(identifier).removeprefix(OUTPUT_ID).partition("/")
        scope = request.workspace_scope
        uri = emulator.jobs.output_uri(scope, name, key)
        container, path = emulator.jobs.output_blob(scope, name, key)
        kind = output_type(emulator, {"container": container, "path": path})
        values[identifier] = {"uri": uri, "type": kind}
    return Response(body={"values": values})


def log_url(emulator: Emulator, request: Request, job: str, log: str) -> str:
    """A signed address, because the client reads logs without a token."""
    token = signature(emulator.identity.key, "log", request.workspace_scope, job, log)
    workspace = WORKSPACE.format(**request.params)
    return f"{emulator.addresses.arm}/logs{workspace}/{job}/{token}/{quote(log)}"


@routes.add("GET", "/logs" + WORKSPACE + "/{name}/{token}/{log:rest}", is_anonymous=True)
def read_log(emulator: Emulator, request: Request) -> Response:
    name, log = request.params["name"], request.params["log"]
    expected = signature(emulator.identity.key, "log", request.workspace_scope, name, log)
    logs = emulator.jobs.logs(request.workspace_scope, name)
    if not same(request.params["token"], expected) or log not in logs:
        raise not_found("There is no such log.")
    return Response(200, logs[log].read_bytes(), {"content-type": "text/plain; charset=utf-8"})
