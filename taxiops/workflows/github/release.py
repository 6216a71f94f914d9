"""`taxiops github release`: a release with its notes on exactly one commit."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.errors import Conflict
from taxiops.github import releases
from taxiops.github.address import read_address
from taxiops.github.api import Client
from taxiops.github.names import check_commit, check_ref, check_title
from taxiops.github.releases import Release
from taxiops.github.text import RELEASE_LIMIT, cut, harmless
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, read_text
from taxiops.workflows.github.comment import CREATED, UNCHANGED, UPDATED, same


@dataclass(frozen=True)
class ReleaseResult:
    """done: created, updated or unchanged."""

    repository: str
    tag: str
    commit: str
    release_id: int
    url: str
    done: str
    next_command: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "repository": self.repository,
            "tag": self.tag,
            "commit": self.commit,
            "release_id": self.release_id,
            "release_url": self.url,
            "done": self.done,
        }


def release(tag: str, commit: str, title: str, notes: Path, progress: Progress) -> ReleaseResult:
    """Publish or update the release of the tag; a tag is never moved.

    Raises Conflict when the tag points to another commit, UsageError, NotAuthorised.
    """
    check_ref(tag, "--tag")
    check_commit(commit, "--sha")
    title = check_title(title)
    text = cut(harmless(read_text(notes, "release notes", "taxiops trace")), RELEASE_LIMIT)
    client = Client(read_address(os.environ), "contents: write")
    progress(f"looking for {tag} in {client.address.repository}")
    check_tag(releases.read_tag(client, tag), tag, commit)
    found = releases.find_release(client, tag)
    if found is None:
        made, done = releases.create_release(client, tag, commit, title, text), CREATED
        # Somebody may have made the tag since we looked; GitHub would have taken it as it is.
        check_tag(releases.read_tag(client, tag), tag, commit)
    elif is_as_wanted(found, title, text):
        made, done = found, UNCHANGED
    else:
        made, done = releases.update_release(client, found, title, text), UPDATED
    return ReleaseResult(client.address.repository, tag, commit, made.id, made.url, done)


def check_tag(found: str | None, tag: str, commit: str) -> None:
    """Raises Conflict when the tag points elsewhere."""
    if found not in (None, commit):
        raise Conflict(
            f"Tag {tag} points to {found[:10] if found else ''}, not to {commit[:10]}.",
            why="A release is never moved to another commit.",
            hint="Give another --tag, or the commit that the tag points to.",
            code="tag-elsewhere",
        )


def is_as_wanted(found: Release, title: str, notes: str) -> bool:
    return found.title == title and same(found.notes, notes)
