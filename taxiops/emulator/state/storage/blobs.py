"""Blobs as files: containers are folders with unique names; knows no HTTP."""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from taxiops.emulator.identity import same, signature
from taxiops.emulator.state.storage.leases import SHORTEST_S, Lease
from taxiops.emulator.state.storage.store import Store

SAS_VALID_S = 24 * 3600
STAGING = ".staging"
# Azure's limits of the names of blobs and blocks, and the file system's of a part of a name.
MOST_NAME, MOST_BLOCK_NAME, MOST_PART = 1024, 88, 255
# A part that is no file's name, or that the XML of a list could not hold.
BAD_IN_NAMES = re.compile(r"[\\\x00-\x1f\x7f\ufffe\uffff]")
LEASE = "blob-lease"
# How the SDK's two ways of naming an account end; the second only in addresses of code.
ACCOUNT_SUFFIXES = (".blob.local", ".blob.core.windows.net")
# What our addresses are stored as: without the port, which may be another after a restart.
LASTING = "emulator-blob:/"
# The containers of one workspace begin alike; see `Blobs.account_sas`.
ACCOUNT_LETTERS = 40
# What an append blob may hold (learn.microsoft.com/rest/api/storageservices/append-block).
APPENDED, MOST_BLOCKS = "append-blob", 50_000


