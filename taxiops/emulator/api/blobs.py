"""The blob service's wire: three URL layouts, blocks, appends, ranges, lists and SAS."""

import logging
import re
from email.utils import formatdate
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from taxiops.emulator.api.blob_leases import lease, lease_headers, require_lease
from taxiops.emulator.api.blob_lists import list_blobs
from taxiops.emulator.api.blob_parts import BlobError, kind_headers, known
from taxiops.emulator.api.faults import DROPPED, struck
from taxiops.emulator.api.wire import Request, Response
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import STORAGE_AUDIENCES, refused_token
from taxiops.emulator.state.faults import REFUSALS, Fault
from taxiops.emulator.state.storage.blobs import ACCOUNT_SUFFIXES, AppendRefused, BadName, Blob
from taxiops.emulator.state.storage.leases import LeaseError

VERSION = "2024-11-04"
MOST_XML_BYTES = 4 * 1024 * 1024
METADATA = "x-ms-meta-"
METADATA_NAME = re.compile(r"[a-z_][a-z0-9_]*")
RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
logger = logging.getLogger(__name__)


def serve_blobs(emulator: Emulator, request: Request) -> Response:
    """Answer one request of the blob port."""
    try:
        container, blob = split(request.path)
        answer = struck_or_served(emulator, request, container, blob)
    except BadName as error:
        answer = failure(BlobError(400, "InvalidResourceName", str(error)), request.method)
    except (LeaseError, AppendRefused) as error:
        answer = failure(BlobError(error.status, error.code, error.message), request.method)
    except BlobError as error:
        answer = failure(error, request.method)
    except Exception:
        logger.exception("%s %s", request.method, request.path)
        message = "The emulator failed; see its log: taxiops emulator logs."
        answer = failure(BlobError(500, "InternalError", message), request.method)
    if answer is DROPPED:
        return answer
    headers = {
        "x-ms-version": VERSION,
        "x-ms-request-id": request.headers.get("x-ms-client-request-id", ""),
    }
    return Response(answer.status, answer.body, {**headers, **answer.headers})


def struck_or_served(emulator: Emulator, request: Request, container: str, blob: str) -> Response:
    """As asked, or gone wrong as a fault says: `PUT blobs` by blob name, `LIST blobs` too."""
    method = request.method if blob else "LIST"
    fault = emulator.faults.take(f"{method} blobs", blob)

    def act() -> Response:
        return dispatch(emulator, request, container, blob)

    return struck(fault, act, refuse) if fault else act()


def refuse(fault: Fault) -> Response:
    refusal = REFUSALS[fault.kind]
    raise BlobError(refusal.status, refusal.code, refusal.message)


def failure(error: BlobError, method: str) -> Response:
    text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    body = b"" if method == "HEAD" else f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()
    headers = {"content-type": "application/xml", "x-ms-error-code": error.code}
    return Response(error.status, body, headers)


def split(path: str) -> tuple[str, str]:
    """(container, blob) of `/account.blob.local/container/blob` or `/container/blob`."""
    parts = path.lstrip("/").split("/")
    if parts[0].endswith(ACCOUNT_SUFFIXES):
        parts = parts[1:]
    if not parts or not parts[0]:
        raise BlobError(400, "InvalidUri", "The request names no container.")
    return unquote(parts[0]), unquote("/".join(parts[1:]))


def dispatch(emulator: Emulator, request: Request, container: str, blob: str) -> Response:
    comp, method = request.query.get("comp", ""), request.method
    if not blob:
        if method == "GET" and comp == "list":
            authorise(emulator, request, container, "l")
            return list_blobs(emulator, request, container)
        if method in {"GET", "HEAD"} and request.query.get("restype") == "container":
            authorise(emulator, request, container, "l")
            known(emulator, container)
            return Response(200, b"")
    elif method in {"GET", "HEAD"} and not comp:
        authorise(emulator, request, container, "r")
        return read(emulator, request, container, blob)
    elif method == "GET" and comp == "metadata":
        authorise(emulator, request, container, "r")
        return read(emulator, Request(**{**vars(request), "method": "HEAD"}), container, blob)
    elif method == "PUT":
        authorise(emulator, request, container, "w")
        known(emulator, container)
        if comp == "lease":
            return lease(emulator, request, container, existing(emulator, container, blob))
        if comp != "block":
            require_lease(emulator, request, container, blob)
        return write(emulator, request, container, blob, comp)
    elif method == "DELETE" and not comp:
        authorise(emulator, request, container, "d")
        require_lease(emulator, request, container, blob)
        if not emulator.blobs.delete(container, blob):
            raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
        return Response(202, b"")
    raise BlobError(
        501, "NotImplemented", f"{method} {request.path} comp={comp!r} is not emulated."
    )


def authorise(emulator: Emulator, request: Request, container: str, permission: str) -> None:
    """A signature that grants it, or a token for the storage. Raises BlobError 401 and 403."""
    header = request.headers.get("authorization", "")
    if header and not request.query.get("sig"):
        code, message = refused_token(emulator.identity, header, STORAGE_AUDIENCES)
        if code:
            raise BlobError(401, "InvalidAuthenticationInfo", message)
        return
    if not emulator.blobs.may(request.query, container, permission):
        raise BlobError(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request: the shared access signature is missing, "
            "expired, or does not grant this.",
        )


