"""Lists of blobs in pages and folders; by the storage SDK."""

from typing import Any

import pytest


@pytest.fixture
def container(workspace: Any) -> Any:
    """A client of the container that a workspace keeps its artifacts in."""
    from azure.storage.blob import ContainerClient

    store = workspace.datastores.get("workspaceartifactstore", include_secrets=True)
    return ContainerClient(
        f"{store.protocol}://{store.account_name}.blob.{store.endpoint}",
        store.container_name,
        credential=store.credentials.sas_token,
    )


def test_pages_go_on_where_the_last_one_ended(container: Any) -> None:
    from azure.core.exceptions import HttpResponseError

    names = [f"listed/{name}" for name in ("a", "b-c/x", "b/x", "b/y", "z")]
    for name in names[::-1]:
        container.upload_blob(name, b"1")
    pages = container.list_blobs(name_starts_with="listed/", results_per_page=2).by_page()
    assert [[blob.name for blob in page] for page in pages] == [names[:2], names[2:4], names[4:]]
    folders = container.walk_blobs("listed/", results_per_page=2).by_page()
    assert [sorted(each.name for each in page) for page in folders] == [
        ["listed/a", "listed/b-c/"],
        ["listed/b/", "listed/z"],
    ]
    with pytest.raises(HttpResponseError, match="marker"):
        next(container.list_blobs().by_page(continuation_token="a"))
    with pytest.raises(HttpResponseError, match="maxresults"):
        next(container.list_blobs(results_per_page=-1).by_page())
