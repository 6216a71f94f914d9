"""`taxiops github release` against a GitHub on loopback: a tag is made once and never moved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_github import TOKEN, FakeGitHub, Typed, run_taxiops

COMMIT, OTHER, TAG_OBJECT = "a" * 40, "b" * 40, "c" * 40
TAG = "model-v7"


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with FakeGitHub(graph={COMMIT: (), OTHER: (COMMIT,)}) as running:
        yield running
    assert not running.problems


def publish(fake: FakeGitHub, folder: Path, notes: str, *more: str) -> Typed:
    (folder / "notes.md").write_text(notes, encoding="utf-8")
    named = ("--tag", TAG, "--sha", COMMIT, "--title", "Model version 7", "--notes", "notes.md")
    done = run_taxiops(fake, folder, "release", *named, *more)
    assert TOKEN not in done.everything
    return done


def test_the_release_and_its_tag_are_created(fake: FakeGitHub, tmp_path: Path) -> None:
    done = publish(fake, tmp_path, "| MAE | 1.2 |\n")
    (release,) = fake.releases
    assert (done.exit_code, fake.tags) == (0, {TAG: COMMIT})
    assert (release["name"], release["body"]) == ("Model version 7", "| MAE | 1.2 |\n")
    assert done.outputs == {"release_url": release["html_url"]}


def test_a_second_call_changes_nothing(fake: FakeGitHub, tmp_path: Path) -> None:
    publish(fake, tmp_path, "notes")
    done = publish(fake, tmp_path, "notes", "--json")
    assert (done.document["done"], len(fake.writes())) == ("unchanged", 1)


def test_new_notes_update_the_release_in_place(fake: FakeGitHub, tmp_path: Path) -> None:
    publish(fake, tmp_path, "old")
    done = publish(fake, tmp_path, "new", "--json")
    (release,) = fake.releases
    assert (done.document["done"], release["body"]) == ("updated", "new")
    assert done.document["release_id"] == release["id"]


def test_an_annotated_tag_on_the_commit_is_used(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.tags[TAG], fake.annotated[TAG_OBJECT] = TAG_OBJECT, COMMIT
    assert publish(fake, tmp_path, "notes").exit_code == 0
    assert fake.tags == {TAG: TAG_OBJECT}


@pytest.mark.parametrize("found", [OTHER, TAG_OBJECT])
def test_a_tag_that_points_elsewhere_is_refused(
    fake: FakeGitHub, tmp_path: Path, found: str
) -> None:
    fake.tags[TAG], fake.annotated[TAG_OBJECT] = found, OTHER
    done = publish(fake, tmp_path, "notes")
    assert (done.exit_code, fake.writes()) == (9, [])
    assert "Tag model-v7 points to bbbbbbbbbb, not to aaaaaaaaaa." in done.stderr


def test_the_notes_mention_nobody(fake: FakeGitHub, tmp_path: Path) -> None:
    publish(fake, tmp_path, "by @octocat")
    assert fake.releases[0]["body"] == "by @\N{WORD JOINER}octocat"


def test_notes_beyond_githubs_limit_are_cut(fake: FakeGitHub, tmp_path: Path) -> None:
    publish(fake, tmp_path, "a line\n" * 20_000)
    body = fake.releases[0]["body"]
    assert len(body) <= 125_000
    assert body.startswith("> Cut: GitHub shows at most 125,000 characters.")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--tag", "a b"), 2),
        (("--tag", "v1.lock"), 2),
        (("--tag", "refs/tags/v1"), 2),
        (("--sha", "main"), 2),
        (("--title", "two\nlines"), 2),
        (("--title", " "), 2),
        (("--notes", "missing.md"), 5),
    ],
)
def test_wrong_input_is_refused_before_github_is_asked(
    fake: FakeGitHub, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = publish(fake, tmp_path, "notes", *arguments)
    assert (done.exit_code, fake.requests) == (code, [])


def test_what_github_objects_to_is_shown_field_by_field(fake: FakeGitHub, tmp_path: Path) -> None:
    done = publish(fake, tmp_path, "notes", "--sha", "d" * 40)
    assert done.exit_code == 1
    assert "Validation Failed Release target_commitish invalid" in done.stderr
