"""The whole state of a stopped emulator as one file, and back; the file is hostile input."""

import contextlib
import fcntl
import gzip
import json
import os
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from taxiops.emulator.server import STATE_FORMAT, EmulatorError, check_format, start_lock
from taxiops.emulator.state.storage.store import SCHEMA

Json = dict[str, Any]
DATABASE, MANIFEST = "emulator.db", "manifest.json"
FOLDERS = ("blobs", "jobs", "deployments")
# Of the running process only: Unix sockets' whereabouts, half-written uploads.
LEFT_OUT = ("deployments/sockets", "blobs/.staging")
MOST_PADDING = tarfile.RECORDSIZE + 1
MOST_FILES, MOST_BYTES, MOST_MANIFEST_BYTES = 1_000_000, 64 * 1024**3, 64 * 1024
BROKEN = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError)


def export_state(state: Path, target: Path) -> Json:
    """Write documents, blobs, jobs and deployments to a new file that only its owner may read.

    The account and the certificates stay behind: they are this machine's. Raises EmulatorError
    when it runs, when there is nothing, or when the file exists.
    """
    if not (state / DATABASE).exists():
        raise EmulatorError(f"{state} holds no emulator.")
    with held(state):
        settle(state / DATABASE)
        paths = [state / DATABASE, *(p for each in FOLDERS for p in files_of(state, each))]
        manifest = {
            "schema_version": 1,
            "format": STATE_FORMAT,
            "exported_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "files": len(paths),
            "bytes": sum(path.stat().st_size for path in paths),
        }
        write_archive(state, target, paths, manifest)
    return {**manifest, "file": str(target)}


@contextlib.contextmanager
def held(state: Path) -> Iterator[None]:
    """Nobody starts the emulator meanwhile. Raises EmulatorError when it runs."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with start_lock(state), (state / "emulator.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EmulatorError("The emulator runs; taxiops emulator stop, then again.") from error
        yield


def settle(database: Path) -> None:
    """Bring what the write-ahead log holds into the one file."""
    with contextlib.closing(sqlite3.connect(database)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def files_of(state: Path, folder: str) -> list[Path]:
    """Regular files below a folder of the state, in a fixed order; links are left out."""
    found = sorted((state / folder).rglob("*"))
    places = ((path, path.relative_to(state).as_posix()) for path in found)
    return [
        path
        for path, place in places
        if path.is_file() and not path.is_symlink() and not place.startswith(LEFT_OUT)
    ]


def write_archive(state: Path, target: Path, paths: list[Path], manifest: Json) -> None:
    """Whole or not at all."""
    draft = target.with_name(f".{target.name}.draft")
    first = state / f".{MANIFEST}"
    try:
        if target.exists():
            raise EmulatorError(f"{target} exists; name another file.")
        first.write_text(json.dumps(manifest), encoding="utf-8")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz") as tar,
        ):
            tar.add(first, MANIFEST)
            for path in paths:
                tar.add(path, path.relative_to(state).as_posix(), recursive=False)
        draft.replace(target)
    except OSError as error:
        raise EmulatorError(f"{target} could not be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
        first.unlink(missing_ok=True)


def import_state(state: Path, source: Path) -> Json:
    """Fill an empty state folder from a file. What it deploys runs here: import only your own.

    Raises EmulatorError, and leaves nothing, for whatever `export_state` would not have written.
    """
    with held(state):
        if (state / DATABASE).exists():
            raise EmulatorError(f"{state} holds an emulator; taxiops emulator reset empties it.")
        draft = state / ".import"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            manifest = unpack(source, draft)
            check_database(draft / DATABASE)
            check_format(state)
            for name in FOLDERS:
                if (draft / name).exists():
                    shutil.rmtree(state / name, ignore_errors=True)
                    (draft / name).replace(state / name)
            # The database is last: without it there is no emulator here.
            (draft / DATABASE).replace(state / DATABASE)
        except OSError as error:
            raise EmulatorError(f"{source} could not be read: {error}") from error
        except BROKEN as error:
            raise EmulatorError(f"{source} is no whole export: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return {**manifest, "file": str(source)}


def unpack(source: Path, target: Path) -> Json:
    """Every member checked before a byte of it is written. Raises EmulatorError, BROKEN."""
    with gzip.open(source) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        manifest = read_manifest(tar)
        files = size = 0
        while (member := tar.next()) is not None:
            check_member(member)
            files, size = files + 1, size + member.size
            if files > manifest["files"] or size > manifest["bytes"]:
                raise EmulatorError("It holds more than its manifest says.")
            tar.extract(member, target, filter="data")
        # The checksum of all comes at the end, after the padding.
        if len(stream.read(MOST_PADDING)) == MOST_PADDING:
            raise EmulatorError("It goes on behind its end.")
    if (files, size) != (manifest["files"], manifest["bytes"]):
        raise EmulatorError("It holds less than its manifest says.")
    return manifest


def read_manifest(tar: tarfile.TarFile) -> Json:
    """The first member, checked. Raises EmulatorError."""
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg():
        raise EmulatorError("It does not begin with a manifest.")
    stream = tar.extractfile(member) if member.size <= MOST_MANIFEST_BYTES else None
    try:
        document = json.loads(stream.read() if stream else b"")
        files, size = document["files"], document["bytes"]
        found = document["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise EmulatorError(f"Its manifest is not one: {error!r}.") from error
    if found != STATE_FORMAT:
        raise EmulatorError(f"It was written in another format ({found}, not {STATE_FORMAT}).")
    limits = ((files, MOST_FILES), (size, MOST_BYTES))
    if not all(type(given) is int and 0 < given <= most for given, most in limits):
        raise EmulatorError("Its manifest promises more than is taken.")
    return dict(document)


def check_member(member: tarfile.TarInfo) -> None:
    """Raises EmulatorError for all but a regular file in one of the state's places."""
    parts = PurePosixPath(member.name).parts
    is_ours = member.name == DATABASE or (len(parts) > 1 and parts[0] in FOLDERS)
    is_plain = member.isreg() and not set(parts) & {"..", "/"} and "\\" not in member.name
    if not is_ours or not is_plain or member.name.startswith(LEFT_OUT):
        raise EmulatorError(f"{member.name[:200]!r} is no part of an emulator's state.")
    if member.sparse is not None or member.size < 0:
        raise EmulatorError(f"{member.name[:200]!r} has a size that is not its own.")


def check_database(path: Path) -> None:
    """Raises EmulatorError unless it is whole and has our tables, and nothing that acts."""
    if not path.is_file():
        raise EmulatorError("It holds no documents.")
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as empty:
            empty.executescript(SCHEMA)
            expected = set(empty.execute("SELECT type, name, sql FROM sqlite_master"))
        with contextlib.closing(sqlite3.connect(path)) as store:
            found = set(store.execute("SELECT type, name, sql FROM sqlite_master"))
            is_whole = store.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
            bodies = store.execute("SELECT body FROM documents")
            are_read = all(isinstance(json.loads(body), dict) for (body,) in bodies)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise EmulatorError(f"Its documents cannot be read: {error}") from error
    if found != expected or not is_whole or not are_read:
        raise EmulatorError("Its documents are not an emulator's.")
