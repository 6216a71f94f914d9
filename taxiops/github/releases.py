"""Tags and releases; writes no notes."""

from dataclasses import dataclass
from urllib.parse import quote

from taxiops.errors import StepFailed
from taxiops.github.api import Client
from taxiops.github.reading import pick, text_or_empty

# A tag of a tag of a tag is a mistake or a trap.
MOST_TAGS = 5


@dataclass(frozen=True)
class Release:
    """url: where people read it."""

    id: int
    url: str
    title: str
    notes: str


def read_tag(client: Client, tag: str) -> str | None:
    """The commit that the tag means, annotated or not; None when there is no such tag."""
    doing = f"Reading tag {tag}"
    answer = client.get(f"git/ref/tags/{quote(tag)}", doing, allowed=(404,))
    if answer.status == 404:
        return None
    for _ in range(MOST_TAGS):
        sha = pick(answer.document, str, "object", "sha")
        if pick(answer.document, str, "object", "type") != "tag":
            return sha
        answer = client.get(f"git/tags/{quote(sha)}", doing)
    raise StepFailed(f"{doing}: it is a tag of a tag of a tag.", code="github-answer")


def find_release(client: Client, tag: str) -> Release | None:
    """The published release of the tag."""
    doing = f"Reading the release of {tag}"
    answer = client.get(f"releases/tags/{quote(tag)}", doing, allowed=(404,))
    return None if answer.status == 404 else release_of(answer.document)


def create_release(client: Client, tag: str, commit: str, title: str, notes: str) -> Release:
    """Publish the release; GitHub makes the tag at the commit when there is none."""
    body = {
        "tag_name": tag,
        "target_commitish": commit,
        "name": title,
        "body": notes,
        "draft": False,
        "prerelease": False,
    }
    return release_of(client.write("POST", "releases", body, f"Releasing {tag}").document)


def update_release(client: Client, release: Release, title: str, notes: str) -> Release:
    body = {"name": title, "body": notes}
    doing = f"Updating release {release.id}"
    return release_of(client.write("PATCH", f"releases/{release.id}", body, doing).document)


def release_of(document: object) -> Release:
    return Release(
        pick(document, int, "id"),
        pick(document, str, "html_url"),
        text_or_empty(document, "name"),
        text_or_empty(document, "body"),
    )
