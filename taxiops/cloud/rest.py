"""Plain REST calls for what the SDK lacks, with its retries and credential; knows no resource."""

import time
from typing import TYPE_CHECKING, Any

from taxiops.cloud.failures import azure_errors
from taxiops.errors import StepFailed, StillRunning

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection

LONGEST_POLL_S = 5.0


def read_json(connection: "Connection", url: str, doing: str, *, method: str = "GET") -> Any:  # noqa: ANN401 - any JSON
    """The JSON answer to an authenticated request; raises TaxiopsError."""
    with azure_errors(doing):
        return send(connection, method, url).json()


def read_text(url: str, doing: str) -> str:
    """The text at a URL that carries its own signature; no token of ours is sent there."""
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import RetryPolicy
    from azure.core.rest import HttpRequest

    client: Any = PipelineClient(url, policies=[RetryPolicy()])
    with azure_errors(doing), client:
        response = client.send_request(HttpRequest("GET", url))
        response.raise_for_status()
        return str(response.text())


def delete(connection: "Connection", url: str, doing: str, deadline_s: float) -> None:
    """DELETE and wait for the end of the operation; a thing that is gone already is fine.

    The operation is followed as learn.microsoft.com/azure/azure-resource-manager/management/
    async-operations describes. Raises StillRunning after the deadline.
    """
    with azure_errors(doing):
        response = send(connection, "DELETE", url, allowed=(404,))
        status_url = response.headers.get("Azure-AsyncOperation")
        end = time.monotonic() + deadline_s
        while response.status_code == 202 and status_url:
            response = poll(connection, status_url, doing)
            if response is None:
                return
            if time.monotonic() > end:
                raise StillRunning(f"{doing} goes on after {deadline_s:.0f} s.")


def poll(connection: "Connection", url: str, doing: str) -> Any:  # noqa: ANN401 - azure-core's type
    """One look at an operation: None when it succeeded, a pending response while it runs."""
    response = send(connection, "GET", url)
    document = response.json()
    status = str(document.get("status", ""))
    if status.lower() == "succeeded":
        return None
    if status.lower() in ("failed", "canceled"):
        message = (document.get("error") or {}).get("message", status)
        raise StepFailed(f"{doing} failed.", why=str(message)[:500], code="azure-refused")
    delay_ms = float(response.headers.get("x-ms-retry-after-ms", 1000))
    time.sleep(min(delay_ms / 1000, LONGEST_POLL_S))
    response.status_code = 202
    return response


def send(connection: "Connection", method: str, url: str, allowed: tuple[int, ...] = ()) -> Any:  # noqa: ANN401 - azure-core's type
    """One request with a token for the resource manager; raises Azure's exceptions."""
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
    from azure.core.rest import HttpRequest

    scope = f"{connection.arm}/.default"
    policies = [RetryPolicy(), BearerTokenCredentialPolicy(connection.credential, scope)]
    client: Any = PipelineClient(url, policies=policies)
    with client:
        response = client.send_request(HttpRequest(method, url))
        if response.status_code not in allowed:
            response.raise_for_status()
        return response
