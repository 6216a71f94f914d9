"""Files in the workspace's own blob store, where every machine finds them; knows no content."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from taxiops.cloud.failures import azure_errors
from taxiops.errors import NotFound

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

    from taxiops.cloud.client import Connection

FOLDER = "taxiops"
TIMEOUT_S = 20
RETRIES = 4
# Small files are read so many at once.
READERS = 16


class WorkspaceStore:
    """The folder `taxiops/` of the workspace's default datastore."""

    def __init__(self, container: "ContainerClient") -> None:
        self._container = container

    def blob(self, name: str) -> "BlobClient":
        return self._container.get_blob_client(f"{FOLDER}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Raises TaxiopsError when it cannot be written."""
        with azure_errors(f"Writing {name} to the workspace's store"):
            self.blob(name).upload_blob(content, overwrite=True)

    def read(self, name: str) -> bytes:
        """The content; empty when there is none. Raises TaxiopsError."""
        try:
            with azure_errors(f"Reading {name} from the workspace's store"):
                return bytes(self.blob(name).download_blob().readall())
        except NotFound:
            return b""

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """What `read` gives for each name, several at once."""
        if len(names) < 2:
            return [self.read(name) for name in names]
        with ThreadPoolExecutor(min(READERS, len(names))) as pool:
            return list(pool.map(self.read, names))

    def read_from(self, name: str, offset: int) -> bytes:
        """The bytes from `offset` on; empty when the file ends before, or there is none."""
        from azure.core.exceptions import HttpResponseError

        try:
            with azure_errors(f"Reading {name} from the workspace's store"):
                try:
                    return bytes(self.blob(name).download_blob(offset=offset).readall())
                except HttpResponseError as error:
                    # InvalidRange: nothing is there from that place on.
                    if error.status_code != 416:
                        raise
                    return b""
        except NotFound:
            return b""

    def append(self, name: str, content: bytes, at: int) -> None:
        """Add the bytes to an append blob that ends at `at`; at 0 it is made when it is missing.

        One request adds all or nothing (learn.microsoft.com/rest/api/storageservices/append-block).
        Raises Conflict when the blob ends elsewhere by now, because somebody else was first.
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError

        blob = self.blob(name)
        with azure_errors(f"Appending to {name} in the workspace's store"):
            if at == 0:
                with contextlib.suppress(ResourceExistsError):
                    blob.create_append_blob(match_condition=MatchConditions.IfMissing)
            blob.append_block(content, length=len(content), appendpos_condition=at)

    def sizes(self, prefix: str) -> list[tuple[str, int]]:
        """Name and size in bytes of the files that begin so, in order. Raises TaxiopsError."""
        with azure_errors(f"Listing {prefix} in the workspace's store"):
            found = self._container.list_blobs(name_starts_with=f"{FOLDER}/{prefix}")
            return sorted(
                (str(blob.name).removeprefix(f"{FOLDER}/"), int(blob.size)) for blob in found
            )

    def names(self, prefix: str) -> list[str]:
        """The names below the folder that begin so, in order. Raises TaxiopsError."""
        with azure_errors(f"Listing {prefix} in the workspace's store"):
            found = self._container.list_blob_names(name_starts_with=f"{FOLDER}/{prefix}")
            return sorted(str(name).removeprefix(f"{FOLDER}/") for name in found)


def open_store(connection: "Connection") -> WorkspaceStore:
    """The workspace's store; raises NotAuthorised when this identity may not use it.

    The service hands out a signature or key of the datastore; where it has none, the identity
    itself is asked for.
    """
    from azure.ai.ml.entities import AccountKeyConfiguration, SasTokenConfiguration
    from azure.storage.blob import ContainerClient, ExponentialRetry

    with azure_errors(f"Opening the store of workspace {connection.environment.workspace}"):
        store: Any = connection.workspace.datastores.get_default(include_secrets=True)
    given = store.credentials
    credential: Any = connection.credential
    if isinstance(given, SasTokenConfiguration) and given.sas_token:
        credential = given.sas_token
    elif isinstance(given, AccountKeyConfiguration) and given.account_key:
        credential = given.account_key
    options: dict[str, Any] = {"connection_timeout": TIMEOUT_S, "read_timeout": TIMEOUT_S}
    if connection.ca_file:
        options["connection_verify"] = connection.ca_file
    container = ContainerClient(
        f"{store.protocol}://{store.account_name}.blob.{store.endpoint}",
        store.container_name,
        credential=credential,
        retry_policy=ExponentialRetry(
            initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=0
        ),
        **options,
    )
    return WorkspaceStore(container)
