"""Models, data, environments and components of a workspace, as the SDK makes and reads them."""

import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import API

UPLOAD = "azureml://datastores/workspaceblobstore/paths/LocalUpload/x"


def model(wire: Any, name: str, version: object, **properties: object) -> Any:
    body = {"properties": {"modelUri": f"{UPLOAD}/{name}", **properties}}
    return wire.call("PUT", f"models/{name}/versions/{version}", body)


def test_the_life_of_a_model(workspace: Any, weights: Path, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Model

    first = workspace.models.create_or_update(Model(path=str(weights), name="life"))
    second = workspace.models.create_or_update(
        Model(path=str(weights), name="life", tags={"a": "1"}, stage="Development")
    )
    assert (first.version, second.version) == ("1", "2")
    assert workspace.models.get("life", label="latest").version == "2"
    second.tags, second.description = {"a": "2", "b": "3"}, "told"
    workspace.models.create_or_update(second)
    read = workspace.models.get("life", "2")
    assert (read.tags, read.description) == ({"a": "2", "b": "3"}, "told")
    workspace.models.archive("life", "2")
    assert [each.version for each in workspace.models.list("life")] == ["1"]
    assert workspace.models.get("life", label="latest").version == "1"
    workspace.models.restore("life", "2")
    assert workspace.models.get("life", "2").stage == "Development"
    assert [each.version for each in workspace.models.list("life", stage="Development")] == ["2"]
    workspace.models.archive("life")
    assert "life" not in {each.name for each in workspace.models.list()}
    workspace.models.restore("life")
    assert "life" in {each.name for each in workspace.models.list()}
    workspace.models.download("life", "1", download_path=tmp_path / "down")
    assert [path.read_text() for path in (tmp_path / "down").rglob("*.txt")] == ["1 2 3"]


def test_the_content_of_a_version_cannot_be_changed(workspace: Any, wire: Any) -> None:
    from azure.ai.ml.entities import Data, Environment
    from azure.core.exceptions import ResourceExistsError

    assert model(wire, "fixed", 1).status_code == 201
    refused = wire.call("PUT", "models/fixed/versions/1", {"properties": {"modelUri": "other"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "UserError")
    workspace.data.create_or_update(Data(name="fixed", version="1", path="https://a/b.csv"))
    with pytest.raises(ResourceExistsError):
        workspace.data.create_or_update(Data(name="fixed", version="1", path="https://a/c.csv"))
    # Without a version the SDK asks for the newest one, and takes the next when that is another.
    versions = [
        workspace.environments.create_or_update(Environment(name="fixed", image=image)).version
        for image in ("one", "one", "two")
    ]
    assert versions == ["1", "1", "2"]


def test_an_anonymous_version_stays_as_it_was(wire: Any) -> None:
    assert model(wire, "nameless", 1, isAnonymous=True).status_code == 201
    body = {"properties": {"modelUri": f"{UPLOAD}/again", "isAnonymous": True}}
    again = wire.call("PUT", "models/nameless/versions/1", body)
    assert again.status_code == 200
    assert again.json()["properties"]["modelUri"].endswith("/nameless")


def test_nameless_components_that_differ_have_versions_of_their_own(wire: Any) -> None:
    """The client names both by one digest, which leaves out the components' names."""

    def made(name: str) -> Any:
        inputs = {"x": {"type": "number"}, "y": {"type": "number", "optional": True}}
        spec = {"name": name, "type": "command", "command": "true", "inputs": inputs}
        body = {"properties": {"componentSpec": spec, "isAnonymous": True}}
        return wire.call("PUT", "components/azureml_anonymous/versions/d1gest", body)

    one, other = made("one"), made("other")
    assert (one.status_code, other.status_code, made("other").status_code) == (201, 201, 200)
    assert one.json()["id"] != other.json()["id"] == made("other").json()["id"]
    spec = other.json()["properties"]["componentSpec"]
    assert spec["name"] == "other"
    assert {key: each["optional"] for key, each in spec["inputs"].items()} == {
        "x": False,
        "y": True,
    }


def test_a_component_comes_back_as_azure_tells_it(wire: Any) -> None:
    """Whole numbers as texts, a curated environment by its registry's name, defaults filled in."""
    curated = f"azureml:{wire.home}/environments/AzureML-{{}}/versions/7"

    def told(name: str, spec: dict[str, Any]) -> Any:
        body = {"properties": {"componentSpec": {"name": name, **spec}}}
        answer = wire.call("PUT", f"components/{name}/versions/1", body)
        assert answer.status_code == 201
        told = answer.json()["properties"]["componentSpec"]
        for same in (body, {"properties": {"componentSpec": told}}):
            assert wire.call("PUT", f"components/{name}/versions/1", same).status_code == 200
        return told

    nodes = {"type": "pytorch", "process_count_per_instance": 4}
    environment = curated.format("sklearn-1.0-ubuntu20.04-py38-cpu")
    command = told("wide", {"type": "command", "distribution": nodes, "environment": environment})
    registry = "azureml://registries/azureml/environments"
    assert command["distribution"] == {"type": "pytorch", "process_count_per_instance": "4"}
    assert (
        command["environment"] == f"{registry}/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu/versions/7"
    )
    assert command["resources"] == {"instance_count": 1}
    task = {"environment": curated.format("sklearn-1.5"), "entry_script": "a.py"}
    parallel = told("split", {"type": "parallel", "resources": {"instance_count": 2}, "task": task})
    assert parallel["task"] == {**task, "environment": f"{registry}/sklearn-1.5/versions/7"}
    assert "resources" not in parallel
    port = {"type": "uri_file", "mode": "direct"}
    spark = told("spread", {"type": "spark", "inputs": {"a": port}, "outputs": {"b": port}})
    assert spark["inputs"] == {"a": {"type": "uri_file", "optional": False}}
    assert spark["outputs"] == {"b": {"type": "uri_file"}}
    for asked, version in (("AzureML-sklearn-1.5:3", "3"), ("AzureML-sklearn-1.5@latest", "52")):
        short = told(f"short-{version}", {"type": "command", "environment": f"azureml:{asked}"})
        assert short["environment"] == f"{registry}/sklearn-1.5/versions/{version}"
    own = told("own", {"type": "command", "environment": "azureml:ours:1"})
    assert own["environment"] == "azureml:ours:1"
    step = {"computeId": "${{parent.inputs.where}}"}
    where = {"type": "string", "default": "azureml:cpu-cluster"}
    inputs = {"where": where, "other": where}
    chain = told("chain", {"type": "pipeline", "jobs": {"one": step}, "inputs": inputs})
    assert chain["is_deterministic"] is False
    assert [each["default"] for each in chain["inputs"].values()] == [
        "cpu-cluster",
        "azureml:cpu-cluster",
    ]
    proposed = wire.call("GET", "components/wide").json()["properties"]["nextVersion"]
    assert re.fullmatch(r"\d{4}(-\d\d){5}-\d{7}", proposed)


def test_a_folder_of_data_has_a_long_address_that_ends_in_a_slash(
    workspace: Any, weights: Path
) -> None:
    from azure.ai.ml.entities import Data

    made = workspace.data.create_or_update(Data(path=str(weights), name="trips"))
    assert made.path.startswith("azureml://subscriptions/")
    assert made.path.endswith("/weights/")
    assert workspace.data.get("trips", label="latest").path == made.path


def test_code_can_be_downloaded_again(workspace: Any, weights: Path, tmp_path: Path) -> None:
    """Its address names the storage account, by which the SDK finds its container."""
    from azure.ai.ml.entities._assets import Code

    made = workspace._code.create_or_update(Code(path=str(weights), name="snapshot", version="1"))
    workspace._code.download(made.name, made.version, download_path=tmp_path / "code")
    assert (tmp_path / "code" / "model.txt").read_text() == "1 2 3"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("models/.hidden/versions/1", {"properties": {"modelUri": "x"}}, 400),
        ("models/a%20b/versions/1", {"properties": {"modelUri": "x"}}, 400),
        ("models/a/versions/" + "9" * 101, {"properties": {"modelUri": "x"}}, 400),
        ("models/a/versions/1", {"properties": {}}, 400),
        ("models/a/versions/1", {"properties": {"modelUri": 7}}, 400),
        ("models/a/versions/1", {"properties": {"modelUri": "x", "tags": [1]}}, 400),
        ("models/a/versions/1", {}, 400),
        ("models/a/versions/1", {"properties": {"modelUri": "azureml://jobs/no/outputs/o"}}, 400),
        ("data/a/versions/1", {"properties": {"dataType": "uri_file"}}, 400),
        ("environments/a/versions/1", {"properties": {"image": "i", "build": {"c": 1}}}, 400),
        ("environments/a/versions/1", {"properties": {}}, 400),
        ("components/a/versions/1", {"properties": {"componentSpec": "text"}}, 400),
        ("environments/AzureML-minimal/versions/1", {"properties": {"image": "x"}}, 403),
    ],
)
def test_what_is_no_asset_is_refused(wire: Any, path: str, body: object, status: int) -> None:
    answer = wire.call("PUT", path, body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_long_lists_come_in_pages_and_are_whole(workspace: Any, wire: Any) -> None:
    for version in range(1, 206):
        assert model(wire, "many", version, isArchived=version == 7).status_code == 201
    first = wire.call("GET", "models/many/versions").json()
    assert len(first["value"]) == 100
    assert "nextLink" in first
    listed = [each.version for each in workspace.models.list("many")]
    assert sorted(map(int, listed)) == [n for n in range(1, 206) if n != 7]
    newest = wire.call(
        "GET", "models/many/versions", query=f"{API}&$orderBy=createdtime desc&$top=2"
    )
    assert [each["name"] for each in newest.json()["value"]] == ["205", "204"]
    for name in (f"paged-{number}" for number in range(101)):
        model(wire, name, 1)
    names = [each.name for each in workspace.models.list()]
    assert len(names) == len(set(names))
    assert {f"paged-{number}" for number in range(101)} <= set(names)
    assert wire.call("GET", "models/many/versions", query=f"{API}&$skipToken=x").status_code == 400


def test_versions_and_names_are_deleted_over_arm(workspace: Any, wire: Any) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    for version in (1, 2):
        model(wire, "gone", version)
    assert wire.call("DELETE", "models/gone/versions/1").status_code == 200
    assert wire.call("DELETE", "models/gone/versions/1").status_code == 204
    assert [each.version for each in workspace.models.list("gone")] == ["2"]
    assert wire.call("DELETE", "models/gone").status_code == 200
    with pytest.raises(ResourceNotFoundError):
        workspace.models.get("gone", "2")


def test_a_component_is_checked_by_the_service_when_asked_to(workspace: Any) -> None:
    from azure.ai.ml.entities import CommandComponent
    from azure.ai.ml.exceptions import ValidationException

    def component(environment: str) -> Any:
        return CommandComponent(
            name="checked", version="1", command="echo hi", environment=environment
        )

    good = component("azureml:AzureML-sklearn-1.5@latest")
    made = workspace.components.create_or_update(good, skip_remote_validation=False)
    assert (made.name, made.version) == ("checked", "1")
    with pytest.raises(ValidationException, match="not found"):
        workspace.components.validate(
            component("azureml:none-such:1"), raise_on_failure=True, skip_remote_validation=False
        )
    bare = workspace.components.get("checked")
    assert bare.id.endswith("/components/checked/labels/default")
