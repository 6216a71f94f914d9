"""Comments of a pull request that carry our hidden marker; composes no text."""

from dataclasses import dataclass

from taxiops.github.api import Client
from taxiops.github.reading import pick, text_or_empty

# Whom GITHUB_TOKEN writes as; it may not ask who it is.
WORKFLOW_LOGIN = "github-actions[bot]"


@dataclass(frozen=True)
class Comment:
    """url: where people read it."""

    id: int
    url: str
    body: str


def read_own_login(client: Client) -> str:
    """The login that our token writes as."""
    url = f"{client.address.base}/user"
    answer = client.read(url, "Asking whose token this is", allowed=(403, 404))
    return pick(answer.document, str, "login") if answer.status == 200 else WORKFLOW_LOGIN


def find_comment(client: Client, number: int, marker: str, login: str) -> Comment | None:
    """The oldest comment of this login whose first line is the marker."""
    doing = f"Reading the comments of pull request {number}"
    for item in client.pages(f"issues/{number}/comments", doing):
        body = text_or_empty(item, "body")
        if text_or_empty(item, "user", "login") == login and has_marker(body, marker):
            return comment_of(item)
    return None


def has_marker(body: str, marker: str) -> bool:
    return body.partition("\n")[0].rstrip() == marker


def create_comment(client: Client, number: int, body: str) -> Comment:
    doing = f"Commenting on pull request {number}"
    return comment_of(
        client.write("POST", f"issues/{number}/comments", {"body": body}, doing).document
    )


def update_comment(client: Client, comment: Comment, body: str) -> Comment:
    doing = f"Updating comment {comment.id}"
    path = f"issues/comments/{comment.id}"
    return comment_of(client.write("PATCH", path, {"body": body}, doing).document)


def comment_of(document: object) -> Comment:
    return Comment(
        pick(document, int, "id"),
        pick(document, str, "html_url"),
        text_or_empty(document, "body"),
    )
