"""Endpoints and deployments as the SDK creates, reads, changes and deletes them."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError


def test_an_endpoint_is_read_back_as_it_was_written(bench: Any, pair: str) -> None:
    entity = bench.client.online_endpoints.get(pair)
    assert (entity.name, entity.auth_mode, entity.provisioning_state) == (pair, "key", "Succeeded")
    assert entity.tags == {"team": "fares"}
    assert pair in {each.name for each in bench.client.online_endpoints.list()}


def test_a_deployment_is_read_back_as_it_was_written(bench: Any, pair: str) -> None:
    entity = bench.client.online_deployments.get("blue", pair)
    assert entity.provisioning_state == "Succeeded"
    assert entity.instance_count == 1
    assert entity.environment_variables["WHO"] == "blue"
    assert entity.request_settings.request_timeout_ms == 20_000
    names = {each.name for each in bench.client.online_deployments.list(pair)}
    assert names == {"blue", "green"}


def test_the_sdk_invokes_it(bench: Any, pair: str, tmp_path: Any) -> None:
    bench.traffic(pair, {"blue": 100})
    request = tmp_path / "request.json"
    request.write_text("{}")
    answer = bench.client.online_endpoints.invoke(pair, request_file=str(request))
    assert '"who": "blue"' in answer


def test_the_model_lies_under_its_name_as_in_azure(caller: Any, bench: Any, pair: str) -> None:
    bench.traffic(pair, {"blue": 100})
    assert caller.post().document["model"] == ["model/weights.txt"]


def test_both_containers_have_logs(bench: Any, pair: str) -> None:
    get_logs = bench.client.online_deployments.get_logs
    assert "loaded ['model/weights.txt']" in get_logs("blue", pair, 200)
    assert len(get_logs("blue", pair, 2).splitlines()) == 2
    storage = get_logs("blue", pair, 50, container_type="storage-initializer")
    assert "downloaded model" in storage


@pytest.mark.parametrize(
    ("shares", "mirror"),
    [
        ({"blue": 30}, {}),
        ({"blue": 70, "green": 40}, {}),
        ({"red": 100}, {}),
        ({"blue": 100}, {"green": 60}),
        ({"blue": 100}, {"blue": 10}),
    ],
)
def test_bad_traffic_is_refused_and_changes_nothing(
    bench: Any, pair: str, shares: dict[str, int], mirror: dict[str, int]
) -> None:
    bench.traffic(pair, {"blue": 100})
    with pytest.raises(HttpResponseError) as caught:
        bench.traffic(pair, shares, mirror)
    assert caught.value.status_code == 400
    assert bench.client.online_endpoints.get(pair).traffic["blue"] == 100


def test_a_deployment_with_live_or_mirror_traffic_is_not_deleted(bench: Any, pair: str) -> None:
    bench.traffic(pair, {"blue": 100}, {"green": 10})
    for name in ("blue", "green"):
        with pytest.raises(HttpResponseError, match="cannot be deleted"):
            bench.client.online_deployments.begin_delete(name, pair).result()
    assert bench.client.online_deployments.get("green", pair).provisioning_state == "Succeeded"


def test_writing_an_endpoint_replaces_what_is_left_out(bench: Any) -> None:
    bench.endpoint("replaced", tags={"a": "1"}, description="first")
    bench.endpoint("replaced", tags={"b": "2"})
    entity = bench.client.online_endpoints.get("replaced")
    assert entity.tags == {"b": "2"}
    assert entity.description is None


def test_keys_survive_a_write_and_change_one_by_one(bench: Any) -> None:
    bench.endpoint("keyed")
    operations = bench.client.online_endpoints
    first = operations.get_keys("keyed")
    bench.endpoint("keyed", tags={"a": "1"})
    assert operations.get_keys("keyed").primary_key == first.primary_key
    operations.begin_regenerate_keys("keyed", key_type="primary").result()
    second = operations.get_keys("keyed")
    assert second.primary_key != first.primary_key
    assert second.secondary_key == first.secondary_key


def test_a_missing_endpoint_or_deployment_is_not_found(bench: Any, pair: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        bench.client.online_endpoints.get("nowhere")
    with pytest.raises(ResourceNotFoundError):
        bench.client.online_deployments.get("red", pair)


def test_a_crash_in_init_fails_the_operation_with_its_log(bench: Any) -> None:
    bench.endpoint("crashing")
    with pytest.raises(HttpResponseError, match="no weights today"):
        bench.deployment("crashing", "blue", {"CRASH_IN_INIT": "1"})
    assert bench.client.online_deployments.get("blue", "crashing").provisioning_state == "Failed"
    assert "no weights today" in bench.client.online_deployments.get_logs("blue", "crashing", 100)


def test_a_failed_deployment_can_be_mended_and_deleted(bench: Any) -> None:
    bench.endpoint("mended")
    with pytest.raises(HttpResponseError):
        bench.deployment("mended", "blue", {"CRASH_IN_INIT": "1"})
    assert bench.deployment("mended", "blue").provisioning_state == "Succeeded"
    bench.client.online_deployments.begin_delete("blue", "mended").result()
    assert list(bench.client.online_deployments.list("mended")) == []


def test_a_failed_change_leaves_the_serving_one_alone(bench: Any) -> None:
    bench.endpoint("kept-serving")
    bench.deployment("kept-serving", "blue", {"WHO": "old"})
    bench.traffic("kept-serving", {"blue": 100})
    with pytest.raises(HttpResponseError):
        bench.deployment("kept-serving", "blue", {"WHO": "new", "CRASH_IN_INIT": "1"})
    assert bench.caller("kept-serving").post().document["who"] == "old"


def test_a_scoring_script_outside_of_the_code_is_refused(bench: Any) -> None:
    from azure.ai.ml.entities import CodeConfiguration

    bench.endpoint("climbing")
    code = CodeConfiguration(code=str(bench.folder / "code"), scoring_script="../score.py")
    entity = bench.entity("climbing", "blue", code_configuration=code)
    begin = bench.client.online_deployments.begin_create_or_update
    with pytest.raises(HttpResponseError, match="outside of the code"):
        begin(entity, skip_script_validation=True).result()


def test_a_registry_model_is_deployed_by_its_uri(bench: Any, registry: Any) -> None:
    from azure.ai.ml.entities import Model

    shared = Model(name="shared-weights", version="3", path=str(bench.folder / "model"))
    registry.models.create_or_update(shared)
    uri = "azureml://registries/mlrtest/models/shared-weights/versions/3"
    bench.endpoint("from-registry")
    bench.deployment("from-registry", "blue", model=uri)
    bench.traffic("from-registry", {"blue": 100})
    assert bench.caller("from-registry").post().document["model"] == ["model/weights.txt"]


def test_a_model_that_does_not_exist_is_refused(bench: Any, pair: str) -> None:
    with pytest.raises(HttpResponseError):
        bench.deployment(pair, "red", model="azureml:nothing:7")


def test_deleting_an_endpoint_takes_its_deployments_along(bench: Any) -> None:
    bench.endpoint("short-lived")
    bench.deployment("short-lived", "blue")
    bench.traffic("short-lived", {"blue": 100})
    caller = bench.caller("short-lived")
    bench.client.online_endpoints.begin_delete("short-lived").result()
    with pytest.raises(ResourceNotFoundError):
        bench.client.online_endpoints.get("short-lived")
    assert caller.post().status == 404


def test_a_recreated_deployment_starts_with_no_share_and_an_empty_log(bench: Any) -> None:
    bench.endpoint("recreated")
    bench.deployment("recreated", "blue", {"WHO": "first"})
    bench.traffic("recreated", {"blue": 100})
    bench.caller("recreated").post({"raise": True})
    bench.traffic("recreated", {"blue": 0})
    bench.client.online_deployments.begin_delete("blue", "recreated").result()
    bench.deployment("recreated", "blue", {"WHO": "second"})
    assert not bench.client.online_endpoints.get("recreated").traffic.get("blue")
    assert "asked to" not in bench.client.online_deployments.get_logs("blue", "recreated", 999)


def test_workspaces_of_one_name_in_two_groups_keep_their_endpoints_apart(
    bench: Any, pair: str, emulator: Any
) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    other = emulator.workspace("rg-other")
    created = other.online_endpoints.begin_create_or_update(
        ManagedOnlineEndpoint(name=pair, auth_mode="key")
    ).result()
    assert created.scoring_uri != bench.client.online_endpoints.get(pair).scoring_uri
    assert list(other.online_deployments.list(pair)) == []
