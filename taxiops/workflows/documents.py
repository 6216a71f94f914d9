"""Our JSON files: written atomically, read with suspicion; knows no particular file."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.domain.fields import SCHEMA_VERSION, Fields, parse_text
from taxiops.errors import NotFound, UsageError

__all__ = ["SCHEMA_VERSION"]

Progress = Callable[[str], None]

LARGEST_BYTES = 64 * 1024**2


def now() -> str:
    """The time of this moment in UTC, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_document(path: Path, what: str, hint: str) -> dict[str, Any]:
    """The JSON object in the file, of the schema version that we know.

    Raises NotFound when there is no file, UsageError when it is cut, no object, holds NaN or is of
    another schema version.
    """
    document = parse_text(read_text(path, what, hint), f"{path}")
    Fields(document, f"{path}", UsageError).check_version()
    return document


def read_text(path: Path, what: str, hint: str) -> str:
    """The file's text; raises NotFound, or UsageError when it cannot be read or is too large."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise broken(path, what, "it is too large")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"{path}: there is no {what}.", hint=hint, code="file-missing") from error
    except UnicodeDecodeError as error:
        raise broken(path, what, "it is no UTF-8 text") from error
    except OSError as error:
        raise broken(path, what, str(error.strerror)) from error


def broken(path: Path, what: str, why: str) -> UsageError:
    return UsageError(
        f"{path}: not a usable {what}: {why}.",
        hint="Make it again with the command that writes it.",
        code="file-broken",
    )


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """The document as JSON, on disk before it is visible under its name.

    Raises UsageError when the folder cannot be written.
    """
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """The text, on disk before it is visible; raises UsageError when it cannot be written.

    What a process that died left beside it is removed.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        remove_drafts_of_the_dead(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}.",
            hint="Check TAXIOPS_OUTPUT and the folder's permissions.",
            code="output-unwritable",
        ) from error


def remove_drafts_of_the_dead(path: Path) -> None:
    for draft in path.parent.glob(f".{path.name}.*.*"):
        pid = draft.name.split(".")[-2]
        if pid.isdecimal() and not is_alive(int(pid)):
            draft.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """One line of JSON at the end of the file, on disk when this returns."""
    line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}.",
            hint="Check the folder's permissions.",
            code="journal-unwritable",
        ) from error


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entries_of_folder(folder: Path) -> list[tuple[str, str]]:
    """Relative POSIX path and SHA-256 in hexadecimal of every file below the folder, in order."""
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entries.append((path.relative_to(folder).as_posix(), digest))
    return entries


def find_folder_with(root: Path, name: str, what: str) -> Path:
    """The folder at or below `root` that holds the file `name`.

    Raises UsageError when there is none or more than one.
    """
    found = sorted({path.parent for path in root.rglob(name) if path.is_file()})
    if len(found) != 1:
        count = "no" if not found else "more than one"
        raise UsageError(f"{root}: {count} {name} there, so it is no {what}.", code="file-missing")
    return found[0]
