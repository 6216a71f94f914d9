"""MLflow's artifacts: those of runs, which are a job's artifacts, and the files of models."""

from pathlib import Path

from taxiops.emulator.api.mlflow.wire import API, TRACKING, Call, Refused, answered, check, mlflow
from taxiops.emulator.api.wire import Json, Request, Response, Routes
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.storage.blobs import BadName

routes = Routes()
ARTIFACTS = API + "/mlflow-artifacts/artifacts"
# The first part of a path below which registered models are: `_models/NAME/VERSION/...`.
MODELS = "_models"
BINARY = {"content-type": "application/octet-stream"}


@routes.add("GET", TRACKING + "/version", is_anonymous=True)
def version(_emulator: Emulator, _request: Request) -> Response:
    """The version of MLflow whose API this is: clients ask before they use newer routes."""
    return Response(200, b"3.0.0", {"content-type": "text/plain"})


def located(emulator: Emulator, scope: str, path: str) -> Path:
    """The file or folder of an artifact path. Raises BadName and Unresolved."""
    parts = [part for part in path.split("/") if part]
    if any(part in {".", ".."} or "\0" in part or "\\" in part for part in parts):
        raise BadName(f"artifact path {path!r}")
    if not parts:
        raise Refused("INVALID_PARAMETER_VALUE", "The artifact path names no run.")
    if parts[0] == MODELS and len(parts) >= 3:
        root = emulator.assets.resolve(f"azureml:{parts[1]}:{parts[2]}", scope, "model")
        return root.joinpath(*parts[3:])
    return emulator.jobs.artifacts(scope, parts[0]).joinpath(*parts[1:])


@routes.add("PUT", ARTIFACTS + "/{path:rest}", is_anonymous=True)
def put(emulator: Emulator, request: Request) -> Response:
    def act() -> Response:
        check(emulator, request)
        scope, path = request.workspace_scope, request.params["path"]
        run, _, rest = path.strip("/").partition("/")
        if run == MODELS or not rest:
            raise Refused("INVALID_PARAMETER_VALUE", f"Nothing can be written to {path!r}.")
        container, prefix = emulator.jobs.artifact_blob(scope, run)
        emulator.blobs.put(container, f"{prefix}/{rest}", request.body)
        return Response(body={})

    return answered(act)


@routes.add("GET", ARTIFACTS, is_anonymous=True)
def list_artifacts(emulator: Emulator, request: Request) -> Response:
    def act() -> Response:
        check(emulator, request)
        folder = located(emulator, request.workspace_scope, request.query.get("path", ""))
        return Response(body={"files": listed(folder)})

    return answered(act)


@routes.add("GET", ARTIFACTS + "/{path:rest}", is_anonymous=True)
def get(emulator: Emulator, request: Request) -> Response:
    def act() -> Response:
        check(emulator, request)
        path = located(emulator, request.workspace_scope, request.params["path"])
        if not path.is_file():
            raise Refused("RESOURCE_DOES_NOT_EXIST", f"No such artifact: {path.name}", 404)
        return Response(200, path.read_bytes(), BINARY)

    return answered(act)


def listed(folder: Path, prefix: str = "") -> list[Json]:
    """What is directly below a folder, as MLflow lists files; a file by itself lists nothing."""
    if not folder.is_dir():
        return []
    return [
        {"path": prefix + each.name, "is_dir": True}
        if each.is_dir()
        else {"path": prefix + each.name, "is_dir": False, "file_size": each.stat().st_size}
        for each in sorted(folder.iterdir())
    ]


@mlflow(routes, "GET", "/artifacts/list")
def list_of_run(call: Call) -> Json:
    run = call.emulator.tracking.run(call.scope, call.text("run_id") or call.need("run_uuid"))
    path = call.text("path").strip("/")
    folder = located(call.emulator, call.scope, f"{run['id']}/{path}")
    prefix = f"{path}/" if path else ""
    return {"root_uri": f"mlflow-artifacts:/{run['id']}", "files": listed(folder, prefix)}
