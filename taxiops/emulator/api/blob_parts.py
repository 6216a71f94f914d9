"""What all of the blob service's wire shares: its errors, and what it says of a blob."""

from taxiops.emulator.context import Emulator


class BlobError(Exception):
    """An error in the blob service's XML shape."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def kind_headers(emulator: Emulator, container: str, blob: str) -> dict[str, str]:
    blocks = emulator.blobs.appended(container, blob)
    if blocks is None:
        return {"x-ms-blob-type": "BlockBlob"}
    return {"x-ms-blob-type": "AppendBlob", "x-ms-blob-committed-block-count": str(blocks)}


def known(emulator: Emulator, container: str) -> None:
    if not emulator.blobs.has_container(container):
        raise BlobError(404, "ContainerNotFound", "The specified container does not exist.")
