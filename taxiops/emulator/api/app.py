"""The ASGI application: reads requests, checks tokens, finds the route, writes answers."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from taxiops.emulator.api import (
    api_versions,
    assets,
    blob_leases,
    computes,
    control,
    datastores,
    deployments,
    endpoints,
    faults,
    identity,
    jobs,
    operations,
    permissions,
    quota,
    registries,
    registry_resources,
    run_history,
    validation,
    workspaces,
)
from taxiops.emulator.api.blobs import serve_blobs
from taxiops.emulator.api.mlflow import artifacts as mlflow_artifacts
from taxiops.emulator.api.mlflow import logged as mlflow_logged
from taxiops.emulator.api.mlflow import models as mlflow_models
from taxiops.emulator.api.mlflow import runs as mlflow_runs
from taxiops.emulator.api.shapes import check_shape
from taxiops.emulator.api.wire import AzureError, Json, Request, Response, Route, bad_request
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import CONTROL_AUDIENCES, refused_token
from taxiops.emulator.state.assets.assets import Unresolved
from taxiops.emulator.state.storage.blobs import BadName

MOST_ARM_BYTES = 16 * 1024 * 1024
MOST_BLOB_BYTES = 512 * 1024 * 1024
# Paths that carry a run's artifacts.
ARTIFACTS = "/mlflow-artifacts/"
MODULES = (
    control,
    blob_leases,
    faults,
    identity,
    workspaces,
    datastores,
    computes,
    permissions,
    quota,
    operations,
    assets,
    registries,
    registry_resources,
    validation,
    jobs,
    run_history,
    mlflow_runs,
    mlflow_logged,
    mlflow_models,
    mlflow_artifacts,
    endpoints,
    deployments,
)
ROUTES: tuple[Route, ...] = tuple(route for module in MODULES for route in module.routes.table)

HEALTH = "/_emulator/health"
# A name is one part of a path: of URLs, and of files.
BAD_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f]")
MOST_NAME = 255
# The member of a request's scope that breaks its connection; see protocol.py.
BREAK = "taxiops.break"
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
logger = logging.getLogger(__name__)


class TooLarge(Exception):
    """The request's body is longer than the emulator takes."""


class App:
    """One application behind two ports: the blob service and everything else."""

    def __init__(self, emulator: Emulator, blob_port: int) -> None:
        self._emulator = emulator
        self._blob_port = blob_port

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != HEALTH:
            self._emulator.activity.touch()
        is_blob = scope["server"][1] == self._blob_port
        is_data = is_blob or ARTIFACTS in scope["path"]
        most = MOST_BLOB_BYTES if is_data else MOST_ARM_BYTES
        try:
            if int(dict(scope["headers"]).get(b"content-length", 0)) > most:
                raise TooLarge
            body = await read_body(receive, most)
        except TooLarge:
            error = AzureError(413, "RequestEntityTooLarge", "The request body is too large.")
            await write_response(send, error_response(error), scope["method"])
            return
        request = parse(scope, body)
        serve = serve_blobs if is_blob else answer
        response = await asyncio.to_thread(serve, self._emulator, request)
        if response is faults.DROPPED:
            await drop(scope, receive)
            return
        await write_response(send, response, request.method)


async def drop(scope: Message, receive: Receive) -> None:
    """Break the connection instead of an answer."""
    scope[BREAK]()
    while (await receive())["type"] != "http.disconnect":
        pass


def parse(scope: Message, body: bytes) -> Request:
    headers = {
        key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]
    }
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").split("?")[0]
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = {key.lower(): value for key, value in pairs}
    return Request(scope["method"], path, {}, query, headers, body)


async def read_body(receive: Receive, most: int) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            raise TooLarge
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def answer(emulator: Emulator, request: Request) -> Response:
    """Route one request of the control and data planes. Never raises."""
    try:
        route, parameters = find_route(request)
        if not route.is_anonymous:
            authenticate(emulator, request)
        api_versions.check(route, request)
        if route.body is not None:
            check_shape(request.json(), route.body)
        answered = faults.routed(emulator, route, request, parameters)
        return api_versions.warned(route, request, answered)
    except AzureError as error:
        return error_response(error)
    except BadName as error:
        return error_response(AzureError(400, "BadRequest", f"No such {error}."))
    except Unresolved as error:
        return error_response(AzureError(404, "ResourceNotFound", str(error)))
    except Exception:
        logger.exception("%s %s", request.method, request.path)
        message = "The emulator failed; see its log: taxiops emulator logs."
        return error_response(AzureError(500, "InternalServerError", message))


def authenticate(emulator: Emulator, request: Request) -> None:
    """Raises AzureError 401 without a token for the control plane."""
    header = request.headers.get("authorization", "")
    audiences = {*CONTROL_AUDIENCES, emulator.addresses.arm}
    code, message = refused_token(emulator.identity, header, audiences)
    if code:
        challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
        raise AzureError(401, code, message, headers=challenge)


def find_route(request: Request) -> tuple[Route, Mapping[str, str]]:
    """Raises AzureError 405 for a known path, 501 for an unknown one."""
    known = False
    for route in ROUTES:
        match = route.pattern.fullmatch(request.path)
        if match and route.method == request.method:
            parameters = {key: unquote(value) for key, value in match.groupdict().items()}
            check_names(route, parameters)
            return route, parameters
        known = known or match is not None
    status, code = (405, "MethodNotAllowed") if known else (501, "NotImplemented")
    raise AzureError(status, code, f"{request.method} {request.path} is not emulated.")


def check_names(route: Route, parameters: Mapping[str, str]) -> None:
    """Raises AzureError 400 for what is no name of a resource, such as a path in its place."""
    for key, value in parameters.items():
        is_path = "{" + key + ":rest}" in route.template
        is_bad = not value.strip(".") or BAD_IN_NAMES.search(value) or len(value) > MOST_NAME
        if is_bad and not is_path:
            raise bad_request(f"{value[:80]!r} is no name for a {key}.", "InvalidResourceName")


def error_response(error: AzureError) -> Response:
    details: list[Json] = []
    body = {"error": {"code": error.code, "message": error.message, "details": details}}
    return Response(error.status, body, error.headers)


async def write_response(send: Send, response: Response, method: str) -> None:
    headers = {key.lower(): value for key, value in response.headers.items()}
    body = response.body
    if body is None:
        content = b""
    elif isinstance(body, bytes):
        content = body
    else:
        content = json.dumps(body).encode()
        headers.setdefault("content-type", "application/json; charset=utf-8")
    if response.status not in {204, 304}:
        headers.setdefault("content-length", str(len(content)))
    encoded = [(key.encode(), value.encode("latin-1", "replace")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})
