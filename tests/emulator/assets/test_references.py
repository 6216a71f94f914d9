"""Every form of reference finds its asset, however old the state and whichever its port now is."""

from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state.assets import asset_rules, curated
from taxiops.emulator.state.assets.assets import Assets, Key, Unresolved
from taxiops.emulator.state.storage.blobs import BadName, Blobs
from taxiops.emulator.state.storage.store import AlreadyExists, Store

SUBSCRIPTION, GUID = "00000000-0000-0000-0000-000000000000", "0f0f0f0f-0000-4000-8000-000000000000"
ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/Rg-Mixed"
    "/providers/Microsoft.MachineLearningServices/workspaces/MlwMixed"
)
SCOPE = ID.lower()
LONG = f"azureml://subscriptions/{SUBSCRIPTION}/resourcegroups/Rg-Mixed/workspaces/MlwMixed"
CONTAINER = "azureml-blobstore-one"
OLD, NEW = "https://127.0.0.1:1001", "https://127.0.0.1:2002"


class State:
    """A workspace on a port, with a job `run` whose output `model` lies in the datastore."""

    def __init__(self, folder: Path, base: str) -> None:
        self.store = Store(folder / "emulator.db")
        self.blobs = Blobs(folder / "blobs", self.store, b"key", base)
        self.blobs.create_container(CONTAINER)
        self.assets = Assets(self.store, self.blobs)
        self.assets.job_output, self.assets.job_uri = self.output, self.uri
        workspace = {"id": ID, "scope": SCOPE, "name": "MlwMixed", "guid": GUID}
        self.store.put("workspace", SCOPE, "", workspace)
        datastore = {"name": "workspaceblobstore", "container": CONTAINER}
        self.store.put("datastore", SCOPE, "workspaceblobstore", datastore)

    def output(self, scope: str, job: str, output: str) -> tuple[str, str]:
        if (scope, job, output) != (SCOPE, "run", "model"):
            raise Unresolved(f"{job} has no output {output!r}.")
        return CONTAINER, "azureml/run/model"

    def uri(self, scope: str, job: str, output: str, path: str) -> str:
        _, blob = self.output(scope, job, output)
        return f"{LONG}/datastores/workspaceblobstore/paths/{blob}/{path}"

    def create(self, kind: str, name: str, uri: str, version: str = "1", **more: object) -> Any:
        properties = {asset_rules.URI_KEY[kind]: uri, **more}
        return self.assets.create(Key(kind, SCOPE, name, version), properties)["properties"]

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def state(tmp_path: Path) -> Any:
    found = State(tmp_path, OLD)
    yield found
    found.close()


@pytest.mark.parametrize(
    "reference",
    [
        "azureml:wide:1",
        "wide:1",
        "azureml:wide@latest",
        f"{ID}/models/wide/versions/1",
        f"azureml:{ID}/models/wide/versions/1",
        f"{ID.lower()}/models/wide/labels/latest",
        f"{LONG}/models/wide/versions/1",
        f"azureml://locations/canadacentral/workspaces/{GUID}/models/wide/versions/1",
        f"azureml:azureml://locations/canadacentral/workspaces/{GUID}/models/wide/versions/1",
    ],
)
def test_every_form_of_an_asset_reference_finds_it(state: State, reference: str) -> None:
    state.create("model", "wide", f"{OLD}/{CONTAINER}/a/model.pkl")
    assert state.assets.find(reference, SCOPE, "model") == Key("model", SCOPE, "wide", "1")
    assert state.assets.resolve(reference, SCOPE, "model").name == "model.pkl"


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("azureml://datastores/workspaceblobstore/paths/a/b.csv", "a/b.csv"),
        ("azureml://datastores/WorkspaceBlobStore/paths/", ""),
        (f"{LONG}/datastores/workspaceblobstore/paths/a/", "a"),
        ("azureml://jobs/run/outputs/model/paths/x.pkl", "azureml/run/model/x.pkl"),
        ("azureml://jobs/run/outputs/model", "azureml/run/model"),
        (f"{LONG}/jobs/run/outputs/model/paths/", "azureml/run/model"),
        (f"{OLD}/mlw.blob.local/{CONTAINER}/a%20b", "a b"),
        (f"{OLD}/mlw.blob.core.windows.net/{CONTAINER}/c", "c"),
    ],
)
def test_every_form_of_a_path_leads_to_the_bytes(state: State, reference: str, path: str) -> None:
    root = state.blobs.path(CONTAINER)
    assert state.assets.resolve(reference, SCOPE) == (root / path if path else root)


@pytest.mark.parametrize(
    "reference",
    [
        "azureml:wide:2",
        "azureml:wide@newest",
        "azureml:none@latest",
        "azureml://registries/none/models/wide/versions/1",
        "azureml://locations/x/workspaces/stranger/models/wide/versions/1",
        "azureml://datastores/none/paths/a",
        "azureml://jobs/other/outputs/model",
        "https://test.blob.core.windows.net/none/data.csv",
        "../../etc/passwd",
        "",
    ],
)
def test_what_does_not_exist_is_unresolved(state: State, reference: str) -> None:
    state.create("model", "wide", f"{OLD}/{CONTAINER}/a/model.pkl")
    with pytest.raises(Unresolved):
        state.assets.resolve(reference, SCOPE, "model")


@pytest.mark.parametrize(
    "reference",
    [
        "azureml://datastores/workspaceblobstore/paths/../../secret",
        "azureml://jobs/run/outputs/model/paths/../../../secret",
        f"{OLD}/{CONTAINER}/%2e%2e/secret",
    ],
)
def test_no_reference_leaves_the_store(state: State, reference: str) -> None:
    with pytest.raises(BadName):
        state.assets.resolve(reference, SCOPE)


