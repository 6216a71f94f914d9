"""The emulator's process, trust and variables, as a client needs them; no SDK here."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from taxiops.config import DEV, PROD, Settings
from taxiops.errors import StepFailed, UsageError

LOCATION = "local"
LOOPBACK = ("127.0.0.1", "localhost")
START_DEADLINE_S = 60
# The audience of the SDK's tokens; the emulator accepts the public cloud's.
RESOURCE = "https://ml.azure.com"
# Seconds between the SDK's looks at a job; read when azure.ai.ml is imported. 0 would busy-loop.
POLLING = {"AZUREML_RUN_POLLING_INTERVAL_MIN": "1", "AZUREML_RUN_POLLING_INTERVAL_MAX": "1"}


@dataclass(frozen=True)
class Emulator:
    """A running emulator: base URLs, its certificate authority and the one account it knows."""

    arm: str
    blobs: str
    scoring: str
    ca_file: Path
    tenant_id: str
    client_id: str
    client_secret: str

    @property
    def cloud_name(self) -> str:
        """Unique per port: the SDK keeps the first metadata it sees under a name."""
        return f"taxiops-local-{self.arm.rpartition(':')[2]}"

    def metadata(self) -> dict[str, str]:
        """What MLClient calls cloud_metadata.

        Blobs are at https://{account}.blob.local, and the account name the emulator gives is
        127.0.0.1:PORT/ACCOUNT.
        """
        return {
            "azure_portal": self.arm,
            "resource_manager": self.arm,
            "active_directory": self.arm,
            "aml_resource_id": RESOURCE,
            "storage_endpoint": "local",
            "registry_discovery_endpoint": f"{self.arm}/",
        }


def seed_of(settings: Settings) -> dict[str, Any]:
    """The workspaces and the registry that the settings name, for `emulator start --seed`."""
    environments = [settings.environment(name) for name in (DEV, PROD)]
    workspaces = [
        {
            "subscription": settings.subscription,
            "resource_group": environment.resource_group,
            "name": environment.workspace,
            "location": LOCATION,
            "computes": [environment.compute],
        }
        for environment in environments
    ]
    registry = {
        "subscription": settings.subscription,
        "resource_group": settings.dev.resource_group,
        "name": settings.registry,
        "location": LOCATION,
    }
    return {"workspaces": workspaces, "registries": [registry]}


# What this process saw run: state folder -> (process, seed). Asking takes half a second.
_seen: dict[Path, tuple[int, str]] = {}


def still_running(settings: Settings) -> Emulator | None:
    """The emulator that this process started or found with this very seed, if it still listens."""
    try:
        document = json.loads((settings.emulator_state / "emulator.json").read_text("utf-8"))
        seen = (int(document["pid"]), json.dumps(seed_of(settings)))
        if _seen.get(settings.emulator_state) != seen:
            return None
        address = urlsplit(document["arm"])
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=1):
            return read_emulator(settings.emulator_state)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def begin_start(settings: Settings, environments: str = "") -> "subprocess.Popen[str]":
    """Ask for a running emulator; the answer is awaited by `finish_start`.

    environments: what its steps run in; empty: as it runs already, or the default.
    """
    arguments = [sys.executable, "-P", "-m", "taxiops.emulator", "start"]
    arguments += ["--state", str(settings.emulator_state), "--seed", json.dumps(seed_of(settings))]
    arguments += ["--idle-minutes", str(settings.emulator_idle_minutes)]
    if environments:
        arguments += ["--environments", environments]
    environ = {key: value for key, value in os.environ.items() if key != "AZUREML_CURRENT_CLOUD"}
    return subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


def finish_start(process: "subprocess.Popen[str]", settings: Settings) -> Emulator:
    """The running emulator. Raises StepFailed with its own words when it does not start."""
    hint = "taxiops emulator logs"
    try:
        answer, errors = process.communicate(timeout=START_DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise StepFailed(
            f"The emulator did not start within {START_DEADLINE_S} s.",
            hint=hint,
            code="emulator-start",
        ) from error
    if process.returncode != 0:
        why = (errors.strip().splitlines() or ["no message"])[-1]
        if "uvicorn" in why or "cryptography" in why:
            hint = "pip install 'taxiops[emulator]'"
        raise StepFailed(
            "The emulator did not start.", why=why[:500], hint=hint, code="emulator-start"
        )
    with contextlib.suppress(ValueError, KeyError, TypeError):
        _seen[settings.emulator_state] = (json.loads(answer)["pid"], json.dumps(seed_of(settings)))
    return read_emulator(settings.emulator_state)


def read_emulator(state: Path) -> Emulator:
    """What the emulator wrote about itself; raises UsageError when it is not usable."""
    path = state / "emulator.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Emulator(
            arm=document["arm"],
            blobs=document["blobs"],
            scoring=document["scoring"],
            ca_file=state / "tls" / "ca.pem",
            tenant_id=document["tenant_id"],
            client_id=document["client_id"],
            client_secret=document["client_secret"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: not what a running emulator writes ({type(error).__name__}).",
            hint="taxiops emulator reset",
            code="emulator-state",
        ) from error


def trust(emulator: Emulator, environ: MutableMapping[str, str]) -> Path:
    """Make this process and its children trust the emulator as well as whom they trust already.

    requests reads REQUESTS_CA_BUNDLE at each request, which is the only trust that reaches the
    SDK's blob clients. The bundle holds all that was trusted before.
    """
    authority = emulator.ca_file.read_text(encoding="ascii")
    given = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or ""
    trusted = read_bundle(Path(given)) if given else ""
    if not trusted:
        import certifi

        trusted = read_bundle(Path(certifi.where()))
    bundle = emulator.ca_file.with_name("bundle.pem")
    if authority in trusted and Path(given) != bundle:
        bundle = Path(given)
    elif authority not in trusted:
        text = f"{trusted.rstrip()}\n{authority}"
        if read_bundle(bundle) != text:
            replace_file(bundle, text)
    environ["REQUESTS_CA_BUNDLE"] = environ["SSL_CERT_FILE"] = str(bundle)
    return bundle


def read_bundle(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def replace_file(path: Path, text: str) -> None:
    """Written beside and moved into place: other processes read it at any time."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=path.name, delete=False, encoding="utf-8"
    ) as draft:
        draft.write(text)
    Path(draft.name).replace(path)