class AppendRefused(Exception):
    """A block that cannot be appended: status, Azure's code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class BadName(ValueError):
    """A container or blob name that cannot be one, or that would leave the store."""


@dataclass(frozen=True)
class Blob:
    """A stored blob: its name in the container, size in bytes and time of last change."""

    name: str
    size: int
    modified_s: float
    etag: str


class Blobs:
    """All containers of the emulator under one folder, metadata in the document store."""

    def __init__(self, folder: Path, store: Store, key: bytes, base_url: str) -> None:
        self.folder = folder
        self.base_url = base_url
        self._store = store
        self._key = key
        (folder / STAGING).mkdir(parents=True, exist_ok=True)

    def create_container(self, container: str) -> None:
        self._container(container).mkdir(parents=True, exist_ok=True)

    def has_container(self, container: str) -> bool:
        return self._container(container).is_dir()

    def path(self, container: str, blob: str = "") -> Path:
        """The file or folder of a blob name. Raises BadName on any attempt to climb out."""
        root = self._container(container)
        parts = [part for part in blob.split("/") if part]
        is_long = len(blob) > MOST_NAME or any(len(each.encode()) > MOST_PART for each in parts)
        if is_long or any(part in {".", ".."} or BAD_IN_NAMES.search(part) for part in parts):
            raise BadName(f"blob name {blob[:80]!r}")
        return root.joinpath(*parts)

    def _container(self, container: str) -> Path:
        allowed = container.replace("-", "").isalnum() and container.isascii()
        if not allowed or not 3 <= len(container) <= 63:
            raise BadName(f"container name {container!r}")
        return self.folder / container

    def find(self, container: str, blob: str) -> Blob | None:
        """A name that ends in "/" is a folder and never a blob."""
        path = self.path(container, blob)
        if blob.endswith("/") or not path.is_file():
            return None
        return self._blob(container, path)

    def _blob(self, container: str, path: Path) -> Blob:
        status = path.stat()
        name = path.relative_to(self._container(container)).as_posix()
        tag = hashlib.sha256(f"{status.st_mtime_ns}-{status.st_size}".encode()).hexdigest()[:16]
        return Blob(name, status.st_size, status.st_mtime, f'"0x{tag.upper()}"')

    def put(self, container: str, blob: str, data: bytes) -> Blob:
        """Write whole or not at all; a block blob from now on."""
        if self.appended(container, blob) is not None:
            self._store.delete(APPENDED, container, blob)
        draft = self.folder / STAGING / secrets.token_hex(16)
        draft.write_bytes(data)
        return self._place(container, blob, draft)

    def _place(self, container: str, blob: str, draft: Path) -> Blob:
        path = self.path(container, blob)
        if blob.endswith("/") or path == self._container(container) or path.is_dir():
            draft.unlink()
            raise BadName(f"blob name {blob!r}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(path)
        except (FileExistsError, NotADirectoryError) as error:
            draft.unlink()
            raise BadName(f"blob name {blob!r}: a blob stands where its folder would be") from error
        return self._blob(container, path)

    def put_appendable(self, container: str, blob: str) -> Blob:
        """An empty append blob."""
        placed = self.put(container, blob, b"")
        self._store.put(APPENDED, container, blob, {"blocks": 0})
        return placed

    def appended(self, container: str, blob: str) -> int | None:
        """How many blocks an append blob holds; None for any other blob."""
        found = self._store.get(APPENDED, container, blob)
        return int(found["blocks"]) if found else None

    def append(self, container: str, blob: str, data: bytes, position: int | None) -> int:
        """One more block at the end; gives the offset it got. Raises AppendRefused.

        position: where the end must be; None: wherever it is.
        """
        with self._store.transaction():
            blocks = self.appended(container, blob)
            if blocks is None:
                message = "The blob type is invalid for this operation."
                raise AppendRefused(409, "InvalidBlobType", message)
            path = self.path(container, blob)
            end = path.stat().st_size
            if position is not None and position != end:
                message = "The append position condition specified was not met."
                raise AppendRefused(412, "AppendPositionConditionNotMet", message)
            if blocks >= MOST_BLOCKS:
                message = f"An append blob holds {MOST_BLOCKS} blocks."
                raise AppendRefused(409, "BlockCountExceedsLimit", message)
            with path.open("ab") as stream:
                stream.write(data)
            self._store.put(APPENDED, container, blob, {"blocks": blocks + 1})
            return end

    def put_block(self, container: str, blob: str, block: str, data: bytes) -> None:
        self.path(container, blob)
        if not 0 < len(block) <= MOST_BLOCK_NAME:
            raise BadName(f"block name {block[:80]!r}")
        folder = self._blocks(container, blob)
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{secrets.token_hex(8)}"
        draft.write_bytes(data)
        draft.replace(folder / self._block_name(block))

    def commit_blocks(self, container: str, blob: str, blocks: Sequence[str]) -> Blob | None:
        """Join the named blocks in order; None when one was never put."""
        folder = self._blocks(container, blob)
        if any(len(block) > MOST_BLOCK_NAME for block in blocks):
            return None
        paths = [folder / self._block_name(block) for block in blocks]
        if not all(path.is_file() for path in paths):
            return None
        draft = self.folder / STAGING / secrets.token_hex(16)
        with draft.open("wb") as stream:
            for path in paths:
                stream.write(path.read_bytes())
        placed = self._place(container, blob, draft)
        for path in set(paths):
            path.unlink()
        return placed

    def _blocks(self, container: str, blob: str) -> Path:
        key = hashlib.sha256(f"{container}/{blob}".encode()).hexdigest()
        return self.folder / STAGING / key

    @staticmethod
    def _block_name(block: str) -> str:
        return base64.urlsafe_b64encode(block.encode()).decode()

    def delete(self, container: str, blob: str) -> bool:
        found = self.find(container, blob)
        if found:
            self.path(container, blob).unlink()
            self._store.delete("blob-metadata", container, blob)
            self._store.delete(APPENDED, container, blob)
            self._store.delete(LEASE, container, blob)
        return found is not None

    def walk(self, container: str, prefix: str = "") -> Iterator[Blob]:
        """Blobs whose names start with the prefix, in the order of their names."""
        root = self._container(container)
        base = self.path(container, prefix.rpartition("/")[0])
        if base.is_dir():
            names = (
                each.relative_to(root).as_posix() for each in base.rglob("*") if each.is_file()
            )
            for name in sorted(each for each in names if each.startswith(prefix)):
                yield self._blob(container, root / name)

    def metadata(self, container: str, blob: str) -> dict[str, str]:
        return self._store.get("blob-metadata", container, blob) or {}

    def set_metadata(self, container: str, blob: str, metadata: Mapping[str, str]) -> None:
        self._store.put("blob-metadata", container, blob, dict(metadata))

    def leasing(self) -> AbstractContextManager[None]:
        """What is read and written of leases within happens together."""
        return self._store.transaction()

    def lease(self, container: str, blob: str) -> Lease:
        """The blob's lease; one that is nobody's when there is none."""
        return Lease(**(self._store.get(LEASE, container, blob) or {}))

    def set_lease(self, container: str, blob: str, lease: Lease) -> None:
        self._store.put(LEASE, container, blob, lease.document())

    def expire_leases(self) -> int:
        """End every active lease; how many there were."""
        now, count = time.time(), 0
        with self._store.transaction():
            for container, blob, _ in self._store.keys(LEASE):
                found = self.lease(container, blob)
                if found.is_active(now):
                    ended = replace(found, duration_s=SHORTEST_S, until=now)
                    self.set_lease(container, blob, ended)
                    count += 1
        return count

    def url(self, container: str, blob: str = "", account: str = "") -> str:
        """URL without authorisation: in root style, or in that of a named storage account."""
        base = f"{self.base_url}/{account}{ACCOUNT_SUFFIXES[1]}" if account else self.base_url
        return f"{base}/{container}/{quote(blob)}" if blob else f"{base}/{container}"

    def lasting(self, url: str) -> str:
        """One of our URLs in the form that outlives the port; others as they are."""
        found = self.locate(url)
        return f"{LASTING}{found[0]}/{quote(found[1])}" if found else url

    def present(self, uri: str, account: str = "") -> str:
        """A lasting URI as a URL of today; others as they are."""
        found = self.locate(uri) if uri.startswith(LASTING) else None
        if found is None:
            return uri
        url = self.url(*found, account)
        return f"{url}/" if uri.endswith("/") and not found[1] else url

    def sas(self, container: str, permissions: str = "rl") -> str:
        """A shared access signature for a container, as a query string."""
        expiry = str(int(time.time()) + SAS_VALID_S)
        sign = signature(self._key, container, permissions, expiry)
        return f"sv=2024-11-04&sr=c&sp={permissions}&se={expiry}&sig={sign}"

    def account_sas(self, container: str, permissions: str) -> str:
        """A signature for all containers that begin as this one: those of its workspace."""
        expiry = str(int(time.time()) + SAS_VALID_S)
        sign = signature(self._key, account_of(container), permissions, expiry)
        return f"sv=2024-11-04&ss=b&srt=sco&sp={permissions}&se={expiry}&sig={sign}"

    def sas_url(self, container: str, blob: str = "", permissions: str = "rl") -> str:
        return f"{self.url(container, blob)}?{self.sas(container, permissions)}"

    def may(self, query: Mapping[str, str], container: str, permission: str) -> bool:
        """Whether a request's SAS is ours, unexpired and grants the permission letter."""
        permissions, expiry = query.get("sp", ""), query.get("se", "")
        signed = account_of(container) if query.get("ss") else container
        expected = signature(self._key, signed, permissions, expiry)
        # Only what was signed here is a number for sure.
        is_ours = same(query.get("sig", ""), expected)
        return is_ours and int(expiry) > time.time() and permission in permissions

    def locate(self, url: str) -> tuple[str, str] | None:
        """(container, blob) of one of our blob URLs; None when it is somebody else's."""
        if url.startswith(LASTING):
            path = unquote(url[len(LASTING) :])
        elif url.startswith(self.base_url + "/"):
            path = unquote(urlsplit(url).path).lstrip("/")
        else:
            return None
        parts = path.split("/")
        if parts[0].endswith(ACCOUNT_SUFFIXES):
            parts = parts[1:]
        return (parts[0], "/".join(parts[1:])) if parts and parts[0] else None


def account_of(container: str) -> str:
    """What an account's signature is over; no container can be named so."""
    return f"account:{container[:ACCOUNT_LETTERS]}"
