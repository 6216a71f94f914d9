"""integration-ml-ci.yml run by act against the emulator: what each event does and leaves alone."""

import base64
from urllib.parse import quote

import pytest

from .conftest import CANARIES, CI, World, event_of

ROLLOUT = {"promote", "deploy-dev", "test-dev", "traffic-dev"}
VALIDATION = {"changes", "unit-tests", "compare", "gate", "verdict"}


def succeeded(world: World) -> set[str]:
    return {name for name, result in world.runs[-1].results.items() if result == "success"}


def test_a_push_rolls_its_model_out_in_dev(world: World) -> None:
    before = world.project.head
    commit = world.project.commit(world.project.pipeline_with(max_iter=41))
    run = world.run(CI, "push", world.project.push(before))
    assert (run.exit_code, succeeded(world)) == (0, VALIDATION | ROLLOUT), run.log
    assert world.traffic() == {"blue": 100}
    (version, tags), *others = world.versions().items()
    assert not others
    assert world.serving() == {"blue": version}
    assert (tags["commit"], tags["branch"], tags["run_id"]) == (commit, "integration", "1001")
    assert run.artifact("verdict", "verdict.json")["passed"] is True
    assert run.artifact("comparison", "metrics/comparison.json")["commit"] == commit
    assert (run.artifacts / "comparison" / "report.html").is_file()
    assert run.artifact("endpoint-test-dev", "endpoint_report.json")["passed"] is True
    job = tags["comparison_run"]
    assert job in run.jobs["compare"].log
    assert job in run.jobs["compare"].summary


def test_a_change_that_no_model_depends_on_runs_the_unit_tests_only(world: World) -> None:
    before = world.project.head
    world.project.commit({"docs/tutorial.md": "# Other words\n"})
    versions, traffic = world.versions(), world.traffic()
    run = world.run(CI, "push", world.project.push(before))
    assert run.exit_code == 0
    assert succeeded(world) == {"changes", "unit-tests", "verdict"}
    assert (world.versions(), world.traffic()) == (versions, traffic)


def test_a_better_model_takes_its_canary_share_and_then_the_traffic(world: World) -> None:
    before = world.project.head
    world.project.commit(world.project.pipeline_with(max_iter=120, rows=8000))
    run = world.run(
        CI, "push", world.project.push(before), variables={"AML_DEV_TRAFFIC_PERCENT": "40"}
    )
    assert (run.exit_code, succeeded(world)) == (0, VALIDATION | ROLLOUT), run.log
    canary = event_of(run, "deployment-dev", "canary")
    assert canary is not None
    assert canary["detail"] == "blue=60,green=40"
    assert world.traffic() == {"green": 100}
    assert world.serving() == {"green": max(world.versions(), key=int)}


def test_a_failing_endpoint_test_restores_the_prior_traffic_and_turns_the_run_red(
    world: World,
) -> None:
    before, traffic, serving = world.project.head, world.traffic(), world.serving()
    world.project.commit(world.project.pipeline_with(max_iter=200, rows=24000))
    run = world.run(CI, "push", world.project.push(before), sabotaged="test-dev")
    assert run.exit_code != 0
    results = run.results
    assert results["deploy-dev"] == "success", run.log
    assert results["test-dev"] == "failure"
    assert results["traffic-dev"] == "skipped"
    assert results["rollback-dev"] == "success"
    assert results["verdict"] == "failure"
    assert (world.traffic(), world.serving(), world.slots()) == (traffic, serving, set(traffic))
    report = run.artifact("endpoint-test-dev", "endpoint_report.json")
    assert report["passed"] is False
    assert run.artifact("rollback-dev", "deployment_state.json")["phase"] == "rolled_back"


def test_a_refused_gate_registers_nothing_and_turns_the_run_red(world: World) -> None:
    before, versions, traffic = world.project.head, world.versions(), world.traffic()
    world.project.commit(world.project.pipeline_with(max_iter=30, rows=6000, learning_rate=0.02))
    run = world.run(CI, "push", world.project.push(before))
    assert run.exit_code != 0
    assert run.results["gate"] == "failure"
    assert run.results["verdict"] == "failure"
    assert {run.results[name] for name in ROLLOUT} == {"skipped"}
    assert (world.versions(), world.traffic()) == (versions, traffic)
    assert run.artifact("verdict", "verdict.json")["passed"] is False
    assert run.jobs["gate"].errors


def test_a_manual_run_on_a_feature_branch_compares_and_registers_nothing(world: World) -> None:
    world.project.checkout("feature/other-trees", new=True)
    world.project.commit(world.project.pipeline_with(max_iter=300, rows=24000, learning_rate=0.1))
    versions, traffic = world.versions(), world.traffic()
    payload = world.project.dispatch(artifact_suffix="mine", run_dev_validation="false")
    run = world.run(CI, "workflow_dispatch", payload)
    assert (run.exit_code, succeeded(world)) == (0, VALIDATION), run.log
    assert run.artifact("comparison-mine", "metrics/comparison.json")["branch"] == (
        "feature/other-trees"
    )
    assert (world.versions(), world.traffic()) == (versions, traffic)


def test_a_manual_run_may_validate_the_newest_version_in_dev_as_a_job(world: World) -> None:
    versions = world.versions()
    payload = world.project.dispatch(artifact_suffix="", run_dev_validation="true")
    world.project.commit({"docs/tutorial.md": "# Yet other words\n"})
    run = world.run(CI, "workflow_dispatch", payload)
    assert run.results["validate-dev"] == "success", run.log
    assert world.serving() == {"blue": max(versions, key=int)}
    assert world.versions().keys() == versions.keys()
    assert run.artifact("dev-validation", "test/endpoint_report.json")["passed"] is True


@pytest.mark.parametrize("name", CANARIES)
def test_no_secret_is_in_any_log_summary_or_artifact(world: World, name: str) -> None:
    secret = CANARIES[name]
    spellings = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
    assert world.runs
    for run in world.runs:
        texts = [run.log, *(job.summary for job in run.jobs.values())]
        texts += [
            path.read_text(encoding="utf-8", errors="replace")
            for path in run.artifacts.rglob("*")
            if path.is_file()
        ]
        for spelling in spellings:
            assert not any(spelling in text for text in texts)