def existing(emulator: Emulator, container: str, blob: str) -> Blob:
    found = emulator.blobs.find(container, blob)
    if found is None:
        raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
    return found


def read(emulator: Emulator, request: Request, container: str, blob: str) -> Response:
    known(emulator, container)
    found = existing(emulator, container, blob)
    headers = described(emulator, container, found)
    if request.method == "HEAD":
        return Response(200, b"", {**headers, "content-length": str(found.size)})
    wanted = request.headers.get("x-ms-range") or request.headers.get("range")
    path = emulator.blobs.path(container, blob)
    if not wanted:
        return Response(200, path.read_bytes(), headers)
    match = RANGE.fullmatch(wanted)
    begin = int(match[1]) if match else found.size
    if match is None or begin >= found.size:
        raise BlobError(416, "InvalidRange", "The range specified is invalid.")
    end = min(int(match[2]) if match[2] else found.size - 1, found.size - 1)
    with path.open("rb") as stream:
        stream.seek(begin)
        data = stream.read(end - begin + 1)
    headers["content-range"] = f"bytes {begin}-{end}/{found.size}"
    return Response(206, data, headers)


def described(emulator: Emulator, container: str, blob: Blob) -> dict[str, str]:
    metadata = emulator.blobs.metadata(container, blob.name)
    return {
        "content-type": "application/octet-stream",
        "etag": blob.etag,
        "last-modified": formatdate(blob.modified_s, usegmt=True),
        **kind_headers(emulator, container, blob.name),
        "x-ms-creation-time": formatdate(blob.modified_s, usegmt=True),
        "accept-ranges": "bytes",
        **lease_headers(emulator, container, blob.name),
        **{METADATA + key: value for key, value in metadata.items()},
    }


def metadata_of(request: Request) -> dict[str, str]:
    """Raises BlobError 400 for names that are no identifiers, as the service asks for."""
    found = {
        key[len(METADATA) :]: value
        for key, value in request.headers.items()
        if key.startswith(METADATA)
    }
    for name, value in found.items():
        if not METADATA_NAME.fullmatch(name) or not value.isprintable():
            raise BlobError(400, "InvalidMetadata", f"{name!r} cannot be metadata.")
    return found


def write(emulator: Emulator, request: Request, container: str, blob: str, comp: str) -> Response:
    blobs, metadata = emulator.blobs, metadata_of(request)
    if comp == "metadata":
        existing(emulator, container, blob)
        blobs.set_metadata(container, blob, metadata)
        return Response(200, b"")
    if comp == "block":
        blobs.put_block(container, blob, request.query.get("blockid", ""), request.body)
        return Response(201, b"", {"x-ms-request-server-encrypted": "true"})
    if comp == "appendblock":
        return append(emulator, request, container, existing(emulator, container, blob).name)
    if comp == "blocklist":
        placed = blobs.commit_blocks(container, blob, block_names(request.body))
        if placed is None:
            raise BlobError(400, "InvalidBlockList", "The specified block list is invalid.")
    elif not comp:
        placed = put(emulator, request, container, blob)
    else:
        raise BlobError(501, "NotImplemented", f"PUT comp={comp!r} is not emulated.")
    if metadata:
        blobs.set_metadata(container, blob, metadata)
    headers = {"etag": placed.etag, "last-modified": formatdate(placed.modified_s, usegmt=True)}
    return Response(201, b"", {**headers, "x-ms-request-server-encrypted": "true"})


def append(emulator: Emulator, request: Request, container: str, blob: str) -> Response:
    """Append Block, at a position when the client says which."""
    wanted = request.headers.get("x-ms-blob-condition-appendpos", "")
    if wanted and not wanted.isdecimal():
        raise BlobError(400, "InvalidHeaderValue", "The append position is no number.")
    if not request.body:
        raise BlobError(400, "InvalidHeaderValue", "An appended block cannot be empty.")
    position = int(wanted) if wanted else None
    offset = emulator.blobs.append(container, blob, request.body, position)
    placed = existing(emulator, container, blob)
    headers = {
        "etag": placed.etag,
        "last-modified": formatdate(placed.modified_s, usegmt=True),
        "x-ms-blob-append-offset": str(offset),
        "x-ms-blob-committed-block-count": str(emulator.blobs.appended(container, blob)),
        "x-ms-request-server-encrypted": "true",
    }
    return Response(201, b"", headers)


def put(emulator: Emulator, request: Request, container: str, blob: str) -> Blob:
    """Identical bytes under If-None-Match count as written, as the client's retries need."""
    present = emulator.blobs.find(container, blob)
    if request.headers.get("x-ms-blob-type", "").lower() == "appendblob":
        if present is not None and request.headers.get("if-none-match") == "*":
            raise BlobError(409, "BlobAlreadyExists", "The specified blob already exists.")
        return emulator.blobs.put_appendable(container, blob)
    if present is not None and request.headers.get("if-none-match") == "*":
        if emulator.blobs.path(container, blob).read_bytes() == request.body:
            return present
        raise BlobError(409, "BlobAlreadyExists", "The specified blob already exists.")
    return emulator.blobs.put(container, blob, request.body)


def block_names(body: bytes) -> list[str]:
    if len(body) > MOST_XML_BYTES or b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise BlobError(400, "InvalidXmlDocument", "The block list is not acceptable.")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise BlobError(400, "InvalidXmlDocument", str(error)) from error
    return [element.text or "" for element in root]
