"""`taxiops github merge` against a GitHub on loopback: forward only, and only what was asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_github import TOKEN, FakeGitHub, Fault, Typed, run_taxiops

A, B, C, D, OTHER, UNKNOWN = (letter * 40 for letter in "abcdef")
HEAD = ("--head", "integration", "--base", "main")


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    """A on main; B, C and D follow on integration; OTHER is somebody's commit on A."""
    graph = {A: (), B: (A,), C: (B,), D: (C,), OTHER: (A,)}
    with FakeGitHub(graph=graph, branches={"main": A, "integration": D}) as running:
        yield running
    assert not running.problems


def merge(fake: FakeGitHub, folder: Path, *more: str, **variables: str) -> Typed:
    done = run_taxiops(fake, folder, "merge", *HEAD, *more, **variables)
    assert TOKEN not in done.everything
    return done


def test_a_base_that_is_behind_is_fast_forwarded(fake: FakeGitHub, tmp_path: Path) -> None:
    done = merge(fake, tmp_path)
    assert (done.exit_code, fake.branches["main"]) == (0, D)
    assert done.outputs == {"merged_sha": D}
    (write,) = fake.writes()
    assert (write.method, write.body) == ("PATCH", {"sha": D, "force": False})
    assert "main is fast-forwarded to dddddddddd" in done.stdout


def test_exactly_the_given_commit_is_merged_and_not_what_came_after(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    done = merge(fake, tmp_path, "--sha", B, "--json")
    assert fake.branches["main"] == B
    assert done.document == {
        "schema_version": 1,
        "repository": "octo/taxi",
        "head": "integration",
        "base": "main",
        "commit": B,
        "merged_sha": B,
        "how": "fast-forward",
    }


def test_a_base_with_commits_of_its_own_gets_a_merge(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.branches["main"] = OTHER
    done = merge(fake, tmp_path, "--sha", C, "--json")
    merged = done.document["merged_sha"]
    assert (done.document["how"], fake.branches["main"]) == ("merge", merged)
    assert fake.graph[merged] == (OTHER, C)
    assert done.outputs == {"merged_sha": merged}


@pytest.mark.parametrize("main", [D, C])
def test_what_is_there_already_is_left_alone(fake: FakeGitHub, tmp_path: Path, main: str) -> None:
    fake.branches["main"] = main
    done = merge(fake, tmp_path, "--sha", C, "--json")
    assert (done.exit_code, done.document["how"]) == (0, "already")
    assert (done.document["merged_sha"], fake.writes()) == (main, [])


def test_a_second_call_changes_nothing(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.branches["main"] = OTHER
    first = merge(fake, tmp_path, "--json").document
    second = merge(fake, tmp_path, "--json").document
    assert (second["how"], second["merged_sha"]) == ("already", first["merged_sha"])
    assert len(fake.writes()) == 1


@pytest.mark.parametrize("commit", [OTHER, UNKNOWN])
def test_a_commit_that_is_not_on_the_head_is_refused(
    fake: FakeGitHub, tmp_path: Path, commit: str
) -> None:
    done = merge(fake, tmp_path, "--sha", commit)
    assert (done.exit_code, fake.branches["main"], fake.writes()) == (9, A, [])
    assert "is not on integration" in done.stderr


def test_a_check_says_whether_it_could_be_done_and_changes_nothing(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    done = merge(fake, tmp_path, "--check", "--sha", B, "--json")
    assert (done.document["how"], done.document["merged_sha"]) == ("possible", A)
    assert merge(fake, tmp_path, "--check", "--sha", OTHER).exit_code == 9
    assert (fake.branches["main"], fake.writes()) == (A, [])


def test_a_conflict_says_how_to_resolve_it(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.branches["main"] = OTHER
    fake.conflicts.add(D)
    done = merge(fake, tmp_path)
    assert (done.exit_code, fake.branches["main"]) == (9, OTHER)
    assert "Merge main into your integration branch by a pull request" in done.stderr


@pytest.mark.parametrize("main", [A, OTHER])
def test_a_ruleset_that_refuses_is_named_with_the_token_to_configure(
    fake: FakeGitHub, tmp_path: Path, main: str
) -> None:
    fake.branches["main"] = main
    fake.protected = {"main"}
    done = merge(fake, tmp_path)
    assert (done.exit_code, fake.branches["main"]) == (4, main)
    assert "Changes must be made through a pull request." in done.stderr
    assert "TAXIOPS_MERGE_TOKEN" in done.stderr
    assert "bypass actor in the ruleset of main" in done.stderr


def test_a_token_that_bypasses_the_ruleset_may_merge(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.protected, fake.bypass = {"main"}, {"app-token"}
    fake.tokens["app-token"] = "release-app[bot]"
    done = merge(fake, tmp_path, GITHUB_TOKEN="app-token")
    assert (done.exit_code, fake.branches["main"]) == (0, D)


def test_a_403_names_the_bypass_too(fake: FakeGitHub, tmp_path: Path) -> None:
    message = {"message": "Resource not accessible by integration"}
    fake.faults.append(Fault("PATCH", "/git/refs/heads/main", 403, message))
    done = merge(fake, tmp_path)
    assert done.exit_code == 4
    assert "TAXIOPS_MERGE_TOKEN" in done.stderr


def test_a_base_that_moved_meanwhile_is_looked_at_again(fake: FakeGitHub, tmp_path: Path) -> None:
    moved = {"message": "Update is not a fast forward"}
    fake.faults.append(Fault("PATCH", "/git/refs/heads/main", 422, moved))
    done = merge(fake, tmp_path, "--json")
    assert (done.document["how"], fake.branches["main"]) == ("fast-forward", D)


def test_a_base_that_keeps_moving_is_a_conflict(fake: FakeGitHub, tmp_path: Path) -> None:
    moved = {"message": "Update is not a fast forward"}
    fake.faults.append(Fault("PATCH", "/git/refs/heads/main", 422, moved, times=9))
    done = merge(fake, tmp_path)
    assert (done.exit_code, fake.branches["main"]) == (9, A)


def test_another_refusal_shows_githubs_words(fake: FakeGitHub, tmp_path: Path) -> None:
    fake.faults.append(Fault("PATCH", "/git/refs", 422, {"message": "Object does not exist"}))
    done = merge(fake, tmp_path)
    assert done.exit_code == 1
    assert "Object does not exist" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--head", "nowhere"), 5, "no branch nowhere"),
        (("--base", "nowhere"), 5, "no branch nowhere"),
        (("--base", "integration"), 2, "are both integration"),
        (("--base", "refs/heads/main"), 2, "without refs/heads/"),
        (("--base", "../../user"), 2, "--base"),
        (("--base", "a..b"), 2, "--base"),
        (("--base", "main?force=1"), 2, "--base"),
        (("--head", "-x"), 2, "--head"),
        (("--head", ""), 2, "--head"),
        (("--sha", "dddddddddd"), 2, "--sha"),
        (("--sha", "D" * 40), 2, "--sha"),
    ],
)
def test_a_wrong_name_changes_nothing(
    fake: FakeGitHub, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = merge(fake, tmp_path, *arguments)
    assert (done.exit_code, fake.writes()) == (code, [])
    assert words in done.stderr
    assert code != 2 or not fake.requests
