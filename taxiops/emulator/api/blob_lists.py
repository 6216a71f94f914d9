"""The lists of the blob service: by prefix, in folders, in pages."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from itertools import islice
from xml.sax.saxutils import escape

from taxiops.emulator.api.blob_parts import BlobError, kind_headers, known
from taxiops.emulator.api.wire import Request, Response
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.storage.blobs import Blob

# learn.microsoft.com/rest/api/storageservices/list-blobs: what a page has at most.
MOST_LISTED = 5000


def list_blobs(emulator: Emulator, request: Request, container: str) -> Response:
    known(emulator, container)
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    after, most = page_asked(request)
    found = entries(emulator.blobs.walk(container, prefix), len(prefix), delimiter)
    taken = list(islice(((name, blob) for name, blob in found if name > after), most + 1))
    rows = (
        listed(emulator, container, blob)
        if blob
        else f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        for name, blob in taken[:most]
    )
    marker = urlsafe_b64encode(taken[most - 1][0].encode()).decode() if taken[most:] else ""
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}">'
        f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{most}</MaxResults>"
        f"<Blobs>{''.join(rows)}</Blobs>"
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
    )
    return Response(200, text.encode(), {"content-type": "application/xml"})


def entries(
    blobs: Iterable[Blob], prefix_length: int, delimiter: str
) -> Iterator[tuple[str, Blob | None]]:
    """What a list shows, by name; None instead of a blob for a folder, which is shown once."""
    last = ""
    for blob in blobs:
        begin, found, _ = blob.name[prefix_length:].partition(delimiter or "\0")
        if not found:
            yield blob.name, blob
        elif (folder := blob.name[:prefix_length] + begin + found) != last:
            last = folder
            yield folder, None


def page_asked(request: Request) -> tuple[str, int]:
    """(the name behind which a page begins, how many entries it has). Raises BlobError 400."""
    most = request.query.get("maxresults", "")
    if most and not (most.isascii() and most.isdecimal() and len(most) < 10 and int(most)):
        raise BlobError(400, "OutOfRangeQueryParameterValue", "maxresults must be 1 or more.")
    try:
        after = urlsafe_b64decode(request.query.get("marker", "")).decode()
    except ValueError as error:
        raise BlobError(400, "InvalidQueryParameterValue", "The marker is not ours.") from error
    return after, min(int(most or MOST_LISTED), MOST_LISTED)


def listed(emulator: Emulator, container: str, blob: Blob) -> str:
    metadata = emulator.blobs.metadata(container, blob.name)
    pairs = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in metadata.items())
    modified = formatdate(blob.modified_s, usegmt=True)
    kind = kind_headers(emulator, container, blob.name)["x-ms-blob-type"]
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties>"
        f"<Creation-Time>{modified}</Creation-Time><Last-Modified>{modified}</Last-Modified>"
        f"<Etag>{escape(blob.etag)}</Etag><Content-Length>{blob.size}</Content-Length>"
        f"<Content-Type>application/octet-stream</Content-Type><BlobType>{kind}</BlobType>"
        f"</Properties><Metadata>{pairs}</Metadata></Blob>"
    )
