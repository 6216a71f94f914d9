"""Computes of a workspace on the control plane; jobs only look whether there is one of the name."""

from taxiops.emulator.api import versions
from taxiops.emulator.api.operations import accepted
from taxiops.emulator.api.wire import (
    WORKSPACE,
    Handler,
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
from taxiops.emulator.state import computes

routes = Routes()
KIND = "compute"
COMPUTE = WORKSPACE + "/computes/{name}"


@routes.add("GET", WORKSPACE + "/computes")
def list_computes(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    stored = emulator.store.all(KIND, request.workspace_scope)
    return versions.page(emulator, request, [rest(workspace, each) for each in stored])


@routes.add("GET", COMPUTE)
def get(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    return Response(body=rest(workspace, read_compute(emulator, request)))


def read_compute(emulator: Emulator, request: Request) -> Json:
    """Raises AzureError 404."""
    name = request.params["name"]
    stored = emulator.store.get(KIND, request.workspace_scope, name.lower())
    if stored is None:
        raise not_found(f"Compute with name {name[:80]!r} was not found.", "ComputeNotFound")
    return stored


@routes.add("PUT", COMPUTE)
def put(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    name, body = request.params["name"], request.json()
    if problem := computes.problem(name, body):
        raise bad_request(problem, "ValidationError")
    with emulator.store.transaction():
        present = emulator.store.get(KIND, request.workspace_scope, name.lower())
        document = computes.made(name, body, present)
        if present and present.get("kind", computes.AML) != document["kind"]:
            raise conflict(f"The compute {name!r} is of another type.")
        emulator.store.put(KIND, request.workspace_scope, name.lower(), document)
    return done(emulator, 200 if present else 201, rest(workspace, document))


@routes.add("PATCH", COMPUTE)
def patch(emulator: Emulator, request: Request) -> Response:
    workspace = read_workspace(emulator, request)
    body = request.json()
    with emulator.store.transaction():
        document = computes.rescaled(read_compute(emulator, request), body)
        asked = {"properties": {"computeType": document["kind"], "properties": document["inner"]}}
        if problem := computes.problem(document["name"], asked):
            raise bad_request(problem, "ValidationError")
        emulator.store.put(KIND, request.workspace_scope, document["name"].lower(), document)
    return done(emulator, 200, rest(workspace, document))


@routes.add("DELETE", COMPUTE)
def delete(emulator: Emulator, request: Request) -> Response:
    read_workspace(emulator, request)
    name = request.params["name"].lower()
    if not emulator.store.delete(KIND, request.workspace_scope, name):
        return Response(204)
    return done(emulator, 202)


def turn(action: str, state: str) -> Handler:
    """What starts and stops an instance; a cluster has nothing to start."""

    @routes.add("POST", f"{COMPUTE}/{action}")
    def turned(emulator: Emulator, request: Request) -> Response:
        read_workspace(emulator, request)
        with emulator.store.transaction():
            stored = read_compute(emulator, request)
            if stored.get("kind") != computes.INSTANCE:
                raise bad_request(f"Only a {computes.INSTANCE} can be asked to {action}.")
            document = {**stored, "state": state}
            emulator.store.put(KIND, request.workspace_scope, stored["name"].lower(), document)
        return done(emulator, 202)

    return turned


start = turn("start", computes.RUNNING)
restart = turn("restart", computes.RUNNING)
stop = turn("stop", computes.STOPPED)


@routes.add("POST", COMPUTE + "/listNodes")
def list_nodes(emulator: Emulator, request: Request) -> Response:
    """There are no nodes: jobs run as processes of the emulator."""
    read_compute(emulator, request)
    return Response(body={"nodes": []})


def done(emulator: Emulator, status: int, body: Json | None = None) -> Response:
    """The answer of an operation that the client polls, and that has succeeded."""
    operation = emulator.operations.start()
    emulator.operations.succeed(operation)
    return accepted(emulator, operation, status, body)


def rest(workspace: Json, stored: Json) -> Json:
    more = {key: stored[key] for key in ("tags", "identity") if stored.get(key)}
    return {
        "id": f"{workspace['id']}/computes/{stored['name']}",
        "name": stored["name"],
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": stored.get("location") or workspace["location"],
        "properties": computes.shown(stored, workspace["location"]),
        **more,
    }
