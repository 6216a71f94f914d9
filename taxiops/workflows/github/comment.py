"""`taxiops github comment`: one comment a marker on a pull request, updated in place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.errors import UsageError
from taxiops.github import comments
from taxiops.github.address import read_address
from taxiops.github.api import Client
from taxiops.github.names import check_marker
from taxiops.github.text import COMMENT_LIMIT, cut, harmless
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, read_text

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"


@dataclass(frozen=True)
class CommentResult:
    """done: created, updated or unchanged."""

    repository: str
    pull_request: int
    marker: str
    comment_id: int
    url: str
    done: str
    next_command: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "repository": self.repository,
            "pull_request": self.pull_request,
            "marker": self.marker,
            "comment_id": self.comment_id,
            "comment_url": self.url,
            "done": self.done,
        }


def comment(number: int, file: Path, marker: str, progress: Progress) -> CommentResult:
    """Say what stands in the file; a comment somebody else wrote is never touched.

    Raises UsageError for an empty file, NotAuthorised, NotFound.
    """
    line = f"<!-- taxiops:{check_marker(marker)} -->"
    body = compose(line, read_text(file, "text to comment", "taxiops compare"), file)
    client = Client(read_address(os.environ), "pull-requests: write")
    progress(f"looking for our comment on {client.address.repository}#{number}")
    login = comments.read_own_login(client)
    found = comments.find_comment(client, number, line, login)
    if found is None:
        made, done = comments.create_comment(client, number, body), CREATED
    elif same(found.body, body):
        made, done = found, UNCHANGED
    else:
        made, done = comments.update_comment(client, found, body), UPDATED
    return CommentResult(client.address.repository, number, marker, made.id, made.url, done)


def compose(line: str, text: str, file: Path) -> str:
    """The comment: our marker, then the foreign text made harmless, within GitHub's limit."""
    shown = harmless(text).strip("\n")
    if not shown.strip():
        raise UsageError(
            f"{file}: there is nothing to say in it.",
            hint="Give the file that the report was written to.",
            code="file-empty",
        )
    return f"{line}\n{cut(shown, COMMENT_LIMIT, taken=len(line) + 1)}"


def same(theirs: str, ours: str) -> bool:
    """Whether GitHub, which trims text and may end lines its own way, holds this text."""
    return theirs.replace("\r\n", "\n").strip() == ours.strip()