def test_addresses_outlive_the_port(tmp_path: Path) -> None:
    before = State(tmp_path, OLD)
    stored = before.create("model", "wide", f"{OLD}/{CONTAINER}/a b/model.pkl")["modelUri"]
    context = {"build": {"contextUri": f"{OLD}/{CONTAINER}/src/", "dockerfilePath": "Dockerfile"}}
    built = before.assets.create(Key("environment", SCOPE, "built", "1"), context)["properties"]
    before.close()
    after = State(tmp_path, NEW)
    assert "1001" not in f"{stored}{built['build']['contextUri']}"
    assert after.blobs.present(stored) == f"{NEW}/{CONTAINER}/a%20b/model.pkl"
    assert after.blobs.present(built["build"]["contextUri"]) == f"{NEW}/{CONTAINER}/src/"
    assert after.assets.resolve("wide:1", SCOPE, "model").name == "model.pkl"
    after.close()


def test_what_a_job_made_is_kept_as_the_place_in_the_datastore(state: State) -> None:
    """Clients download from datastore paths only, and the job may be deleted."""
    uri = state.create("model", "made", "azureml://jobs/run/outputs/model/paths/m")["modelUri"]
    assert uri == f"{LONG}/datastores/workspaceblobstore/paths/azureml/run/model/m"
    folder = state.create("data", "made", "azureml://jobs/run/outputs/model", dataType="mltable")
    assert folder["dataUri"].endswith("/paths/azureml/run/model/")
    with pytest.raises(Unresolved):
        state.create("model", "lost", "azureml://jobs/other/outputs/model")


def test_versions_count_on_and_latest_is_the_newest_that_is_not_archived(state: State) -> None:
    uri = f"{OLD}/{CONTAINER}/x"
    for version in ("9", "10", "text", "2"):
        state.create("model", "wide", uri, version)
    with pytest.raises(AlreadyExists):
        state.create("model", "wide", uri, "10")

    def told() -> tuple[str, str]:
        properties = (state.assets.container("model", SCOPE, "wide") or {})["properties"]
        return properties["latestVersion"], properties["nextVersion"]

    assert told() == ("2", "11")
    state.assets.replace(Key("model", SCOPE, "wide", "2"), {"isArchived": True})
    assert told() == ("text", "11")
    assert state.assets.delete(Key("model", SCOPE, "wide", "10"))
    assert told() == ("text", "11"), "a number is not given twice"
    assert state.assets.delete_container("model", SCOPE, "wide")
    assert state.assets.container("model", SCOPE, "wide") is None


def test_curated_environments_are_there_under_both_names_and_others_are_not(state: State) -> None:
    registry = "azureml://registries/azureml/environments"
    for reference in (
        f"{registry}/sklearn-1.5/labels/latest",
        f"{registry}/sklearn-1.5/versions/7",
        "azureml:AzureML-sklearn-1.5@latest",
        "azureml:AzureML-sklearn-0.24-ubuntu18.04-py37-cpu:1",
        f"{ID}/environments/azureml-minimal/versions/1",
        f"{registry}/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu/versions/33",
    ):
        document = state.assets.document(reference, SCOPE, "environment")
        assert document["properties"]["image"].startswith("mcr.microsoft.com/azureml/curated/")
    for reference in (
        "azureml:sklearn-1.5:1",
        "azureml:AzureML-none@latest",
        f"{registry}/sklearn-1.5/versions/0",
        f"{registry}/AzureML-sklearn-1.5/versions/1",
        f"{registry}/none/labels/latest",
    ):
        with pytest.raises(Unresolved):
            state.assets.document(reference, SCOPE, "environment")
    assert curated.requirements("AzureML-sklearn-1.5") == curated.requirements("sklearn-1.5")
    assert curated.requirements("none") is None


@pytest.mark.parametrize(
    ("kind", "old", "new", "part"),
    [
        ("model", {"modelUri": "a"}, {"modelUri": "b"}, "modelUri"),
        ("model", {"modelUri": "a"}, {"modelUri": "a", "tags": {"t": "1"}}, ""),
        ("model", {"modelUri": "a"}, {"isArchived": True}, ""),
        ("data", {"dataUri": "a", "dataType": "uri_file"}, {"dataType": "mltable"}, "dataType"),
        ("environment", {"image": "a"}, {"image": "a", "condaFile": "c"}, "condaFile"),
        (
            "component",
            {"componentSpec": {"command": "a", "display_name": "x"}},
            {"componentSpec": {"command": "a", "display_name": "y"}},
            "",
        ),
        (
            "component",
            {"componentSpec": {"command": "a"}},
            {"componentSpec": {"command": "b"}},
            "command",
        ),
    ],
)
def test_content_is_fixed_and_the_rest_is_not(
    kind: str, old: dict[str, Any], new: dict[str, Any], part: str
) -> None:
    assert asset_rules.changed_content(kind, old, new) == part


@pytest.mark.parametrize("name", ["a" * 255, "x", "taxi-class_1.2"])
def test_names_that_are_good(name: str) -> None:
    assert asset_rules.misnamed(name, "1") == ""


@pytest.mark.parametrize("name", ["", "a" * 256, ".hidden", "..", "a b", "ä", "a\n", "a/b"])
def test_names_that_are_refused(name: str) -> None:
    assert asset_rules.misnamed(name, "1")


@pytest.mark.parametrize("version", ["", "v" * 101, "1/2", "-1", "1\n", "ü"])
def test_versions_that_are_refused(version: str) -> None:
    assert asset_rules.misnamed("a", version)
