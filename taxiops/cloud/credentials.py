"""Which credential Azure is asked with; makes no request by itself."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from taxiops.config import Settings
from taxiops.errors import NotAuthorised

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# What Entra ID expects a federated token to be made for.
AUDIENCE = "api://AzureADTokenExchange"
OIDC_URL, OIDC_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
TIMEOUT_S = 30
PUBLIC_ARM = "https://management.azure.com"


def azure_credential(settings: Settings, environ: Mapping[str, str]) -> "TokenCredential":
    """The client secret when one is set, GitHub's OIDC token in a workflow, else the default chain.

    The default chain covers workload identity, managed identity and az login. Inside an Azure ML
    job the identity of the compute is named by DEFAULT_IDENTITY_CLIENT_ID.
    """
    from azure.identity import (
        ClientAssertionCredential,
        ClientSecretCredential,
        DefaultAzureCredential,
    )

    if settings.tenant_id and settings.client_id and settings.client_secret:
        return ClientSecretCredential(
            settings.tenant_id, settings.client_id, settings.client_secret
        )
    if settings.tenant_id and settings.client_id and environ.get(OIDC_URL):
        # A token of GitHub lives for minutes and a rollout for longer: a new one each time.
        return ClientAssertionCredential(
            settings.tenant_id, settings.client_id, lambda: github_token(environ)
        )
    identity = settings.client_id or environ.get("DEFAULT_IDENTITY_CLIENT_ID")
    return DefaultAzureCredential(managed_identity_client_id=identity or None)


def github_token(environ: Mapping[str, str]) -> str:
    """A fresh OIDC token of this workflow job.

    The request is the one of docs.github.com/actions/security-for-github-actions/
    security-hardening-your-deployments/about-security-hardening-with-openid-connect. Raises
    NotAuthorised when GitHub gives none.
    """
    url = f"{environ[OIDC_URL]}&audience={quote(AUDIENCE, safe='')}"
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname != "127.0.0.1":
        raise no_token(f"{OIDC_URL} is no https address.")
    request = urllib.request.Request(url)
    request.add_header("Authorization", f"Bearer {environ.get(OIDC_TOKEN, '')}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            value = json.load(response)["value"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
        raise no_token(detail or type(error).__name__) from error
    return str(value)


def no_token(why: str) -> NotAuthorised:
    return NotAuthorised(
        "GitHub gave no OIDC token.",
        why=why,
        hint="The job needs permissions: id-token: write.",
        code="oidc-token",
    )


def resource_manager(environ: Mapping[str, str] = os.environ) -> str:
    """Azure's base URL; another cloud's where ARM_CLOUD_METADATA_URL says so, as the SDK does."""
    address = urlsplit(environ.get("ARM_CLOUD_METADATA_URL", ""))
    return f"{address.scheme}://{address.netloc}" if address.netloc else PUBLIC_ARM
