"""Which credential Azure is asked with, and what GitHub is asked for one over a real socket."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from taxiops.cloud.credentials import azure_credential, github_token, resource_manager
from taxiops.config import load_settings
from taxiops.errors import NotAuthorised

SECRETS = {"AZURE_TENANT_ID": "t" * 36, "AZURE_CLIENT_ID": "c" * 36}


@pytest.fixture
def issuer() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """GitHub's issuer of OIDC tokens: its address, and what it was asked with."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            good = self.headers.get("Authorization") == "Bearer request-token"
            body = json.dumps({"value": f"token-{len(asked)}"} if good else {}).encode()
            self.send_response(200 if good else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing of a request is printed."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/oidc?job=1", asked
    server.shutdown()
    server.server_close()


def kind_of(environ: Mapping[str, str], folder: Path) -> str:
    return type(azure_credential(load_settings({}, environ, folder), environ)).__name__


def test_a_secret_is_used_when_there_is_one_then_githubs_token_then_the_default_chain(
    tmp_path: Path,
) -> None:
    url = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://issuer.example/?x=1"}
    secret = {"AZURE_CLIENT_SECRET": "s3cret"}
    assert kind_of({**SECRETS, **secret, **url}, tmp_path) == "ClientSecretCredential"
    assert kind_of({**SECRETS, **url}, tmp_path) == "ClientAssertionCredential"
    assert kind_of(SECRETS, tmp_path) == "DefaultAzureCredential"
    assert kind_of({**url, "DEFAULT_IDENTITY_CLIENT_ID": "m" * 36}, tmp_path) == (
        "DefaultAzureCredential"
    )


def test_a_new_token_is_fetched_each_time_because_githubs_live_for_minutes(
    issuer: tuple[str, list[tuple[str, str]]],
) -> None:
    url, asked = issuer
    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
    }
    assert [github_token(environ), github_token(environ)] == ["token-1", "token-2"]
    path = "/oidc?job=1&audience=api%3A%2F%2FAzureADTokenExchange"
    assert asked == [(path, "Bearer request-token")] * 2


def test_a_job_without_the_permission_is_told_which_one_it_needs(
    issuer: tuple[str, list[tuple[str, str]]],
) -> None:
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": issuer[0], "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}
    with pytest.raises(NotAuthorised) as caught:
        github_token(environ)
    assert "id-token: write" in caught.value.hint


def test_the_token_is_asked_for_over_https_only() -> None:
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://issuer.example/?x=1"}
    with pytest.raises(NotAuthorised, match="OIDC"):
        github_token(environ)


def test_another_cloud_is_the_one_the_sdk_would_take() -> None:
    assert resource_manager({}) == "https://management.azure.com"
    url = "https://127.0.0.1:4321/metadata/endpoints?api-version=2019-05-01"
    assert resource_manager({"ARM_CLOUD_METADATA_URL": url}) == "https://127.0.0.1:4321"
