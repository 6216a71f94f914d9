"""The Azure ML pipelines run to their ends on a real emulator, taxiops itself inside their jobs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from taxiops.cloud import endpoints, models
from taxiops.config import Settings
from taxiops.errors import EvidenceError, Restored, UsageError
from taxiops.workflows.as_job.end_to_end import follow_end_to_end, submit_end_to_end
from taxiops.workflows.as_job.rollout import deploy_in_job
from taxiops.workflows.as_job.settings import encode_settings
from taxiops.workflows.compare import CompareOptions, compare
from taxiops.workflows.deploy import DeployOptions
from taxiops.workflows.rollouts.rollout import connect_to

if TYPE_CHECKING:
    from conftest import Promoted, World

IMPOSSIBLE = {"max_p95_ms": 0.0}
E2E = Path("pipelines/dev-e2e-pipeline.yaml")


def ignore(_: str) -> None:
    """Progress that nobody reads."""


def traffic(settings: Settings) -> dict[str, int] | None:
    """Shares above zero; None without an endpoint."""
    endpoint = endpoints.read_endpoint(connect_to(settings))
    return None if endpoint is None else dict(endpoint.live_traffic)


def versions(settings: Settings) -> int:
    return len(models.list_versions(connect_to(settings).registry, settings.model_name))


@pytest.fixture(scope="module")
def dev(world: "World") -> Iterator[Settings]:
    settings = world.settings(endpoint="jobs")
    yield settings
    connection = connect_to(settings)
    if endpoints.read_endpoint(connection) is not None:
        endpoints.delete_endpoint(connection, ignore)


@pytest.fixture(scope="module")
def prod(world: "World") -> Iterator[Settings]:
    settings = replace(world.settings("prod", endpoint="jobs"), output=world.output / "jobs-p")
    yield settings
    connection = connect_to(settings)
    if endpoints.read_endpoint(connection) is not None:
        endpoints.delete_endpoint(connection, ignore)


@pytest.fixture
def strict_test(world: "World") -> Iterator[None]:
    """Pipelines whose test step, and no other, is told limits that nothing can meet."""
    strict = encode_settings(world.settings(endpoint="jobs", **IMPOSSIBLE))
    former = {}
    for name in ("dev-deploy-validation", "prod-deploy-pipeline"):
        path = world.root / "pipelines" / f"{name}.yaml"
        former[path] = path.read_text(encoding="utf-8")
        document = yaml.safe_load(former[path])
        document["jobs"]["test_job"]["inputs"]["settings"] = strict
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
    yield
    for path, text in former.items():
        path.write_text(text, encoding="utf-8")


def test_the_whole_chain_runs_as_one_pipeline_and_a_candidate_that_is_no_better_ends_it(
    world: "World", dev: Settings
) -> None:
    before = versions(dev)
    options = CompareOptions(E2E, overrides={"rows": "3000", "max_iter": "60"})
    job = submit_end_to_end(dev, options, ignore)
    result = follow_end_to_end(dev, job, ignore)
    assert (result.status, result.state["phase"]) == ("promoted", "promoted")
    assert traffic(dev) == {result.slot: 100}
    assert versions(dev) == before + 1
    assert result.state["run_id"] == job
    for name in ("promote/promotion.json", "gate/verdict.json", "compare/report.html"):
        assert (dev.output / name).is_file()

    again = submit_end_to_end(dev, options, ignore)
    with pytest.raises(EvidenceError, match="gate refused"):
        follow_end_to_end(dev, again, ignore)
    assert versions(dev) == before + 1
    assert traffic(dev) == {result.slot: 100}


def test_the_whole_chain_stopped_after_the_comparison_registers_nothing(dev: Settings) -> None:
    before = versions(dev)
    options = CompareOptions(E2E, stop_after="compare_job", overrides={"rows": "2000"})
    result = compare(dev, options, ignore)
    assert result.report is not None
    assert versions(dev) == before
    with pytest.raises(UsageError, match="register_job"):
        compare(dev, replace(options, stop_after=None), ignore)


def test_dev_is_rolled_out_by_a_pipeline(dev: Settings, second: "Promoted") -> None:
    options = DeployOptions(model_version=second.promotion.version, traffic_percent=20)
    result = deploy_in_job(dev, options, "run-7", ignore)
    assert (result.status, result.state["phase"]) == ("promoted", "promoted")
    assert traffic(dev) == {result.slot: 100}
    canary = [event for event in result.state["events"] if event["event"] == "canary"]
    assert not canary or f"{result.slot}=20" in canary[0]["detail"]
    report = json.loads((dev.output / "test" / "endpoint_report.json").read_text(encoding="utf-8"))
    assert report["passed"] is True
    assert result.state_file.is_file()


def test_a_failed_test_rolls_dev_back_exactly_and_fails_the_pipeline(
    strict_test: None, dev: Settings, first: "Promoted"
) -> None:
    before = endpoints.require_endpoint(connect_to(dev))
    with pytest.raises(Restored, match="failed its test"):
        deploy_in_job(dev, DeployOptions(model_version=first.promotion.version), "", ignore)
    after = endpoints.require_endpoint(connect_to(dev))
    assert (after.live_traffic, set(after.slots)) == (before.live_traffic, set(before.live_traffic))
    report = json.loads((dev.output / "test" / "endpoint_report.json").read_text(encoding="utf-8"))
    assert report["passed"] is False


def test_prod_is_torn_down_when_its_first_deployment_fails_and_rolled_out_when_it_passes(
    world: "World", prod: Settings, first: "Promoted", strict_test: None
) -> None:
    options = DeployOptions(model_version=first.promotion.version)
    with pytest.raises(Restored):
        deploy_in_job(prod, options, "", ignore)
    assert traffic(prod) is None


def test_prod_takes_a_version_of_the_dev_registry_without_training(
    prod: Settings, first: "Promoted"
) -> None:
    result = deploy_in_job(prod, DeployOptions(model_version=first.promotion.version), "", ignore)
    assert traffic(prod) == {result.slot: 100}
    assert result.slot == "green"