def avoid_proxies(environ: MutableMapping[str, str]) -> None:
    """Loopback never goes through a proxy; what is excepted already stays so."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    joined = ",".join([*names, *(name for name in LOOPBACK if name not in names)])
    environ["NO_PROXY"] = environ["no_proxy"] = joined


def tracking(emulator: Emulator, settings: Settings) -> dict[str, str]:
    """What points MLflow at the Dev workspace's runs and models, with its own kind of sign-in."""
    dev = settings.environment(DEV)
    workspace = (
        f"/subscriptions/{settings.subscription}/resourceGroups/{dev.resource_group}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{dev.workspace}"
    )
    return {
        "MLFLOW_TRACKING_URI": f"{emulator.arm}/mlflow/v1.0{workspace}",
        "MLFLOW_TRACKING_USERNAME": emulator.client_id,
        "MLFLOW_TRACKING_PASSWORD": emulator.client_secret,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def variables(emulator: Emulator, environ: Mapping[str, str]) -> dict[str, str]:
    """What points a program with an unmodified azure-ai-ml and azure-identity at the emulator.

    The tenant is called adfs because azure-identity then asks no public directory whether it
    knows the authority.
    """
    changed: dict[str, str] = dict(environ)
    trust(emulator, changed)
    avoid_proxies(changed)
    changed.update(POLLING)
    changed.update(
        ARM_CLOUD_METADATA_URL=f"{emulator.arm}/metadata/endpoints?api-version=2019-05-01",
        REGISTRY_DISCOVERY_ENDPOINT_URL=f"{emulator.arm}/",
        AZURE_AUTHORITY_HOST=emulator.arm,
        AZURE_TENANT_ID="adfs",
        AZURE_CLIENT_ID=emulator.client_id,
        AZURE_CLIENT_SECRET=emulator.client_secret,
    )
    return {name: value for name, value in changed.items() if environ.get(name) != value}
