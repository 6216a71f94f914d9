"""Where clients poll long-running operations."""

from taxiops.emulator.api.wire import Json, Request, Response, Routes, not_found
from taxiops.emulator.context import Emulator

routes = Routes()
BASE = (
    "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}"
)
POLL_MS = "100"


def operation_headers(emulator: Emulator, operation: str) -> dict[str, str]:
    """The headers that send a client to poll."""
    base = emulator.addresses.arm + BASE.format(subscription="emulator", location="local")
    return {
        "Azure-AsyncOperation": f"{base}/mfeOperationsStatus/{operation}?api-version=2023-04-01",
        "Location": f"{base}/mfeOperationResults/{operation}?api-version=2023-04-01",
        "x-ms-retry-after-ms": POLL_MS,
    }


def accepted(
    emulator: Emulator, operation: str, status: int = 202, body: Json | None = None
) -> Response:
    return Response(status, body, operation_headers(emulator, operation))


@routes.add("GET", BASE + "/mfeOperationsStatus/{operation}")
def status(emulator: Emulator, request: Request) -> Response:
    document = emulator.operations.get(request.params["operation"])
    if document is None:
        raise not_found(f"Operation {request.params['operation']} was not found.")
    return Response(200, document, {"x-ms-retry-after-ms": POLL_MS})


@routes.add("GET", BASE + "/mfeOperationResults/{operation}")
def result(emulator: Emulator, request: Request) -> Response:
    document = emulator.operations.get(request.params["operation"])
    if document is None:
        raise not_found(f"Operation {request.params['operation']} was not found.")
    if document["status"] == "InProgress":
        return accepted(emulator, request.params["operation"])
    properties = document.get("properties")
    return Response(200, properties) if properties else Response(204)
