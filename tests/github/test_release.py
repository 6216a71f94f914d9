"""prod-ml-release.yml run by act against the emulator: a release, and one that must not merge."""

import pytest

from taxiops.workflows.compare import CompareOptions, compare
from taxiops.workflows.decide_gate import decide_gate
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.promote import promote
from taxiops.workflows.shift_traffic import promote_traffic

from .project import dispatch_event, head, run_git
from .world import CANARIES, PIPELINE, RELEASE, World, all_told, document, spellings, succeeded

ALL = {
    "verify",
    "approve",
    "deploy-prod",
    "test-prod",
    "traffic-prod",
    "record",
    "merge",
    "verdict",
}


def ignore(_: str) -> None:
    """Progress that nobody reads."""


def promoted(world: World) -> str:
    """A version of the commit that is checked out."""
    settings = world.connect().settings
    compare(settings, CompareOptions(world.project / PIPELINE), ignore)
    decide_gate(settings, None, False, "", "tests", ignore)
    return promote(settings, None, ignore).version


def validate(world: World, version: str) -> None:
    """Give the version all of Dev's traffic."""
    settings = world.connect().settings
    deploy(settings, DeployOptions(model_version=version), ignore)
    promote_traffic(settings, None, 100, ignore)


def branches(world: World) -> tuple[str, str]:
    return head(world.project, "main"), head(world.project, "integration")


@pytest.fixture(scope="module")
def better(world: World) -> str:
    """A second version, better than the first, which Dev has not validated."""
    world.github.branches["integration"] = world.commit_pipeline(max_iter=120, rows=8000)
    return promoted(world)


def test_the_newest_validated_version_goes_to_prod_and_main_follows(world: World) -> None:
    world.github.git = world.project
    released = world.commit_pipeline(max_iter=43)
    world.github.branches.update(zip(("main", "integration"), branches(world), strict=True))
    version = promoted(world)
    validate(world, version)
    run = world.run(RELEASE, "workflow_dispatch", dispatch_event({}))
    assert (run.exit_code, succeeded(run)) == (0, ALL), run.log
    assert world.traffic("prod") == {"green": 100}
    assert world.serving("prod") == {"green": version}
    assert document(run, "deployment-prod", "deployment_state.json")["run_id"]
    assert document(run, "evidence", "trace.json")["model"]["version"] == version
    assert world.github.branches["main"] == released
    (release,) = world.github.releases
    assert (release["tag_name"], release["target_commitish"]) == (f"model-v{version}", released)
    assert world.versions()[version]["model_sha256"] in release["body"]
    (deployment,) = world.github.deployments
    statuses = [each["state"] for each in world.github.statuses[deployment["id"]]]
    assert (deployment["environment"], statuses) == ("production", ["success"])


def test_a_version_that_was_not_validated_is_stopped_before_the_approval(
    world: World, better: str
) -> None:
    before = world.traffic("prod")
    run = world.run(RELEASE, "workflow_dispatch", dispatch_event({"model_version": better}))
    assert run.exit_code != 0
    assert succeeded(run) == set()
    assert "not validated" in " ".join(run.messages("error", "verify"))
    assert world.traffic("prod") == before


def test_a_release_that_fails_restores_prod_and_leaves_main_alone(
    world: World, better: str
) -> None:
    validate(world, better)
    before, main = world.serving("prod"), world.github.branches["main"]
    payload = dispatch_event({"model_version": better})
    run = world.run(RELEASE, "workflow_dispatch", payload, sabotaged="test-prod")
    assert run.exit_code != 0
    assert run.results["deploy-prod"] == "success", run.log
    assert run.results["test-prod"] == "failure"
    assert run.results["rollback-prod"] == "success"
    assert (run.results["merge"], run.results["verdict"]) == ("skipped", "failure")
    assert (world.serving("prod"), world.slots("prod")) == (before, set(before))
    assert world.github.branches["main"] == main
    assert len(world.github.releases) == 1
    states = [each["state"] for found in world.github.statuses.values() for each in found]
    assert states == ["success", "failure"]


@pytest.mark.parametrize("name", CANARIES)
def test_no_secret_is_in_any_log_summary_artifact_or_release(world: World, name: str) -> None:
    texts = all_told(world)
    assert len(texts) > 10
    for spelling in spellings(CANARIES[name]):
        assert not any(spelling in text for text in texts)


def test_a_version_whose_commit_is_not_on_integration_is_stopped_before_the_approval(
    world: World,
) -> None:
    before = world.traffic("prod")
    world.github.branches["integration"] = world.github.branches["main"]
    run = world.run(RELEASE, "workflow_dispatch", dispatch_event({"model_version": "2"}))
    assert succeeded(run) == set()
    assert run.results["verify"] == "failure"
    assert world.traffic("prod") == before


def test_the_released_commit_is_one_that_git_knows(world: World) -> None:
    for release in world.github.releases:
        assert run_git(world.project, "cat-file", "-t", release["target_commitish"]) == "commit"
