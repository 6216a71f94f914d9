"""Names seen lately, for the shell's completion: kept here, so that no cloud need be asked."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from taxiops.config import Settings
from taxiops.errors import TaxiopsError
from taxiops.workflows.documents import SCHEMA_VERSION, read_document, write_document

VERSIONS = "versions"
MOST = 200


def file_of(settings: Settings) -> Path:
    """One for each cloud: names of the emulator are not those of Azure."""
    return settings.root / ".taxiops" / f"names-{settings.cloud}.json"


def remember(settings: Settings, kind: str, names: Mapping[str, str]) -> None:
    """Names with a word on each, such as a version with its commit; replaces those of the kind.

    A cache: where it cannot be written, nothing is remembered and nobody is told.
    """
    former = recall(settings)
    kept = dict(list(names.items())[:MOST])
    if former.get(kind) != kept:
        with contextlib.suppress(TaxiopsError):
            document = {"schema_version": SCHEMA_VERSION, **former, kind: kept}
            write_document(file_of(settings), document)


def recall(settings: Settings) -> dict[str, dict[str, str]]:
    """Kind -> name -> a word on it; nothing of what is damaged."""
    try:
        document = read_document(file_of(settings), "list of names", "")
    except TaxiopsError:
        return {}
    return {kind: as_text(names) for kind, names in document.items() if isinstance(names, dict)}


def as_text(names: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(word)[:80] for name, word in names.items()}


def slots_kind(env: str) -> str:
    """Where the slots of an environment are kept."""
    return f"{env}_slots"


def remember_slots(settings: Settings, env: str, slots: Iterable[str]) -> None:
    remember(settings, slots_kind(env), dict.fromkeys(sorted(slots), ""))
