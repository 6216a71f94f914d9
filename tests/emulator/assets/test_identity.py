"""Who is let in where: tokens, signatures, and what is said to those who are not."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from taxiops.emulator.state.storage.blobs import SAS_VALID_S, Blobs
from taxiops.emulator.state.storage.store import Store

REGISTRY = "/registrymanagement/v1.0/registries/mlrtest/discovery"


@pytest.mark.parametrize("path", ["models", "jobs", "onlineEndpoints", "computes", REGISTRY])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "AuthenticationFailed"),
        ("garbage", "InvalidAuthenticationToken"),
        ("expired", "ExpiredAuthenticationToken"),
        ("storage", "InvalidAuthenticationTokenAudience"),
        ("foreign", "InvalidAuthenticationToken"),
    ],
)
def test_the_control_plane_wants_a_token_made_for_it(
    wire: Any, path: str, kind: str, code: str
) -> None:
    from dataclasses import replace

    stranger = replace(wire, identity=replace(wire.identity, signing_key="c3Ry" * 12))
    tokens = {
        "missing": "",
        "garbage": "x.y.z",
        "expired": wire.token(age_s=7200),
        "storage": wire.token("https://storage.azure.com"),
        "foreign": stranger.token(),
    }
    answer = wire.call("GET", path, token=tokens[kind])
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "audience",
    [
        "",
        "https://management.azure.com/",
        "https://ml.azure.com",
        "https://management.core.windows.net",
    ],
)
def test_tokens_for_azures_own_audiences_are_good(wire: Any, audience: str) -> None:
    assert wire.call("GET", "models", token=wire.token(audience)).status_code == 200


def test_azure_identitys_credentials_get_tokens_and_a_wrong_secret_does_not(
    wire: Any, trusting: Path
) -> None:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import ClientSecretCredential

    def credential(secret: str) -> Any:
        tenant, client = wire.identity.tenant_id, wire.identity.client_id
        return ClientSecretCredential(
            tenant, client, secret, authority=wire.arm, disable_instance_discovery=True
        )

    good = credential(wire.identity.client_secret).get_token(f"{wire.arm}/.default")
    assert wire.call("GET", "models", token=good.token).status_code == 200
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential("guessed").get_token(f"{wire.arm}/.default")


@pytest.mark.parametrize(
    ("path", "form", "error"),
    [
        ("stranger", {}, "invalid_request"),
        ("adfs", {"grant_type": "password"}, "unsupported_grant_type"),
        ("adfs", {"client_id": "stranger"}, "invalid_client"),
    ],
)
def test_entra_refuses_in_its_own_words(
    wire: Any, path: str, form: dict[str, str], error: str
) -> None:
    usual = {
        "grant_type": "client_credentials",
        "client_id": wire.identity.client_id,
        "client_secret": wire.identity.client_secret,
    }
    url = f"{wire.arm}/{path}/oauth2/v2.0/token"
    answer = wire.session.post(url, data={**usual, **form}, timeout=30)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == error
    assert wire.identity.client_secret not in answer.text


def test_a_signature_opens_what_it_was_made_for_and_nothing_else(workspace: Any, wire: Any) -> None:
    store = workspace.datastores.get_default(include_secrets=True)
    base = f"{wire.account['blobs']}/{store.container_name}"
    sas = store.credentials.sas_token
    blob = f"{base}/signed/one.txt"
    put = {"x-ms-blob-type": "BlockBlob"}
    written = wire.session.put(f"{blob}?{sas}", data=b"one", headers=put, timeout=30)
    assert written.status_code == 201
    assert wire.get_url(f"{blob}?{sas}").content == b"one"
    fields = {key: values[0] for key, values in parse_qs(sas).items()}
    for change in (
        {"sig": "guessed"},
        {"se": str(int(fields["se"]) + 1)},
        {"sp": fields["sp"] + "x"},
        {"ss": ""},
    ):
        query = "&".join(f"{key}={value}" for key, value in {**fields, **change}.items())
        refused = wire.get_url(f"{blob}?{query}")
        assert refused.status_code == 403
        assert b"AuthenticationFailed" in refused.content
    assert wire.get_url(blob).status_code == 403
    other = wire.get_url(f"{wire.account['blobs']}/reg-somebody-elses/x?{sas}")
    assert other.status_code == 403


def test_a_token_for_the_storage_opens_blobs_and_one_for_arm_does_not(
    workspace: Any, wire: Any
) -> None:
    container = workspace.datastores.get_default().container_name
    url = f"{wire.account['blobs']}/{container}/none.txt"
    assert wire.get_url(url, wire.token("https://storage.azure.com/")).status_code == 404
    assert wire.get_url(url, wire.token()).status_code == 401
    assert wire.get_url(url, wire.token("https://storage.azure.com", age_s=7200)).status_code == 401


def test_signatures_expire_and_grant_what_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "emulator.db")
    blobs = Blobs(tmp_path / "blobs", store, b"key", "https://127.0.0.1:1")

    def given(sas: str) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(f"x?{sas}").query).items()}

    read_only, whole = given(blobs.sas("one-container", "r")), given(blobs.account_sas("abc", "rw"))
    assert blobs.may(read_only, "one-container", "r")
    assert not blobs.may(read_only, "one-container", "w")
    assert not blobs.may(read_only, "other-container", "r")
    assert blobs.may(whole, "abc", "w")
    later = time.time() + SAS_VALID_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not blobs.may(read_only, "one-container", "r")
    assert not blobs.may(whole, "abc", "w")
    store.close()


def test_an_unknown_version_of_the_api_is_answered_with_a_warning(wire: Any) -> None:
    assert "x-emulator-warning" not in wire.call("GET", "models").headers
    odd = wire.call("GET", "models", query="api-version=1999-01-01")
    assert odd.status_code == 200
    assert "1999-01-01" in odd.headers["x-emulator-warning"]
    bare = wire.call("GET", "models", query="")
    assert (bare.status_code, bare.json()["error"]["code"]) == (400, "MissingApiVersionParameter")


def test_unknown_routes_are_named_and_known_ones_tell_the_method(wire: Any) -> None:
    answer = wire.call("GET", "schedules")
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")
    assert "/schedules" in answer.json()["error"]["message"]
    assert wire.call("PATCH", "models").status_code == 405
    assert json.loads(wire.call("GET", "models/none").text)["error"]["details"] == []


@pytest.mark.parametrize(("secret", "code"), [("own", 5), ("guessed", 4)])
def test_a_wrong_secret_ends_a_command_with_the_remedy(
    emulator: Any, wire: Any, trusting: Path, tmp_path: Path, secret: str, code: int
) -> None:
    """The cloud `azure`, which is the emulator here; with the right secret nothing serves yet."""
    given = wire.identity.client_secret if secret == "own" else secret
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "REQUESTS_CA_BUNDLE": str(trusting),
        "SSL_CERT_FILE": str(trusting),
        "NO_PROXY": "127.0.0.1",
        "ARM_CLOUD_METADATA_URL": f"{wire.arm}/metadata/endpoints?api-version=2019-05-01",
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{wire.arm}/",
        "AZURE_AUTHORITY_HOST": wire.arm,
        "AZURE_TENANT_ID": "adfs",
        "AZURE_CLIENT_ID": wire.identity.client_id,
        "AZURE_CLIENT_SECRET": given,
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
        "AML_DEV_RESOURCE_GROUP": "rg-test",
        "AML_DEV_WORKSPACE": "mlwtest",
        "AML_DEV_ENDPOINT": "none-such",
    }
    command = [sys.executable, "-m", "taxiops.cli", "traffic", "show", "--cloud", "azure", "--json"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert "Traceback" not in told
    assert given not in told
    if code == 4:
        assert "AZURE_CLIENT_SECRET" in told
