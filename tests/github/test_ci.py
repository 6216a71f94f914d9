"""integration-ml-ci.yml run by act against the emulator: what each event does and leaves alone."""

import pytest

from .fake_github import BOT
from .project import commit, dispatch_event, head, pull_request_event, push_event, switch
from .world import CANARIES, CI, World, all_told, document, event_of, spellings, succeeded

ROLLOUT = {"promote", "deploy-dev", "test-dev", "traffic-dev"}
VALIDATION = {"changes", "unit-tests", "compare", "gate", "verdict"}
NUMBER = 7


def test_a_pull_request_is_compared_its_one_comment_is_updated_and_nothing_else_changes(
    world: World,
) -> None:
    world.github.add_comment(NUMBER, BOT, "<!-- taxiops:report -->\nof an earlier commit")
    base, pushed = world.head, world.commit_pipeline("feature/fares", max_iter=42)
    run = world.run(CI, "pull_request", pull_request_event(base, pushed, NUMBER))
    assert (run.exit_code, succeeded(run)) == (0, VALIDATION | {"comment"}), run.log
    (comment,) = world.github.comments[NUMBER]
    report = document(run, "comparison", "metrics/comparison.json")
    assert report["job"]["name"] in run.summaries["compare"]
    assert report["job"]["name"] in comment["body"]
    assert world.versions() == {}
    assert world.traffic() is None
    switch(world.project, "integration")


def test_a_push_rolls_its_model_out_in_dev(world: World) -> None:
    before = world.head
    pushed = world.commit_pipeline(max_iter=41)
    run = world.run(CI, "push", push_event(before, pushed))
    assert (run.exit_code, succeeded(run)) == (0, VALIDATION | ROLLOUT), run.log
    assert world.traffic() == {"blue": 100}
    ((version, tags),) = world.versions().items()
    assert world.serving() == {"blue": version}
    assert (tags["commit"], tags["branch"]) == (pushed, "integration")
    assert document(run, "verdict", "verdict.json")["passed"] is True
    assert document(run, "comparison", "metrics/comparison.json")["commit"] == pushed
    assert (run.artifact("comparison") / "report.html").is_file()
    assert document(run, "endpoint-test-dev", "endpoint_report.json")["passed"] is True
    assert document(run, "deployment-dev", "deployment_state.json")["phase"] == "promoted"
    assert tags["comparison_run"] in run.log
    assert tags["comparison_run"] in run.summaries["compare"]


def test_a_change_that_no_model_depends_on_runs_the_unit_tests_only(world: World) -> None:
    before, versions, traffic = world.head, world.versions(), world.traffic()
    pushed = commit(world.project, {"docs/tutorial.md": "# Other words\n"})
    run = world.run(CI, "push", push_event(before, pushed))
    assert (run.exit_code, succeeded(run)) == (0, {"changes", "unit-tests", "verdict"})
    assert (world.versions(), world.traffic()) == (versions, traffic)


def test_a_better_model_takes_its_canary_share_and_then_the_traffic(world: World) -> None:
    before = world.head
    pushed = world.commit_pipeline(max_iter=120, rows=8000)
    shares = {"AML_DEV_TRAFFIC_PERCENT": "40"}
    run = world.run(CI, "push", push_event(before, pushed), variables=shares)
    assert (run.exit_code, succeeded(run)) == (0, VALIDATION | ROLLOUT), run.log
    assert event_of(run, "deployment-dev", "canary")["detail"] == "blue=60,green=40"
    assert world.traffic() == {"green": 100}
    assert world.serving() == {"green": max(world.versions(), key=int)}


def test_a_failing_endpoint_test_restores_the_prior_traffic_and_turns_the_run_red(
    world: World,
) -> None:
    before, traffic, serving = world.head, world.traffic(), world.serving()
    pushed = world.commit_pipeline(max_iter=200, rows=24000)
    run = world.run(CI, "push", push_event(before, pushed), sabotaged="test-dev")
    assert run.exit_code != 0
    assert run.results["deploy-dev"] == "success", run.log
    assert run.results["test-dev"] == "failure"
    assert run.results["traffic-dev"] == "skipped"
    assert run.results["rollback-dev"] == "success"
    assert run.results["verdict"] == "failure"
    assert traffic
    assert (world.traffic(), world.serving(), world.slots()) == (traffic, serving, set(traffic))
    assert document(run, "endpoint-test-dev", "endpoint_report.json")["passed"] is False
    assert document(run, "rollback-dev", "deployment_state.json")["phase"] == "rolled_back"
    assert (run.artifact("rollback-dev") / "dev" / "logs").is_dir()


def test_a_refused_gate_registers_nothing_and_turns_the_run_red(world: World) -> None:
    before, versions, traffic = world.head, world.versions(), world.traffic()
    pushed = world.commit_pipeline(max_iter=30, rows=6000, learning_rate=0.02)
    run = world.run(CI, "push", push_event(before, pushed))
    assert run.exit_code != 0
    assert (run.results["gate"], run.results["verdict"]) == ("failure", "failure")
    assert {run.results[name] for name in ROLLOUT} == {"skipped"}
    assert (world.versions(), world.traffic()) == (versions, traffic)
    assert document(run, "verdict", "verdict.json")["passed"] is False
    assert run.messages("error", "gate")


def test_a_manual_run_on_a_feature_branch_compares_and_registers_nothing(world: World) -> None:
    world.commit_pipeline("feature/trees", max_iter=300, rows=24000, learning_rate=0.1)
    versions, traffic = world.versions(), world.traffic()
    inputs = {"artifact_suffix": "mine", "run_dev_validation": False}
    payload = dispatch_event(inputs, "refs/heads/feature/trees")
    run = world.run(CI, "workflow_dispatch", payload)
    assert (run.exit_code, succeeded(run)) == (0, VALIDATION), run.log
    report = document(run, "comparison-mine", "metrics/comparison.json")
    assert (report["branch"], report["commit"]) == ("feature/trees", head(world.project))
    assert (world.versions(), world.traffic()) == (versions, traffic)
    switch(world.project, "integration")


def test_a_manual_run_may_validate_the_newest_version_in_dev_as_a_job(world: World) -> None:
    versions = world.versions()
    run = world.run(CI, "workflow_dispatch", dispatch_event({"run_dev_validation": True}))
    assert run.results["validate-dev"] == "success", run.log
    assert world.serving() == {"blue": max(versions, key=int)}
    assert world.versions().keys() == versions.keys()
    assert document(run, "dev-validation", "test/endpoint_report.json")["passed"] is True


@pytest.mark.parametrize("name", CANARIES)
def test_no_secret_is_in_any_log_summary_artifact_or_comment(world: World, name: str) -> None:
    texts = all_told(world)
    assert len(texts) > 10
    for spelling in spellings(CANARIES[name]):
        assert not any(spelling in text for text in texts)
