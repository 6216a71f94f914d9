"""`taxiops github merge`: bring a branch to a commit of another, forward only."""

import os
from dataclasses import dataclass
from typing import Any

from taxiops.errors import Conflict, NotFound, UsageError
from taxiops.github import branches
from taxiops.github.address import read_address
from taxiops.github.api import Client
from taxiops.github.branches import AHEAD, BEHIND, IDENTICAL
from taxiops.github.names import check_commit, check_ref
from taxiops.workflows.documents import SCHEMA_VERSION, Progress

ALREADY, FAST_FORWARD, MERGE = "already", "fast-forward", "merge"
POSSIBLE = "possible"
# Somebody else may push to the base between our look and our move.
TRIES = 3


@dataclass(frozen=True)
class MergeResult:
    """commit: what base had to hold. merged_sha: where base points now. how: see constants."""

    repository: str
    head: str
    base: str
    commit: str
    merged_sha: str
    how: str
    next_command: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "repository": self.repository,
            "head": self.head,
            "base": self.base,
            "commit": self.commit,
            "merged_sha": self.merged_sha,
            "how": self.how,
        }


def merge(
    head: str, base: str, commit: str, progress: Progress, *, only_check: bool = False
) -> MergeResult:
    """Make base hold the commit of head (empty: its newest); never moves base back.

    only_check: change nothing; fail now when the commit is not there to be merged later.
    Raises Conflict when the commit is not on head or cannot be merged, NotAuthorised when a
    ruleset forbids it, NotFound for an unknown branch.
    """
    check_ref(head, "--head")
    check_ref(base, "--base")
    if head == base:
        raise UsageError(f"--head and --base are both {head}.", hint="Give two branches.")
    if commit:
        check_commit(commit, "--sha")
    client = Client(read_address(os.environ), "contents: write")
    newest = branches.read_branch(client, head)
    wanted = commit or newest
    if wanted != newest:
        check_on_branch(client, wanted, head, newest)
    if only_check:
        current = branches.read_branch(client, base)
        return MergeResult(client.address.repository, head, base, wanted, current, POSSIBLE)
    merged, how = bring(client, base, wanted, f"Merge {head} into {base}", progress)
    return MergeResult(client.address.repository, head, base, wanted, merged, how)


def check_on_branch(client: Client, commit: str, head: str, newest: str) -> None:
    """Raises Conflict unless the branch, whose newest commit is `newest`, holds the commit."""
    try:
        is_there = branches.compare(client, commit, newest) in (AHEAD, IDENTICAL)
    except NotFound:
        is_there = False
    if not is_there:
        raise Conflict(
            f"Commit {commit[:10]} is not on {head}, which is at {newest[:10]}.",
            why=f"{head} was rewritten, or the commit was never pushed to it.",
            hint=f"Release a commit that {head} holds.",
            code="commit-not-on-branch",
        )


def bring(
    client: Client, base: str, commit: str, title: str, progress: Progress
) -> tuple[str, str]:
    """Where base points afterwards, and how it came there; raises Conflict."""
    for _ in range(TRIES):
        current = branches.read_branch(client, base)
        relation = branches.compare(client, current, commit)
        if relation in (IDENTICAL, BEHIND):
            return current, ALREADY
        if relation == AHEAD:
            progress(f"fast-forwarding {base} from {current[:10]} to {commit[:10]}")
            if branches.fast_forward(client, base, commit):
                return commit, FAST_FORWARD
            continue
        progress(f"merging {commit[:10]} into {base} at {current[:10]}")
        made = branches.merge(client, base, commit, title)
        if made is not None:
            return made, MERGE
    raise Conflict(
        f"{base} keeps moving; it was not brought to {commit[:10]}.",
        hint="Run the command again when nobody else pushes.",
        code="branch-moved",
    )
