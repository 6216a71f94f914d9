"""connect(): SDK clients from settings; the one place that knows local from azure."""

import gc
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from taxiops.cloud import local
from taxiops.cloud.failures import azure_errors
from taxiops.config import AZURE, EnvironmentSettings, Settings, load_settings
from taxiops.errors import UsageError

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential


@dataclass(frozen=True)
class Connection:
    """One environment's workspace and the registry, on the emulator or in Azure.

    cloud: keyword arguments of MLClient that name the cloud; empty in Azure.
    arm: base URL of the resource manager.
    ca_file: certificates to trust when scoring; empty: the system's.
    """

    settings: Settings
    environment: EnvironmentSettings
    credential: "TokenCredential"
    cloud: Mapping[str, Any]
    arm: str
    ca_file: str

    @property
    def is_near(self) -> bool:
        """Whether the service is on this machine, so that asking it often costs nobody."""
        return urlsplit(self.arm).hostname in local.LOOPBACK

    @cached_property
    def workspace(self) -> "MLClient":
        """The client of the environment's workspace; makes no request by itself."""
        return self.client(
            subscription_id=self.settings.subscription,
            resource_group_name=self.environment.resource_group,
            workspace_name=self.environment.workspace,
        )

    @cached_property
    def registry(self) -> "MLClient":
        """The client of the registry; one discovery request."""
        with azure_errors(f"Finding registry {self.settings.registry}"):
            return self.client(registry_name=self.settings.registry)

    def client(self, **where: str) -> "MLClient":
        from azure.ai.ml import MLClient

        quiet_sdk()
        return MLClient(
            credential=self.credential, enable_telemetry=False, **where, **dict(self.cloud)
        )


def connect(cloud: str, env: str, settings: Settings | None = None) -> Connection:
    """A connection to `env` (`dev` or `prod`) in `cloud` (`local` or `azure`).

    Locally, starts the emulator if it does not run. Without `settings`, those of this process.
    Raises UsageError for settings that do not suffice, StepFailed when the emulator does not start.
    """
    if settings is None:
        settings = load_settings({"cloud": cloud, "env": env}, os.environ, Path.cwd())
    environment = settings.environment(env)
    prepare_process(os.environ)
    if cloud == AZURE:
        require(settings, environment)
        return azure_connection(settings, environment)
    return local_connection(settings, environment)


def prepare_process(environ: MutableMapping[str, str]) -> None:
    """What must be set before azure.ai.ml is imported: its polling, and no bars and asides.

    The SDK refuses to be imported in a cloud that it does not know, as a parent may have named one;
    once it is imported, the variable names the cloud of our own clients.
    """
    if "azure.ai.ml" not in sys.modules:
        environ.pop("AZUREML_CURRENT_CLOUD", None)
    for name, value in local.POLLING.items():
        environ.setdefault(name, value)
    environ.setdefault("TQDM_DISABLE", "1")


def import_sdk() -> None:
    """Half of a command's start is this import, and much of its end is letting go of it.

    Nothing of the SDK's modules is ever garbage, so no collection looks at them.
    """
    if "azure.ai.ml" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import azure.ai.ml  # noqa: F401
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def quiet_sdk() -> None:
    """Several loggers of the SDK have handlers and levels of their own, and write asides there."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("azure."):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def local_connection(settings: Settings, environment: EnvironmentSettings) -> Connection:
    from azure.identity import ClientSecretCredential

    emulator = local.still_running(settings) or started(settings)
    bundle = local.trust(emulator, os.environ)
    local.avoid_proxies(os.environ)
    credential = ClientSecretCredential(
        emulator.tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=emulator.arm,
        disable_instance_discovery=True,
    )
    cloud = {"cloud": emulator.cloud_name, "cloud_metadata": emulator.metadata()}
    return Connection(settings, environment, credential, cloud, emulator.arm, str(bundle))


def started(settings: Settings) -> local.Emulator:
    """The emulator, started if it did not run."""
    starting = local.begin_start(settings)
    # The emulator comes up meanwhile.
    import_sdk()
    return local.finish_start(starting, settings)


def azure_connection(settings: Settings, environment: EnvironmentSettings) -> Connection:
    from taxiops.cloud.credentials import azure_credential, resource_manager

    import_sdk()
    credential = azure_credential(settings, os.environ)
    ca_file = os.environ.get("REQUESTS_CA_BUNDLE", "")
    arm = resource_manager(os.environ)
    return Connection(settings, environment, credential, {}, arm, ca_file)


def require(settings: Settings, environment: EnvironmentSettings) -> None:
    """Raises UsageError naming every variable that Azure needs and that is not set."""
    group = f"{environment.name}_resource_group"
    variables = {
        "AZURE_SUBSCRIPTION_ID": settings.subscription,
        f"AML_{environment.name.upper()}_RESOURCE_GROUP": environment.resource_group,
    }
    missing = [name for name, value in variables.items() if not value]
    if missing:
        raise UsageError(
            f"Azure needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not set.",
            why=f"subscription and {group} have no default for --cloud azure.",
            hint=f"export {missing[0]}=..., or use --cloud local",
            code="azure-settings-missing",
        )
