"""Versions of the control plane's API: a request names one; one we never saw is a warning."""

import logging
from dataclasses import replace

from taxiops.emulator.api.wire import Request, Response, Route, bad_request

KNOWN = frozenset(
    {
        "2020-06-01",
        "2021-01-01",
        "2021-10-01",
        "2021-10-01-dataplanepreview",
        "2022-01-01-preview",
        "2022-02-01-preview",
        "2022-05-01",
        "2022-06-01-preview",
        "2022-10-01",
        "2022-10-01-preview",
        "2022-12-01-preview",
        "2023-02-01-preview",
        "2023-04-01",
        "2023-04-01-preview",
        "2023-06-01-preview",
        "2023-08-01-preview",
        "2023-10-01",
        "2024-01-01-preview",
        "2024-04-01",
        "2024-04-01-preview",
        "2024-07-01-preview",
        "2024-10-01",
        "2024-10-01-preview",
        "2025-01-01-preview",
        "2025-04-01",
        "2025-06-01",
        "2025-07-01-preview",
        "2025-09-01",
        "2025-10-01-preview",
        "2025-12-01",
    }
)
CONTROL_PLANE = ("/subscriptions/", "/mferp/")
HEADER = "x-emulator-warning"
logger = logging.getLogger(__name__)


def check(route: Route, request: Request) -> None:
    """Raises AzureError 400 for a request of the control plane that names no version."""
    if is_versioned(route) and not request.query.get("api-version"):
        raise bad_request(
            "The api-version query parameter (?api-version=) is required for all requests.",
            "MissingApiVersionParameter",
        )


def is_versioned(route: Route) -> bool:
    return route.template.startswith(CONTROL_PLANE)


def warning(route: Route, request: Request) -> str:
    """What to say of the version that a request of the control plane names; empty: nothing."""
    version = request.query.get("api-version", "")
    if not is_versioned(route) or version in KNOWN or version.startswith("1."):
        return ""
    return f"The api-version {version[:40]!r} is unknown to the emulator; answered as usual."


def warned(route: Route, request: Request, response: Response) -> Response:
    """The answer, with a header when the version is unknown; the log has it too."""
    text = warning(route, request)
    if not text or not response.status:
        return response
    logger.warning("%s %s: %s", request.method, request.path, text)
    return replace(response, headers={**response.headers, HEADER: text})
