"""`taxiops github deployment` against a GitHub on loopback: one deployment a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_github import TOKEN, FakeGitHub, Fault, Typed, run_taxiops

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with FakeGitHub(graph={COMMIT: (), OTHER: (COMMIT,)}) as running:
        yield running
    assert not running.problems


def tell(
    fake: FakeGitHub, folder: Path, state: str, *more: str, run: str = "77", **variables: str
) -> Typed:
    arguments = ("deployment", "--environment", "production", "--state", state, *more)
    values = {"GITHUB_RUN_ID": run, "GITHUB_SHA": COMMIT, **variables}
    done = run_taxiops(fake, folder, *arguments, **values)
    assert TOKEN not in done.everything
    return done


def test_the_first_call_creates_the_deployment_and_its_status(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    done = tell(fake, tmp_path, "in_progress", "--ref", OTHER, "--description", "30 %")
    (deployment,) = fake.deployments
    assert done.outputs == {"deployment_id": str(deployment["id"])}
    assert (deployment["sha"], deployment["environment"]) == (OTHER, "production")
    assert fake.writes()[0].body["required_contexts"] == []
    assert fake.writes()[0].body["auto_merge"] is False
    (status,) = fake.statuses[deployment["id"]]
    assert (status["state"], status["description"]) == ("in_progress", "30 %")
    assert status["auto_inactive"] is True


def test_the_same_run_goes_on_with_its_deployment(fake: FakeGitHub, tmp_path: Path) -> None:
    first = tell(fake, tmp_path, "in_progress", "--json").document
    second = tell(fake, tmp_path, "success", "--json").document
    assert first["deployment_id"] == second["deployment_id"]
    assert (first["created"], second["created"]) == (True, False)
    states = [status["state"] for status in fake.statuses[first["deployment_id"]]]
    assert states == ["in_progress", "success"]


def test_the_same_state_again_writes_nothing(fake: FakeGitHub, tmp_path: Path) -> None:
    tell(fake, tmp_path, "success")
    writes = len(fake.writes())
    done = tell(fake, tmp_path, "success")
    assert "production is success already" in done.stdout
    assert len(fake.writes()) == writes


def test_another_run_another_commit_and_another_maker_have_their_own(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    foreign = {"id": 5, "sha": COMMIT, "environment": "production", "payload": '{"run_id": "77"}'}
    fake.deployments.append(foreign)
    tell(fake, tmp_path, "success")
    tell(fake, tmp_path, "success", run="78")
    tell(fake, tmp_path, "success", "--ref", OTHER)
    assert len({deployment["id"] for deployment in fake.deployments}) == 4


def test_a_payload_that_comes_back_as_text_is_known_again(fake: FakeGitHub, tmp_path: Path) -> None:
    payload = '{"made_by": "taxiops", "run_id": "77"}'
    ours = {"id": 5, "sha": COMMIT, "environment": "production", "payload": payload}
    garbled = {**ours, "id": 6, "payload": "{"}
    fake.deployments += [ours, garbled]
    assert tell(fake, tmp_path, "failure").outputs == {"deployment_id": "5"}


def test_the_log_is_the_page_of_the_run(fake: FakeGitHub, tmp_path: Path) -> None:
    tell(fake, tmp_path, "error", GITHUB_SERVER_URL="https://github.com")
    (status,) = fake.statuses[fake.deployments[0]["id"]]
    assert status["log_url"] == "https://github.com/octo/taxi/actions/runs/77"


def test_a_long_description_becomes_one_line_that_github_takes(
    fake: FakeGitHub, tmp_path: Path
) -> None:
    done = tell(fake, tmp_path, "failure", "--description", "a\nb\t" + "c" * 500)
    (status,) = fake.statuses[fake.deployments[0]["id"]]
    assert done.exit_code == 0
    assert status["description"] == "a b " + "c" * 135 + "…"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--environment", "pro\nduction"),
        ("--environment", ""),
        ("--state", "splendid"),
        ("--ref", "main"),
        ("--log-url", "javascript:alert(1)"),
        ("--log-url", "http://example.org/log"),
        ("--log-url", "https://[::1"),
    ],
)
def test_wrong_input_is_refused_before_github_is_asked(
    fake: FakeGitHub, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = tell(fake, tmp_path, "success", *arguments)
    assert (done.exit_code, fake.requests) == (2, [])
    assert "Traceback" not in done.stderr


def test_without_a_commit_it_asks_for_one(fake: FakeGitHub, tmp_path: Path) -> None:
    done = tell(fake, tmp_path, "success", GITHUB_SHA="")
    assert done.exit_code == 2
    assert "--ref" in done.stderr


def test_a_commit_unknown_to_github_is_told_in_its_words(fake: FakeGitHub, tmp_path: Path) -> None:
    done = tell(fake, tmp_path, "success", "--ref", "c" * 40)
    assert done.exit_code == 1
    assert "No ref found" in done.stderr


def test_a_post_is_not_sent_twice_when_github_stumbles(fake: FakeGitHub, tmp_path: Path) -> None:
    """It may have been carried out; the next call of the command looks for it first."""
    fake.faults.append(Fault("POST", "/deployments$", 502, "<html>bad gateway</html>"))
    done = tell(fake, tmp_path, "success")
    assert (done.exit_code, len(fake.writes())) == (1, 1)
    assert tell(fake, tmp_path, "success").exit_code == 0
