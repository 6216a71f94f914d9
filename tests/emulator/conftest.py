"""One emulator for all tests of this folder, and the SDK's own client of its workspaces."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator import server

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GROUP, OTHER_GROUP, WORKSPACE, REGISTRY = "rg-test", "rg-other", "mlwtest", "mlrtest"
COMPUTE = "cpu-cluster"


def workspace_seed(group: str) -> dict[str, Any]:
    return {
        "subscription": SUBSCRIPTION,
        "resource_group": group,
        "name": WORKSPACE,
        "location": "canadacentral",
        "computes": [COMPUTE],
    }


SEED = {
    # Two workspaces of one name, which Azure allows in two groups.
    "workspaces": [workspace_seed(GROUP), workspace_seed(OTHER_GROUP)],
    "registries": [{"subscription": SUBSCRIPTION, "resource_group": GROUP, "name": REGISTRY}],
}


@dataclass
class EmulatorUnderTest:
    """A running emulator and what a client needs to know of it."""

    state: Path

    @property
    def document(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.state / "emulator.json").read_text("utf-8"))
        return loaded

    @property
    def ca_file(self) -> str:
        return str(self.state / "tls" / "ca.pem")

    def start(self) -> None:
        server.start(self.state, SEED, owner_pid=os.getpid())

    def client(self, **where: str) -> Any:
        """An unmodified MLClient that gets its tokens as anybody would."""
        from azure.ai.ml import MLClient
        from azure.identity import ClientSecretCredential

        document = self.document
        arm = document["arm"]
        credential = ClientSecretCredential(
            document["tenant_id"],
            document["client_id"],
            document["client_secret"],
            authority=arm,
            disable_instance_discovery=True,
        )
        metadata = {
            "azure_portal": arm,
            "resource_manager": arm,
            "active_directory": arm,
            "aml_resource_id": "https://ml.azure.com",
            "storage_endpoint": "local",
            "registry_discovery_endpoint": f"{arm}/",
        }
        return MLClient(
            credential=credential,
            enable_telemetry=False,
            cloud=f"test-{arm.rpartition(':')[2]}",
            cloud_metadata=metadata,
            **where,
        )

    def workspace(self, group: str = GROUP) -> Any:
        return self.client(
            subscription_id=SUBSCRIPTION, resource_group_name=group, workspace_name=WORKSPACE
        )


@pytest.fixture(scope="session")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle of certificates that emulators are added to; requests reads it at each request."""
    import certifi

    bundle = tmp_path_factory.mktemp("trust") / "bundle.pem"
    given = Path(os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where())
    # An earlier test may have left the name of a bundle that went with its own emulator.
    bundle.write_bytes((given if given.is_file() else Path(certifi.where())).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setenv("no_proxy", "127.0.0.1,localhost")
        patch.setenv("AZUREML_RUN_POLLING_INTERVAL_MIN", "1")
        patch.setenv("AZUREML_RUN_POLLING_INTERVAL_MAX", "1")
        yield bundle


@pytest.fixture(autouse=True)
def trusted(trusting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle in force, whatever tests of other rooms in this process left there."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusting))


@pytest.fixture(scope="session")
def emulator(
    tmp_path_factory: pytest.TempPathFactory, trusting: Path
) -> Iterator[EmulatorUnderTest]:
    found = EmulatorUnderTest(tmp_path_factory.mktemp("emulator"))
    found.start()
    with trusting.open("ab") as bundle:
        bundle.write(b"\n" + Path(found.ca_file).read_bytes())
    yield found
    server.stop(found.state)


@pytest.fixture(scope="session")
def workspace(emulator: EmulatorUnderTest) -> Any:
    """The client of the first workspace."""
    return emulator.workspace()


@pytest.fixture(scope="session")
def registry(emulator: EmulatorUnderTest) -> Any:
    return emulator.client(registry_name=REGISTRY)


def wait_for(is_so: Callable[[], object], deadline_s: float = 30.0) -> None:
    """Return when the condition holds; fails after the deadline."""
    end = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    return wait_for
