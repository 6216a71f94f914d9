"""The client of GitHub's API as commands show it: tokens, retries, redirects, failures."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_github import BOT, TOKEN, FakeGitHub, Fault, Typed, run_taxiops

COMMIT = "a" * 40
AT_ONCE = {"Retry-After": "0"}


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with FakeGitHub(graph={COMMIT: ()}, branches={"main": COMMIT, "next": COMMIT}) as running:
        yield running


@pytest.fixture
def other() -> Iterator[FakeGitHub]:
    """A server the token must never reach."""
    with FakeGitHub(graph={COMMIT: ()}, branches={"next": COMMIT}) as running:
        yield running
    assert not running.requests


def ask(fake: FakeGitHub, folder: Path, **variables: str) -> Typed:
    """The command that reads most: nothing is to be merged."""
    arguments = ("merge", "--head", "next", "--base", "main", "--verbose")
    done = run_taxiops(fake, folder, *arguments, **variables)
    assert TOKEN not in done.everything
    return done


def comment(fake: FakeGitHub, folder: Path) -> Typed:
    (folder / "report.md").write_text("text", encoding="utf-8")
    return run_taxiops(fake, folder, "comment", "--pull-request", "1", "--file", "report.md")


@pytest.mark.parametrize("status", [502, 429])
def test_a_read_is_tried_again(fake: FakeGitHub, tmp_path: Path, status: int) -> None:
    fake.faults.append(Fault("GET", "/git/ref", status, None, AT_ONCE, times=3))
    assert ask(fake, tmp_path).exit_code == 0


def test_a_read_is_tried_again_when_the_connection_breaks(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.faults.append(Fault("GET", "/git/ref", 0))
    assert ask(fake, tmp_path).exit_code == 0


def test_a_server_that_stays_broken_is_told(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.faults.append(Fault("GET", "/git/ref", 503, {"message": "No server"}, AT_ONCE, times=99))
    done = ask(fake, tmp_path)
    assert (done.exit_code, len(fake.requests)) == (1, 4)
    assert "GitHub answered 503" in done.stderr


def test_a_post_that_a_secondary_limit_turned_away_is_sent_again(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    message = {"message": "You have exceeded a secondary rate limit."}
    fake.faults.append(Fault("POST", "/comments", 403, message, AT_ONCE))
    assert comment(fake, tmp_path).exit_code == 0
    assert len(fake.comments[1]) == 1


def test_a_limit_that_lasts_longer_than_a_minute_is_told_at_once(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    message = {"message": "API rate limit exceeded"}
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3000)}
    fake.faults.append(Fault("GET", "/user", 403, message, reset))
    done = comment(fake, tmp_path)
    assert (done.exit_code, len(fake.requests)) == (1, 1)
    assert "rate limit is reached" in done.stderr


def test_a_wrong_token_is_not_authorised(fake: FakeGitHub, tmp_path: Path) -> None:
    done = ask(fake, tmp_path, GITHUB_TOKEN="expired-token")
    assert done.exit_code == 4
    assert "does not accept the token" in done.stderr


def test_an_unknown_repository_is_not_found(fake: FakeGitHub, tmp_path: Path) -> None:
    done = ask(fake, tmp_path, GITHUB_REPOSITORY="octo/elsewhere")
    assert done.exit_code == 5


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_elsewhere_is_not_followed(
    fake: FakeGitHub, other: FakeGitHub, tmp_path: Path, status: int
) -> None:
    target = {"Location": f"{other.url}/repos/octo/taxi/git/ref/heads/next"}
    fake.faults.append(Fault("GET", "/git/ref/heads/next", status, None, target))
    done = ask(fake, tmp_path)
    assert done.exit_code == 1
    assert "redirects to another place" in done.stderr


def test_a_redirect_of_a_write_is_not_followed(
    fake: FakeGitHub, other: FakeGitHub, tmp_path: Path
) -> None:
    fake.faults.append(Fault("POST", "/comments", 302, None, {"Location": other.url}))
    assert comment(fake, tmp_path).exit_code == 1


def test_a_redirect_within_the_api_is_followed(fake: FakeGitHub, tmp_path: Path) -> None:
    target = {"Location": f"{fake.url}/repos/octo/taxi/git/ref/heads/next"}
    fake.faults.append(Fault("GET", "/git/ref/heads/next", 301, None, target))
    assert ask(fake, tmp_path).exit_code == 0


def test_a_next_page_elsewhere_is_not_asked_for(
    fake: FakeGitHub, other: FakeGitHub, tmp_path: Path
) -> None:
    link = {"Link": f'<{other.url}/repos/octo/taxi/issues/1/comments?page=2>; rel="next"'}
    fake.faults.append(Fault("GET", "/comments", 200, [], link))
    done = comment(fake, tmp_path)
    assert done.exit_code == 1
    assert "a next page on another server" in done.stderr


@pytest.mark.parametrize("body", ["<html>hello</html>", {"no": "list"}, "[" * 100_000])
def test_an_answer_that_is_not_githubs_is_told(
    fake: FakeGitHub, tmp_path: Path, body: object
) -> None:
    fake.faults.append(Fault("GET", "/comments", 200, body))
    done = comment(fake, tmp_path)
    assert done.exit_code == 1
    assert "GitHub's answer holds no" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_field_that_is_missing_is_named(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.faults.append(Fault("GET", "/git/ref", 200, {"object": {"sha": 7}}))
    done = ask(fake, tmp_path)
    assert done.exit_code == 1
    assert "has no object.sha" in done.stderr


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"GITHUB_TOKEN": ""}, 4, "GITHUB_TOKEN is not set"),
        ({"GITHUB_TOKEN": "ghs_secret\nX-Other: 1"}, 2, "no token has"),
        ({"GITHUB_REPOSITORY": ""}, 2, "no owner/name"),
        ({"GITHUB_REPOSITORY": "octo/.."}, 2, "no owner/name"),
        ({"GITHUB_REPOSITORY": "octo/taxi/../other"}, 2, "no owner/name"),
        ({"GITHUB_API_URL": "http://api.github.com"}, 2, "must be an https URL"),
        ({"GITHUB_API_URL": "http://127.0.0.1.example.org"}, 2, "must be an https URL"),
        ({"GITHUB_API_URL": "https://me:secret@example.org"}, 2, "must be an https URL"),
        ({"GITHUB_API_URL": "file:///etc/passwd"}, 2, "must be an https URL"),
        ({"GITHUB_API_URL": "https://[::1"}, 2, "must be an https URL"),
    ],
)
def test_a_wrong_variable_is_named_and_nothing_is_sent(
    fake: FakeGitHub, tmp_path: Path, variables: dict[str, str], code: int, words: str
) -> None:
    done = ask(fake, tmp_path, **variables)
    assert (done.exit_code, fake.requests) == (code, [])
    assert words in done.stderr
    assert "secret" not in done.everything


def test_nobody_listening_is_told_with_where(fake: FakeGitHub, tmp_path: Path) -> None:
    with FakeGitHub() as gone:
        url = gone.url
    done = ask(fake, tmp_path, GITHUB_API_URL=url)
    assert done.exit_code == 1
    assert f"no answer from {url}" in done.stderr


def test_a_proxy_never_sees_what_goes_to_this_machine(
    fake: FakeGitHub, other: FakeGitHub, tmp_path: Path
) -> None:
    done = ask(fake, tmp_path, http_proxy=other.url, HTTP_PROXY=other.url)
    assert done.exit_code == 0


def test_the_error_is_one_json_document(fake: FakeGitHub, tmp_path: Path) -> None:
    arguments = ("merge", "--head", "next", "--base", "main", "--json")
    done = run_taxiops(fake, tmp_path, *arguments, GITHUB_TOKEN="expired-token")
    error = done.document["error"]
    assert (error["code"], error["exit_code"]) == ("github-token", 4)
    assert "expired-token" not in done.everything


def test_the_fake_serves_as_a_program_of_its_own(fake: FakeGitHub, tmp_path: Path) -> None:
    url_file, state_file = tmp_path / "url", tmp_path / "state.json"
    program = str(Path(__file__).with_name("fake_github.py"))
    files = ("--url-file", str(url_file), "--state-file", str(state_file))
    with subprocess.Popen([sys.executable, program, *files]) as server:
        try:
            while not url_file.exists():
                assert server.poll() is None
                time.sleep(0.01)
            (tmp_path / "report.md").write_text("text", encoding="utf-8")
            arguments = ("comment", "--pull-request", "3", "--file", "report.md")
            url = url_file.read_text(encoding="utf-8")
            assert run_taxiops(fake, tmp_path, *arguments, GITHUB_API_URL=url).exit_code == 0
        finally:
            server.send_signal(signal.SIGTERM)
    state = json.loads(state_file.read_text(encoding="utf-8"))
    assert [comment["user"]["login"] for comment in state["comments"]["3"]] == [BOT]
    assert not state["problems"]
