"""`taxiops github comment` against a GitHub on loopback: one comment a marker, nobody else's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_github import BOT, LONGEST_COMMENT, TOKEN, FakeGitHub, Fault, Typed, run_taxiops

MARKER = "<!-- taxiops:report -->"


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with FakeGitHub() as running:
        yield running
    assert not running.problems


def say(fake: FakeGitHub, folder: Path, text: str, *more: str, **variables: str) -> Typed:
    (folder / "report.md").write_text(text, encoding="utf-8")
    arguments = ("comment", "--pull-request", "12", "--file", "report.md", *more)
    return run_taxiops(fake, folder, *arguments, **variables)


def bodies(fake: FakeGitHub) -> list[str]:
    return [comment["body"].replace("\r\n", "\n") for comment in fake.comments[12]]


def test_the_first_call_creates_the_comment(fake: FakeGitHub, tmp_path: Path) -> None:
    done = say(fake, tmp_path, "## Better\n")
    assert (done.exit_code, bodies(fake)) == (0, [f"{MARKER}\n## Better"])
    assert "octo/taxi#12: comment created." in done.stdout
    assert done.outputs == {"comment_url": fake.comments[12][0]["html_url"]}


def test_a_later_call_updates_it_in_place(fake: FakeGitHub, tmp_path: Path) -> None:
    first = say(fake, tmp_path, "one", "--json").document
    second = say(fake, tmp_path, "two", "--json").document
    assert (first["done"], second["done"]) == ("created", "updated")
    assert first["comment_id"] == second["comment_id"]
    assert bodies(fake) == [f"{MARKER}\ntwo"]


def test_the_same_text_again_writes_nothing(fake: FakeGitHub, tmp_path: Path) -> None:
    say(fake, tmp_path, "| a |\n| --- |\n| b |\n")
    done = say(fake, tmp_path, "| a |\n| --- |\n| b |\n")
    assert "unchanged" in done.stdout
    assert len(fake.writes()) == 1


def test_each_marker_has_a_comment_of_its_own(fake: FakeGitHub, tmp_path: Path) -> None:
    say(fake, tmp_path, "one")
    say(fake, tmp_path, "two", "--marker", "dev-rollout")
    say(fake, tmp_path, "three", "--marker", "dev-rollout")
    assert bodies(fake) == [f"{MARKER}\none", "<!-- taxiops:dev-rollout -->\nthree"]


def test_somebody_elses_comment_with_our_marker_is_left_alone(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    fake.add_comment(12, "mallory", f"{MARKER}\nforged")
    fake.comments[12].append({"id": 1, "html_url": "x", "user": None, "body": MARKER})
    say(fake, tmp_path, "ours")
    assert bodies(fake) == [f"{MARKER}\nforged", MARKER, f"{MARKER}\nours"]


def test_a_comment_of_ours_that_only_quotes_the_marker_is_another(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    fake.add_comment(12, BOT, f"See\n{MARKER}")
    say(fake, tmp_path, "ours")
    assert bodies(fake) == [f"See\n{MARKER}", f"{MARKER}\nours"]


def test_a_person_with_a_token_updates_their_own_comment(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.tokens["pat-of-ada"] = "ada"
    fake.add_comment(12, BOT, f"{MARKER}\nbot")
    fake.add_comment(12, "ada", f"{MARKER}\nada")
    say(fake, tmp_path, "new", GITHUB_TOKEN="pat-of-ada")
    assert bodies(fake) == [f"{MARKER}\nbot", f"{MARKER}\nnew"]


def test_our_comment_is_found_behind_hundreds_of_others(fake: FakeGitHub, tmp_path: Path) -> None:
    for number in range(230):
        fake.add_comment(12, "ada", f"opinion {number}")
    fake.add_comment(12, BOT, f"{MARKER}\nold")
    done = say(fake, tmp_path, "new", "--json")
    assert done.document["done"] == "updated"
    assert bodies(fake)[230:] == [f"{MARKER}\nnew"]
    asked = [request for request in fake.requests if request.path.endswith("/comments")]
    assert [request.query.get("page", "1") for request in asked] == ["1", "2", "3"]


def test_a_long_text_is_cut_at_githubs_limit_and_says_so(fake: FakeGitHub, tmp_path: Path) -> None:
    done = say(fake, tmp_path, "```\n" + "a line of the report\n" * 5000)
    (body,) = bodies(fake)
    assert done.exit_code == 0
    assert LONGEST_COMMENT - 100 < len(body) <= LONGEST_COMMENT
    marker, note, *_ = body.splitlines()
    assert (marker, note) == (
        MARKER,
        "> Cut: GitHub shows at most 65,536 characters. The artifacts of the run hold all.",
    )
    assert body.endswith("a line of the report")


def test_a_mention_in_the_file_calls_nobody(fake: FakeGitHub, tmp_path: Path) -> None:
    """Escaped ones too: GitHub looks for mentions in what Markdown made of the text."""
    mentions = (
        "@a",
        "@org/team",
        "(@b)",
        "\\@c",
        "&#64;d",
        "&#x40;e",
        "&commat;f",
        "&#0064g",
        "@&#65;",
    )
    say(fake, tmp_path, "\n".join((*mentions, "1 @ 2")))
    said = bodies(fake)[0].splitlines()[1:]
    assert [line.replace("\N{WORD JOINER}", "") for line in said] == [*mentions, "1 @ 2"]
    assert all(re.search("(@|64;?|40;|commat;)\N{WORD JOINER}", line) for line in said[:-1])


def test_the_file_cannot_hide_text_or_forge_a_marker(fake: FakeGitHub, tmp_path: Path) -> None:
    say(fake, tmp_path, "<!-- taxiops:other -->\n\x1b[31mred\u202e\x00 <!-- the rest\n")
    (body,) = bodies(fake)
    assert body == f"{MARKER}\n&lt;!-- taxiops:other -->\n[31mred &lt;!-- the rest"


def test_a_table_and_code_stay_as_they_are(fake: FakeGitHub, tmp_path: Path) -> None:
    text = "| metric | value |\n| --- | ---: |\n| MAE | `1.25` |\n\n```text\nx < y & z\n```"
    say(fake, tmp_path, text)
    assert bodies(fake) == [f"{MARKER}\n{text}"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--file", "missing.md"), 5),
        (("--file", "empty.md"), 2),
        (("--file", "binary.md"), 2),
        (("--marker", "a --> b"), 2),
        (("--marker", "a--b"), 2),
        (("--marker", "x" * 65), 2),
        (("--pull-request", "0"), 2),
        (("--pull-request", "12/../../x"), 2),
    ],
)
def test_wrong_input_is_refused_before_github_is_asked(
    fake: FakeGitHub, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "empty.md").write_text(" \n\n", encoding="utf-8")
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00")
    done = say(fake, tmp_path, "text", *arguments)
    assert (done.exit_code, fake.requests) == (code, [])
    assert "Traceback" not in done.stderr


def test_without_the_permission_it_says_which_one_is_missing(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    message = {"message": f"Resource not accessible by integration {TOKEN}"}
    fake.faults.append(Fault("POST", "/comments", 403, message))
    done = say(fake, tmp_path, "text")
    assert done.exit_code == 4
    assert "pull-requests: write" in done.stderr
    assert "Resource not accessible by integration ***" in done.stderr
    assert TOKEN not in done.everything
