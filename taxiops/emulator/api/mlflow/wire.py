"""What the routes of MLflow's REST API share: its errors, its sign-in, its way of giving fields."""

import base64
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taxiops.emulator.api.wire import WORKSPACE, AzureError, Json, Request, Response, Routes
from taxiops.emulator.api.workspaces import read_workspace
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import same, token_claims
from taxiops.emulator.state.assets.assets import AlreadyExists, Unresolved
from taxiops.emulator.state.storage.blobs import BadName
from taxiops.emulator.state.tracking.run_search import BadFilter
from taxiops.emulator.state.tracking.runs import NoSuchRun, ParameterChanged

# Azure serves MLflow's API below this on the workspace's host; clients get it as tracking URI.
TRACKING = "/mlflow/{protocol}" + WORKSPACE
API = TRACKING + "/api/2.0"
PAGE = 1000
Act = Callable[["Call"], Json]


class Refused(Exception):
    """A request that MLflow's API answers with an error; `code` as MLflow spells it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True)
class Call:
    """One request: its workspace, and its fields from the body or the query and the path."""

    emulator: Emulator
    scope: str
    fields: Json

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        return "" if value is None else str(value)

    def need(self, name: str) -> str:
        """Raises Refused when it is missing."""
        if value := self.text(name):
            return value
        raise Refused("INVALID_PARAMETER_VALUE", f"Missing value for required parameter '{name}'.")

    def number(self, name: str, default: int) -> int:
        """Raises Refused for anything but a whole number."""
        try:
            return int(self.fields.get(name) or default)
        except (TypeError, ValueError) as error:
            raise Refused(
                "INVALID_PARAMETER_VALUE", f"The parameter '{name}' must be a whole number."
            ) from error

    def items(self, name: str) -> list[Any]:
        value = self.fields.get(name) or []
        if not isinstance(value, list):
            raise Refused("INVALID_PARAMETER_VALUE", f"The parameter '{name}' must be a list.")
        return value

    def texts(self, name: str) -> list[str]:
        return [str(each) for each in self.items(name)]

    def pairs(self, name: str) -> dict[str, str]:
        """A list of `{"key", "value"}` as a mapping. Raises Refused."""
        found = {}
        for each in self.items(name):
            if not isinstance(each, dict) or "key" not in each:
                raise Refused("INVALID_PARAMETER_VALUE", f"An entry of '{name}' has no key.")
            found[str(each["key"])] = str(each.get("value") or "")
        return found


def mlflow(routes: Routes, method: str, path: str) -> Callable[[Act], Act]:
    """Serve an act below the API's root, with MLflow's errors."""

    def register(act: Act) -> Act:
        def handler(emulator: Emulator, request: Request) -> Response:
            return answered(lambda: Response(body=act(call_of(emulator, request))))

        routes.add(method, API + "/mlflow" + path, is_anonymous=True)(handler)
        return act

    return register


def call_of(emulator: Emulator, request: Request) -> Call:
    check(emulator, request)
    fields = dict(request.query) if request.method == "GET" else request.json()
    return Call(emulator, request.workspace_scope, {**fields, **request.params})


def check(emulator: Emulator, request: Request) -> None:
    """Raises Refused for a stranger, AzureError 404 for an unknown workspace.

    Known are tokens of ours, the secrets of running jobs, and the service principal by name and
    secret, which is how MLflow's client signs in for as long as it likes.
    """
    header = request.headers.get("authorization", "")
    secret = header.partition(" ")[2]
    known = (
        token_claims(emulator.identity, header)
        or emulator.jobs.secrets.is_good(secret)
        or is_principal(emulator, header)
    )
    if not known:
        raise Refused("UNAUTHENTICATED", "The access token is missing, expired or foreign.", 401)
    read_workspace(emulator, request)


def is_principal(emulator: Emulator, header: str) -> bool:
    """Basic authentication (RFC 7617) as the emulator's one service principal."""
    scheme, _, coded = header.partition(" ")
    identity = emulator.identity
    expected = base64.b64encode(f"{identity.client_id}:{identity.client_secret}".encode()).decode()
    return scheme.lower() == "basic" and same(coded.strip(), expected)


def answered(act: Callable[[], Response]) -> Response:
    """An act's answer, its errors in MLflow's shape."""
    try:
        return act()
    except Refused as error:
        return failure(error.status, error.code, str(error))
    except AzureError as error:
        code = "RESOURCE_DOES_NOT_EXIST" if error.status == 404 else "BAD_REQUEST"
        return failure(error.status, code, error.message)
    except (NoSuchRun, Unresolved) as error:
        return failure(404, "RESOURCE_DOES_NOT_EXIST", str(error))
    except AlreadyExists as error:
        return failure(400, "RESOURCE_ALREADY_EXISTS", f"{error} already exists.")
    except (ParameterChanged, BadFilter, BadName, UnicodeEncodeError, OSError) as error:
        # The last two: names that no file and no document can have.
        return failure(400, "INVALID_PARAMETER_VALUE", str(error))


def failure(status: int, code: str, message: str) -> Response:
    return Response(status, {"error_code": code, "message": message})


def pairs(values: Json) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def paged(call: Call, name: str, found: list[Json], show: Callable[[Json], Json]) -> Json:
    """One page of a search, with the token of the next."""
    begin = call.number("page_token", 0)
    most = min(max(1, call.number("max_results", PAGE)), 50 * PAGE)
    body: Json = {name: [show(each) for each in found[begin : begin + most]]}
    if len(found) > begin + most:
        body["next_page_token"] = str(begin + most)
    return body


def wire_number(value: float) -> float | str:
    """A number as protocol buffers write it to JSON, which has no NaN and no infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def read_number(value: object) -> float:
    """The reverse. Raises Refused."""
    try:
        return float(json.loads(value) if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise Refused("INVALID_PARAMETER_VALUE", f"{value!r} is no number.") from error
