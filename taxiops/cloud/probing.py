"""Looks at a cloud as a diagnosis needs them: one quick request each, no waiting, no writing."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from taxiops.cloud.failures import azure_errors
from taxiops.cloud.rest import send
from taxiops.errors import StepFailed

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection

TIMEOUT_S = 10.0
WORKSPACE_VERSION, PERMISSIONS_VERSION = "2023-08-01-preview", "2022-04-01"
PUBLIC_LOGIN = "https://login.microsoftonline.com"


@dataclass(frozen=True)
class Reached:
    """A server that answered.

    skew_s: how far our clock is ahead of its Date header; None without that header, whose whole
    seconds make a second either way mean nothing.
    """

    url: str
    skew_s: float | None


def login_address(connection: "Connection", environ: Mapping[str, str]) -> str:
    """Where tokens come from: the authority that azure-identity asks, or the emulator itself."""
    given = environ.get("AZURE_AUTHORITY_HOST", "")
    if connection.cloud:
        return connection.arm
    return (given if "://" in given else f"https://{given}") if given else PUBLIC_LOGIN


def reach(url: str, ca_file: str) -> Reached:
    """Any answer counts, even a refusal; proxies are those of the process. Raises StepFailed."""
    context = ssl.create_default_context(cafile=ca_file or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    begun = time.time()
    try:
        with opener.open(url, timeout=TIMEOUT_S) as response:
            headers: Any = response.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StepFailed(
            f"{url} cannot be reached.",
            why=str(reason)[:300],
            hint="Check network, proxy (HTTPS_PROXY) and certificates (REQUESTS_CA_BUNDLE).",
            code="azure-unreachable",
        ) from error
    return Reached(url, skew(headers.get("Date", ""), (begun + time.time()) / 2))


def skew(date: str, ours: float) -> float | None:
    """Seconds that `ours`, seconds since 1970, is ahead of an HTTP date (RFC 9110, 5.6.7)."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    return ours - moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def sign_in(connection: "Connection") -> datetime:
    """A token for the resource manager; gives when it ends. Raises NotAuthorised."""
    with azure_errors("Signing in"):
        token = connection.credential.get_token(f"{connection.arm}/.default")
    return datetime.fromtimestamp(token.expires_on, UTC)


def workspace_id(connection: "Connection") -> str:
    return resource_id(
        connection.settings.subscription,
        connection.environment.resource_group,
        "workspaces",
        connection.environment.workspace,
    )


def registry_id(connection: "Connection") -> str:
    """The registry's, which its discovery tells; raises NotFound where there is none."""
    client = connection.registry
    group, subscription = client.resource_group_name, client.subscription_id
    return resource_id(subscription, group, "registries", connection.settings.registry)


def resource_id(subscription: str, group: str, kind: str, name: str) -> str:
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}/providers/"
        f"Microsoft.MachineLearningServices/{kind}/{name}"
    )


def read_resource(connection: "Connection", identifier: str) -> dict[str, Any]:
    """The resource's document; raises NotFound, NotAuthorised."""
    return read(connection, identifier, WORKSPACE_VERSION, "Reading")


def read_permissions(connection: "Connection", identifier: str) -> dict[str, Any]:
    """What this identity may do there, as Azure's own API tells its caller."""
    path = f"{identifier}/providers/Microsoft.Authorization/permissions"
    return read(connection, path, PERMISSIONS_VERSION, "Asking for the permissions on")


def read(connection: "Connection", path: str, version: str, doing: str) -> dict[str, Any]:
    name = path.partition("/providers/Microsoft.MachineLearningServices/")[2].split("/")[1]
    with azure_errors(f"{doing} {name}"):
        return dict(send(connection, "GET", f"{connection.arm}{path}?api-version={version}").json())
