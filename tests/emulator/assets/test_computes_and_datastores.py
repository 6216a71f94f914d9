"""What a workspace is made of beside assets: computes that jobs name, storage that it knows."""

from typing import Any

import pytest


def test_the_life_of_a_cluster_and_of_an_instance(workspace: Any) -> None:
    from azure.ai.ml.entities import AmlCompute, ComputeInstance
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    made = workspace.compute.begin_create_or_update(
        AmlCompute(name="gpu-cluster", size="Standard_NC6s_v3", max_instances=3, tags={"a": "1"})
    ).result()
    assert (made.size, made.max_instances, made.tier) == ("Standard_NC6s_v3", 3, "dedicated")
    made.idle_time_before_scale_down = 240
    workspace.compute.begin_update(made).result()
    read = workspace.compute.get("GPU-Cluster")
    assert (read.idle_time_before_scale_down, read.tags) == (240, {"a": "1"})
    workspace.compute.begin_create_or_update(ComputeInstance(name="desk")).result()
    workspace.compute.begin_stop("desk").result()
    assert workspace.compute.get("desk").state == "Stopped"
    workspace.compute.begin_start("desk").result()
    assert workspace.compute.get("desk").state == "Running"
    workspace.compute.begin_restart("desk").result()
    names = {each.name for each in workspace.compute.list()}
    assert names == {"cpu-cluster", "gpu-cluster", "desk"}
    assert list(workspace.compute.list_nodes("gpu-cluster")) == []
    with pytest.raises(HttpResponseError, match="another type"):
        workspace.compute.begin_create_or_update(ComputeInstance(name="gpu-cluster")).result()
    with pytest.raises(HttpResponseError, match="ComputeInstance"):
        workspace.compute.begin_stop("gpu-cluster").result()
    for name in ("desk", "gpu-cluster"):
        workspace.compute.begin_delete(name).result()
    with pytest.raises(ResourceNotFoundError):
        workspace.compute.get("desk")


def compute(kind: str = "AmlCompute", **inner: object) -> dict[str, object]:
    return {"location": "x", "properties": {"computeType": kind, "properties": inner}}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("1st", compute()),
        ("a" * 33, compute()),
        ("a_b", compute()),
        ("good", {}),
        ("good", {"properties": []}),
        ("good", compute("Databricks")),
        ("good", compute(scaleSettings={"minNodeCount": 2, "maxNodeCount": 1})),
        ("good", compute(scaleSettings={"minNodeCount": "x", "maxNodeCount": 1})),
        ("good", compute(scaleSettings=[1])),
    ],
)
def test_what_is_no_compute_is_refused(wire: Any, name: str, body: object) -> None:
    assert wire.call("PUT", f"computes/{name}", body).status_code == 400
    assert wire.call("GET", f"computes/{name}").status_code == 404


def test_a_password_for_a_cluster_is_not_kept(wire: Any) -> None:
    secret = {"adminUserName": "azureuser", "adminUserPassword": "s3cret-word"}
    answer = wire.call("PUT", "computes/locked", compute(userAccountCredentials=secret))
    assert answer.status_code == 201
    read = wire.call("GET", "computes/locked").text
    assert "azureuser" in read
    assert "s3cret-word" not in answer.text + read
    wire.call("DELETE", "computes/locked")


def test_storage_elsewhere_is_remembered_and_never_reached(workspace: Any) -> None:
    from azure.ai.ml.entities import AccountKeyConfiguration, AzureBlobDatastore, Data
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    attached = AzureBlobDatastore(
        name="elsewhere",
        account_name="theirs",
        container_name="trips",
        credentials=AccountKeyConfiguration(account_key="a2V5"),
    )
    workspace.datastores.create_or_update(attached)
    plain = workspace.datastores.get("elsewhere")
    assert (plain.account_name, plain.container_name) == ("theirs", "trips")
    assert not getattr(plain.credentials, "account_key", None)
    told = workspace.datastores.get("elsewhere", include_secrets=True)
    assert told.credentials.account_key == "a2V5"
    path = "azureml://datastores/elsewhere/paths/a.csv"
    assert workspace.data.create_or_update(Data(name="far", path=path, type="uri_file")).path
    names = {each.name for each in workspace.datastores.list()}
    shares = {"workspacefilestore": "azureml-filestore-", "workspaceworkingdirectory": "code-"}
    assert names == {"workspaceblobstore", "workspaceartifactstore", *shares, "elsewhere"}
    for name, begin in shares.items():
        assert workspace.datastores.get(name).file_share_name.startswith(begin)
    workspace.datastores.delete("elsewhere")
    with pytest.raises(ResourceNotFoundError):
        workspace.datastores.get("elsewhere")
    assert workspace.datastores.get_default().name == "workspaceblobstore"
    for act in (
        workspace.datastores.delete,
        lambda name: workspace.datastores.create_or_update(
            AzureBlobDatastore(name=name, account_name="a", container_name="c")
        ),
    ):
        with pytest.raises(HttpResponseError, match="own"):
            act("workspaceblobstore")


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("a-b", {"datastoreType": "AzureBlob"}),
        ("good", {"datastoreType": {}}),
        ("good", {"datastoreType": "Hdfs"}),
        ("good", {"datastoreType": "AzureBlob", "credentials": [1]}),
        ("good", None),
    ],
)
def test_what_is_no_datastore_is_refused(wire: Any, name: str, properties: object) -> None:
    assert wire.call("PUT", f"datastores/{name}", {"properties": properties}).status_code == 400
    assert wire.call("GET", f"datastores/{name}").status_code == 404
