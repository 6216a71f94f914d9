"""Versions of the control plane's API: one that we never saw is answered with a warning."""

import logging
from dataclasses import replace

from taxiops.emulator.api.wire import Request, Response, Route

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
PROVIDER = "/providers/"
HEADER = "x-emulator-warning"
logger = logging.getLogger(__name__)


def warning(route: Route, request: Request) -> str:
    """What to say of the version that a request of the control plane names; empty: nothing."""
    is_other_plane = "/v1.0" in route.template or route.template.startswith("/mlflow/")
    if PROVIDER not in route.template or is_other_plane:
        return ""
    version = request.query.get("api-version", "")
    if version in KNOWN or version.startswith("1."):
        return ""
    if not version:
        return "Azure refuses requests without api-version."
    return f"The api-version {version[:40]!r} is unknown to the emulator; answered as usual."


def warned(route: Route, request: Request, response: Response) -> Response:
    """The answer, with a header when the version is unknown; the log has it too."""
    text = warning(route, request)
    if not text or not response.status:
        return response
    logger.warning("%s %s: %s", request.method, request.path, text)
    return replace(response, headers={**response.headers, HEADER: text})
