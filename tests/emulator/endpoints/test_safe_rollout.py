"""A blue/green rollout as Microsoft's guide for managed online endpoints goes, told as one story.

https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints; nothing
but public calls of azure.ai.ml.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.constants._endpoint import EndpointInvokeFields
from azure.ai.ml.entities import (
    CodeConfiguration,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    OnlineRequestSettings,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

NAME = "fares-safely"
SCORE = """
import json, os

def init():
    print("serving", os.environ["AZUREML_MODEL_DIR"])

def run(raw):
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(os.environ["SLOT"] + "\\n")
    return [os.environ["SLOT"], len(json.loads(raw)["data"])]
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every deployment notes that a request came, mirrored ones included."""
    path = tmp_path_factory.mktemp("seen") / "seen.txt"
    path.touch()
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    (folder / "onlinescoring").mkdir()
    (folder / "onlinescoring" / "score.py").write_text(SCORE)
    (folder / "conda.yaml").write_text("dependencies: [python=3.11]\n")
    (folder / "sample-request.json").write_text('{"data": [[1, 2], [3, 4]]}')
    for number in (1, 2):
        (folder / f"model-{number}.txt").write_text(str(number))
    return folder


def slot(sources: Path, seen: Path, name: str, model: str) -> ManagedOnlineDeployment:
    return ManagedOnlineDeployment(
        name=name,
        endpoint_name=NAME,
        model=Model(path=str(sources / model)),
        environment=Environment(
            conda_file=str(sources / "conda.yaml"), image="mcr.microsoft.com/azureml/minimal:latest"
        ),
        code_configuration=CodeConfiguration(
            code=str(sources / "onlinescoring"), scoring_script="score.py"
        ),
        environment_variables={"SLOT": name, "SEEN": str(seen)},
        instance_type="Standard_DS3_v2",
        instance_count=1,
        request_settings=OnlineRequestSettings(
            request_timeout_ms=20_000, max_concurrent_requests_per_instance=8
        ),
    )


@pytest.fixture
def headers_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client keeps the deployment it was asked for, for every later call of the process."""
    kept = dict(EndpointInvokeFields.DEFAULT_HEADER)
    monkeypatch.setattr(EndpointInvokeFields, "DEFAULT_HEADER", kept)


@pytest.mark.usefixtures("headers_restored")
def test_a_rollout_goes_as_the_guide_says(
    workspace: Any, sources: Path, seen: Path, eventually: Callable[..., None]
) -> None:
    ml_client, request = workspace, str(sources / "sample-request.json")

    def invoke(**where: str) -> Any:
        return json.loads(
            ml_client.online_endpoints.invoke(endpoint_name=NAME, request_file=request, **where)
        )

    def refused(match: str, act: Callable[[], Any], status: int = 400) -> None:
        with pytest.raises(HttpResponseError, match=match) as caught:
            act().result()
        assert caught.value.status_code == status

    # An endpoint without deployments has nowhere to send a request.
    endpoint = ManagedOnlineEndpoint(name=NAME, auth_mode="key", tags={"foo": "bar"})
    ml_client.begin_create_or_update(endpoint).result()
    with pytest.raises(HttpResponseError) as caught:
        invoke()
    assert caught.value.status_code == 404

    # Blue takes everything, and is scaled.
    ml_client.begin_create_or_update(slot(sources, seen, "blue", "model-1.txt")).result()
    endpoint.traffic = {"blue": 100}
    ml_client.begin_create_or_update(endpoint).result()
    assert invoke() == ["blue", 2]
    blue = ml_client.online_deployments.get(name="blue", endpoint_name=NAME)
    blue.instance_count = 2
    ml_client.online_deployments.begin_create_or_update(blue).result()
    found = ml_client.online_deployments.get(name="blue", endpoint_name=NAME)
    assert (found.instance_count, found.provisioning_state) == (2, "Succeeded")

    # Green gets no traffic before somebody says so, but can be asked by its name.
    endpoint.traffic = {"blue": 90, "green": 10}
    refused("green", lambda: ml_client.begin_create_or_update(endpoint))
    ml_client.begin_create_or_update(slot(sources, seen, "green", "model-2.txt")).result()
    details = ml_client.online_endpoints.get(name=NAME)
    assert {name: share for name, share in details.traffic.items() if share} == {"blue": 100}
    assert details.scoring_uri.startswith("https://")
    assert {invoke()[0] for _ in range(10)} == {"blue"}
    assert "serving" in ml_client.online_deployments.get_logs(
        name="blue", endpoint_name=NAME, lines=50
    )

    # Mirrored requests arrive at green; clients are answered by blue alone.
    endpoint.traffic, endpoint.mirror_traffic = {"blue": 100}, {"green": 50}
    ml_client.begin_create_or_update(endpoint).result()
    before = Counter(seen.read_text().split())["green"]
    assert {invoke()[0] for _ in range(24)} == {"blue"}
    eventually(lambda: Counter(seen.read_text().split())["green"] > before)
    endpoint.mirror_traffic = {"green": 60}
    refused("at most 50", lambda: ml_client.begin_create_or_update(endpoint))
    refused("green", lambda: ml_client.online_deployments.begin_delete("green", NAME))
    endpoint.mirror_traffic = {"green": 0}
    ml_client.begin_create_or_update(endpoint).result()

    # A share that does not make 100 is refused, and changes nothing.
    endpoint.traffic = {"blue": 90, "green": 20}
    refused("Sum of traffic", lambda: ml_client.begin_create_or_update(endpoint))
    assert ml_client.online_endpoints.get(NAME).traffic["blue"] == 100
    endpoint.traffic = {"blue": 50, "green": 50}
    ml_client.begin_create_or_update(endpoint).result()
    assert {invoke()[0] for _ in range(40)} == {"blue", "green"}
    refused("blue", lambda: ml_client.online_deployments.begin_delete("blue", NAME))

    # Green takes over; then blue may go, and the endpoint at last.
    endpoint.traffic = {"blue": 0, "green": 100}
    ml_client.begin_create_or_update(endpoint).result()
    assert {invoke()[0] for _ in range(10)} == {"green"}
    ml_client.online_deployments.begin_delete(name="blue", endpoint_name=NAME).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.online_deployments.get(name="blue", endpoint_name=NAME)
    assert [each.name for each in ml_client.online_deployments.list(NAME)] == ["green"]
    assert invoke(deployment_name="green") == ["green", 2]
    with pytest.raises(Exception, match="blue"):
        invoke(deployment_name="blue")
    ml_client.online_endpoints.begin_delete(name=NAME).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.online_endpoints.get(NAME)
