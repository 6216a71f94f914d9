"""Branches: read, compare, fast-forward, merge; which of them to do is decided elsewhere."""

from urllib.parse import quote

from taxiops.errors import Conflict, NotAuthorised, NotFound
from taxiops.github.api import Answer, Client
from taxiops.github.failures import is_rule_violation
from taxiops.github.reading import pick

IDENTICAL, AHEAD, BEHIND = "identical", "ahead", "behind"


def read_branch(client: Client, name: str) -> str:
    """The commit the branch points to; raises NotFound."""
    answer = client.get(f"git/ref/heads/{quote(name)}", f"Reading {name}", allowed=(404,))
    if answer.status == 404:
        raise NotFound(
            f"There is no branch {name} in {client.address.repository}.",
            hint="Check --head, --base and GITHUB_REPOSITORY.",
            code="branch-missing",
        )
    return pick(answer.document, str, "object", "sha")


def compare(client: Client, base: str, head: str) -> str:
    """Where `head` stands relative to `base`: identical, ahead, behind or diverged.

    Both are commits. Raises NotFound when the repository lacks one.
    """
    doing = f"Comparing {base[:10]} with {head[:10]}"
    answer = client.get(f"compare/{base}...{head}", doing, query={"per_page": "1"})
    return pick(answer.document, str, "status")


def fast_forward(client: Client, branch: str, commit: str) -> bool:
    """Move the branch ahead; False when it moved meanwhile, so that this is no fast-forward.

    Raises NotAuthorised when a ruleset or the token's permissions forbid it.
    """
    doing = f"Fast-forwarding {branch} to {commit[:10]}"
    body = {"sha": commit, "force": False}
    path = f"git/refs/heads/{quote(branch)}"
    answer = client.write("PATCH", path, body, doing, allowed=(403, 409, 422))
    if answer.status == 422 and "not a fast forward" in client.message(answer).lower():
        return False
    raise_if_refused(client, answer, branch, doing)
    moved = pick(answer.document, str, "object", "sha")
    if moved != commit:
        raise Conflict(f"{doing}: {branch} points to {moved[:10]} now.", code="branch-moved")
    return True


def merge(client: Client, branch: str, commit: str, message: str) -> str | None:
    """The merge commit; None when the branch holds the commit already.

    Raises Conflict when Git cannot merge, NotAuthorised as `fast_forward` does.
    """
    doing = f"Merging {commit[:10]} into {branch}"
    body = {"base": branch, "head": commit, "commit_message": message}
    answer = client.write("POST", "merges", body, doing, allowed=(403, 409, 422))
    if answer.status == 409 and not is_rule_violation(client.message(answer)):
        raise Conflict(
            f"{commit[:10]} and {branch} changed the same lines, so GitHub cannot merge them.",
            why=client.message(answer),
            hint=f"Merge {branch} into your integration branch by a pull request, resolve it "
            "there, and release the commit that comes of it.",
            code="merge-conflict",
        )
    raise_if_refused(client, answer, branch, doing)
    return None if answer.status == 204 else pick(answer.document, str, "sha")


def raise_if_refused(client: Client, answer: Answer, branch: str, doing: str) -> None:
    if answer.status < 400:
        return
    message = client.message(answer)
    if answer.status == 403 or is_rule_violation(message):
        raise NotAuthorised(
            f"{doing}: GitHub does not let this token change {branch}.",
            why=message,
            hint=f"Put into the secret TAXIOPS_MERGE_TOKEN the token of an app or user that is a "
            f"bypass actor in the ruleset of {branch}, with `contents: write` (and `workflows: "
            "write` for changed workflow files).",
            code="branch-protected",
        )
    raise client.refusal(answer, doing)
