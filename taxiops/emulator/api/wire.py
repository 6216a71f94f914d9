"""Requests, responses, errors and the route table of the emulated wire; knows no resource."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taxiops.emulator.context import Emulator

Json = dict[str, Any]
MOST_DEEP = 100

WORKSPACE = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
)
REGISTRY = (
    "/mferp/managementfrontend/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.MachineLearningServices/registries/{registry}"
)


class AzureError(Exception):
    """An error in Azure's JSON shape: `{"error": {"code", "message", "details"}}`."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def bad_request(message: str, code: str = "BadRequest") -> AzureError:
    return AzureError(400, code, message)


def not_found(message: str, code: str = "ResourceNotFound") -> AzureError:
    return AzureError(404, code, message)


def conflict(message: str, code: str = "Conflict") -> AzureError:
    return AzureError(409, code, message)


def refuse_constant(name: str) -> None:
    """Python reads NaN and Infinity, which no other client could read back."""
    raise ValueError(f"{name} is not JSON")


def check_storable(document: object) -> None:
    """Raises ValueError for half surrogate pairs and for nesting deeper than MOST_DEEP."""
    waiting: list[tuple[object, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_DEEP:
            raise ValueError(f"it is nested more than {MOST_DEEP} deep")
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, dict):
            waiting += ((each, depth + 1) for pair in value.items() for each in pair)
        elif isinstance(value, list):
            waiting += ((each, depth + 1) for each in value)


@dataclass(frozen=True)
class Request:
    """One parsed request. `params` are the path parameters, decoded, in the client's case."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """The body as a JSON object; raises AzureError 400 on anything else."""
        try:
            document = json.loads(self.body or b"{}", parse_constant=refuse_constant)
            check_storable(document)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The request body is not JSON: {error}", "InvalidJson") from error
        if not isinstance(document, dict):
            raise bad_request("The request body must be a JSON object.", "InvalidJson")
        return document

    @property
    def workspace_scope(self) -> str:
        """The lower-cased ARM id of the workspace in the path: the key of everything in it."""
        return WORKSPACE.format(**self.params).lower()


@dataclass(frozen=True)
class Response:
    """`body` is a JSON document, raw bytes (then set content-type in headers), or None."""

    status: int = 200
    body: Json | list[Any] | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[["Emulator", Request], Response]


@dataclass(frozen=True)
class Route:
    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    is_anonymous: bool
    operation: str
    body: object


class Routes:
    """The routes of one resource file; `app.py` joins them. Paths match case-insensitively."""

    def __init__(self) -> None:
        self.table: list[Route] = []

    def add(
        self, method: str, template: str, *, is_anonymous: bool = False, body: object = None
    ) -> Callable[[Handler], Handler]:
        """Register a handler: `@routes.add("GET", WORKSPACE + "/jobs/{name}")`.

        `{name}` matches one path segment, `{path:rest}` everything that follows. An anonymous
        route needs no token. body: the shape that a body must have; see shapes.py.
        """

        def register(handler: Handler) -> Handler:
            pattern = compile_template(template)
            self.table.append(
                Route(
                    method,
                    template,
                    pattern,
                    handler,
                    is_anonymous,
                    operation_of(method, template),
                    body,
                )
            )
            return handler

        return register


def operation_of(method: str, template: str) -> str:
    """Such as `PUT onlineEndpoints`: the method and the last fixed part of the path."""
    fixed = [part for part in template.split("/") if part and not part.startswith("{")]
    name = "/".join(fixed[-2:]) if fixed[-1] == "versions" else fixed[-1]
    return f"{method} {name}"


def compile_template(template: str) -> re.Pattern[str]:
    pattern = ""
    for part in re.split(r"(\{[^}]+\})", template):
        if part.startswith("{"):
            name, _, kind = part[1:-1].partition(":")
            pattern += f"(?P<{name}>.+)" if kind == "rest" else f"(?P<{name}>[^/]+)"
        else:
            pattern += re.escape(part)
    return re.compile(pattern + "/?", re.IGNORECASE)
