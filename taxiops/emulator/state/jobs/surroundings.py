"""What surrounds a job's process: its managed identity, its trust, its variables; runs nothing."""

import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

from taxiops.emulator.tls import write_private

Json = dict[str, Any]
IDENTITY_PATH = "/MSI/auth"
LOOPBACK = ("127.0.0.1", "localhost")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class JobSecrets:
    """The secrets with which running job processes ask for tokens; only digests, in memory."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[str]:
        """A new secret that is good inside the with statement only."""
        secret = secrets.token_urlsafe(32)
        digest = digest_of(secret)
        with self._lock:
            self._digests.add(digest)
        try:
            yield secret
        finally:
            with self._lock:
                self._digests.discard(digest)

    def is_good(self, secret: str) -> bool:
        """Whether a job that still runs was lent this secret; compared in constant time."""
        digest = digest_of(secret)
        with self._lock:
            known = list(self._digests)
        return any(hmac.compare_digest(digest, each) for each in known)


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True)
class Surroundings:
    """Where jobs find this emulator: its ARM base URL, their identity and the trust they need."""

    arm: str
    client_id: str
    bundle: Path

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What points an unmodified SDK in a job at the emulator; a job's own variables win."""
        proxies = without_loopback_proxy(environ)
        return {
            "ARM_CLOUD_METADATA_URL": f"{self.arm}/metadata/endpoints?api-version=2019-05-01",
            "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{self.arm}/",
            "REQUESTS_CA_BUNDLE": str(self.bundle),
            "SSL_CERT_FILE": str(self.bundle),
            "NO_PROXY": proxies,
            "no_proxy": proxies,
        }

    def reach(self, scope: str, secret: str, experiment: str) -> dict[str, str]:
        """With what a job signs in while it runs: its managed identity, and MLflow's tracking.

        The protocol of the identity: azure-identity's azure_ml.py, msal's
        _obtain_token_on_machine_learning. `scope`: the ARM id of the workspace; experiment: the
        id of the job's. MLflow must not ask the internet anything.
        """
        return {
            "MSI_ENDPOINT": f"{self.arm}{IDENTITY_PATH}",
            "MSI_SECRET": secret,
            "DEFAULT_IDENTITY_CLIENT_ID": self.client_id,
            "MLFLOW_TRACKING_URI": f"{self.arm}/mlflow/v1.0{scope}",
            "MLFLOW_TRACKING_TOKEN": secret,
            "MLFLOW_EXPERIMENT_ID": experiment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }


def without_loopback_proxy(environ: Mapping[str, str]) -> str:
    """The exceptions from proxies that are given, and loopback."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    return ",".join(dict.fromkeys([*names, *LOOPBACK]))


def ensure_bundle(authority: Path) -> Path:
    """Certificates that jobs trust: certifi's, those the emulator was told of, and its own."""
    told = os.environ.get("REQUESTS_CA_BUNDLE")
    sources = [Path(certifi.where()), *([Path(told)] if told else []), authority]
    found = dict.fromkeys(each for path in sources for each in CERTIFICATE.findall(readable(path)))
    content = "".join(f"{each}\n" for each in found)
    bundle = authority.with_name("job-bundle.pem")
    if readable(bundle) != content:
        write_private(bundle, content.encode())
    return bundle


def readable(path: Path) -> str:
    """A file's text; nothing when it cannot be read: a trust that is gone is no trust."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def run_variables(scope: str, root: str, name: str, experiment: str) -> dict[str, str]:
    """What Azure ML tells a job about itself. `scope`: the ARM id of the workspace."""
    parts = scope.split("/")
    return {
        "AZUREML_RUN_ID": name,
        "AZUREML_ROOT_RUN_ID": root,
        "AZUREML_ARM_SUBSCRIPTION": parts[2],
        "AZUREML_ARM_RESOURCEGROUP": parts[4],
        "AZUREML_ARM_WORKSPACE_NAME": parts[-1],
        "AZUREML_EXPERIMENT_NAME": experiment,
        "MLFLOW_RUN_ID": name,
        "MLFLOW_EXPERIMENT_NAME": experiment,
    }
