"""Registries: sharing into one, reading Microsoft's public one, deleting over ARM."""

from pathlib import Path
from typing import Any

import pytest

REGISTRY_ARM = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-test"
    "/providers/Microsoft.MachineLearningServices/registries/mlrtest"
)


def test_models_data_and_environments_are_shared_with_their_bytes(
    workspace: Any, registry: Any, weights: Path, tmp_path: Path
) -> None:
    from azure.ai.ml.entities import BuildContext, Data, Environment, Model

    where = {"share_with_name": "shared", "share_with_version": "7", "registry_name": "mlrtest"}
    workspace.models.create_or_update(Model(path=str(weights), name="own", version="1"))
    shared = workspace.models.share("own", "1", **where)
    assert shared.id == "azureml://registries/mlrtest/models/shared/versions/7"
    workspace.data.create_or_update(
        Data(path=str(weights), name="own", version="1", type="uri_folder")
    )
    assert workspace.data.share("own", "1", **where).version == "7"
    build = BuildContext(path=str(weights), dockerfile_path="model.txt")
    workspace.environments.create_or_update(Environment(name="own", version="1", build=build))
    assert workspace.environments.share("own", "1", **where).build.dockerfile_path == "model.txt"
    registry.models.download("shared", "7", download_path=tmp_path / "down")
    assert [path.read_text() for path in (tmp_path / "down").rglob("*.txt")] == ["1 2 3"]
    assert registry.models.get("shared", label="latest").version == "7"


def test_a_component_is_not_shared_but_told_why(wire: Any) -> None:
    body = {"properties": {"componentSpec": {"type": "command", "command": "true"}}}
    assert wire.call("PUT", "components/mine/versions/1", body).status_code == 201
    source = {"sourceAssetId": f"{wire.home}/components/mine/versions/1"}
    answer = wire.call(
        "POST", f"/mferp/managementfrontend{REGISTRY_ARM}/import", {"properties": source}
    )
    assert answer.status_code == 400
    assert "create it in the registry" in answer.json()["error"]["message"]


def test_a_version_is_deleted_over_arm_as_a_long_running_operation(
    registry: Any, wire: Any, weights: Path
) -> None:
    from azure.ai.ml.entities import Model

    registry.models.create_or_update(Model(path=str(weights), name="gone", version="1"))
    answer = wire.call("DELETE", f"{REGISTRY_ARM}/models/gone/versions/1")
    assert answer.status_code == 202
    polled = wire.get_url(answer.headers["azure-asyncoperation"], wire.token())
    assert polled.json()["status"] == "Succeeded"
    assert wire.call("DELETE", f"{REGISTRY_ARM}/models/gone/versions/1").status_code == 204
    assert wire.call("GET", f"{REGISTRY_ARM}/models/gone/versions").json() == {"value": []}


def test_microsofts_registry_has_the_curated_environments(
    emulator: Any, workspace: Any, wire: Any
) -> None:
    from azure.ai.ml.entities import Environment
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    public = emulator.client(registry_name="azureml")
    found = public.environments.get("sklearn-1.5", label="latest")
    assert (
        found.id
        == f"azureml://registries/azureml/environments/sklearn-1.5/versions/{found.version}"
    )
    assert found.image.startswith("mcr.microsoft.com/azureml/curated/sklearn-1.5:")
    assert {"sklearn-1.5", "acpt-pytorch-2.2-cuda12.1"} <= {
        e.name for e in public.environments.list()
    }
    assert workspace.environments.get("AzureML-sklearn-1.5", "3").version == "3"
    with pytest.raises(ResourceNotFoundError):
        public.environments.get("none-such", "1")
    with pytest.raises(HttpResponseError, match="read only"):
        public.environments.create_or_update(Environment(name="mine", version="1", image="x"))
    with pytest.raises(ResourceNotFoundError, match="register your own"):
        public.components.get("train_model", "1")


def test_a_registry_is_made_listed_and_deleted_with_what_is_in_it(
    emulator: Any, wire: Any, weights: Path
) -> None:
    from azure.ai.ml.entities import (
        Model,
        Registry,
        RegistryRegionDetails,
        SystemCreatedStorageAccount,
    )
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    admin = emulator.client(
        subscription_id="00000000-0000-0000-0000-000000000000", resource_group_name="rg-new"
    )
    storage = SystemCreatedStorageAccount(
        storage_account_hns=False, storage_account_type="standard_lrs", replication_count=2
    )
    where = [RegistryRegionDetails(location="eastus", storage_config=storage)]

    def wanted(name: str) -> Any:
        return Registry(name=name, location="eastus", tags={"a": "1"}, replication_locations=where)

    made = admin.registries.begin_create(wanted("mlrnew")).result()
    replicas = made.replication_locations[0].storage_config.replicated_ids
    assert len(set(replicas)) == 2
    assert all("/Microsoft.Storage/storageAccounts/" in each for each in replicas)
    assert (made.name, made.tags, made.replication_locations[0].location) == (
        "mlrnew",
        {"a": "1"},
        "eastus",
    )
    assert [each.name for each in admin.registries.list()] == ["mlrnew"]
    assert {"mlrnew", "mlrtest"} <= {e.name for e in admin.registries.list(scope="subscription")}
    model = Model(path=str(weights), name="inside", version="1")
    emulator.client(registry_name="mlrnew").models.create_or_update(model)
    for name in ("MLRTEST", "azureml", "a_b"):
        with pytest.raises(HttpResponseError):
            admin.registries.begin_create(wanted(name)).result()
    admin.registries.begin_delete(name="mlrnew").result()
    with pytest.raises(ResourceNotFoundError):
        admin.registries.get("mlrnew")
    admin.registries.begin_create(wanted("mlrnew")).result()
    assert list(emulator.client(registry_name="mlrnew").models.list()) == []
    admin.registries.begin_delete(name="mlrnew").result()
