"""Append blobs: only at the end, only where the writer thinks the end is; by the storage SDK."""

import uuid
from typing import Any

import pytest


@pytest.fixture
def blob(workspace: Any) -> Any:
    """A client of a blob that is not there yet."""
    from azure.storage.blob import ContainerClient

    store = workspace.datastores.get_default(include_secrets=True)
    container = ContainerClient(
        f"{store.protocol}://{store.account_name}.blob.{store.endpoint}",
        store.container_name,
        credential=store.credentials.sas_token,
    )
    return container.get_blob_client(f"appended/{uuid.uuid4()}")


def refused(act: Any) -> tuple[int, str]:
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError) as caught:
        act()
    code = getattr(caught.value, "error_code", "")
    return caught.value.status_code or 0, str(getattr(code, "value", code))


def test_blocks_are_added_at_the_end_and_nowhere_else(blob: Any) -> None:
    from azure.core import MatchConditions

    assert refused(lambda: blob.append_block(b"one")) == (404, "BlobNotFound")
    blob.create_append_blob(match_condition=MatchConditions.IfMissing)
    again = refused(lambda: blob.create_append_blob(match_condition=MatchConditions.IfMissing))
    assert again == (409, "BlobAlreadyExists")
    first = blob.append_block(b"one\n", appendpos_condition=0)
    second = blob.append_block(b"two\n", appendpos_condition=4)
    assert (first["blob_append_offset"], second["blob_append_offset"]) == ("0", "4")
    assert second["blob_committed_block_count"] == 2
    late = refused(lambda: blob.append_block(b"late\n", appendpos_condition=4))
    assert late == (412, "AppendPositionConditionNotMet")
    assert blob.download_blob().readall() == b"one\ntwo\n"
    assert blob.download_blob(offset=4).readall() == b"two\n"
    properties = blob.get_blob_properties()
    assert (properties.blob_type, properties.append_blob_committed_block_count) == ("AppendBlob", 2)


def test_only_append_blobs_are_appended_to(blob: Any) -> None:
    blob.create_append_blob()
    blob.append_block(b"one")
    blob.upload_blob(b"whole", overwrite=True)
    assert refused(lambda: blob.append_block(b"more")) == (409, "InvalidBlobType")
    assert blob.download_blob().readall() == b"whole"
