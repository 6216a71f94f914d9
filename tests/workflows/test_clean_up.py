"""Clean-up on a real emulator: plan, refusals, a deletion that fails, and going on from there."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from taxiops.cloud import endpoints, models
from taxiops.cloud.lease import Holder, acquire
from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.domain.retention import PIN
from taxiops.emulator import server
from taxiops.errors import Conflict, NotAuthorised, TaxiopsError, UsageError
from taxiops.workflows.clean_up_models import CleanupOptions, clean_up_models
from taxiops.workflows.rollouts.rollout import connect_to

from .test_clean_up_models import record
from .test_rollouts import SCHEMAS

if TYPE_CHECKING:
    from conftest import World

NAME = "kept-or-not"
SOMEBODY = Holder("ada", "elsewhere", "1", "77", "deploy", "2026-11-23T10:00:00.000Z")


def ignore(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def endpoint(world: "World") -> Iterator[Settings]:
    """A Dev endpoint that tells of a rollout of version 2, and no slot yet."""
    settings = world.settings(endpoint="cleaned")
    connection = connect_to(settings)
    told = record("dev", "cleaned", "2", Random(1))
    tags = {**told.tags(), "taxiops_model": NAME}
    endpoints.create_endpoint(connection, tags, "", ignore)
    yield settings
    endpoints.delete_endpoint(connection, ignore)


@pytest.fixture
def cleaned(world: "World", endpoint: Settings) -> Iterator[Callable[..., dict[str, str]]]:
    """Cleans a registry of versions 1 to 5 and 10, the third pinned; gives version -> action."""
    from azure.ai.ml.entities import Model

    folder = world.output / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "w").write_text("x", encoding="utf-8")
    registry = world.connect().registry
    there = {each.version for each in models.list_versions(registry, NAME)}
    for version in {"1", "2", "3", "4", "5", "10"} - there:
        tags = {PIN: "audit"} if version == "3" else {}
        model = Model(name=NAME, version=version, path=str(folder), type="custom_model", tags=tags)
        registry.models.create_or_update(model)

    def clean(**options: Any) -> dict[str, str]:
        asked = CleanupOptions(**{"model_name": NAME, "retain_versions": 1, **options})
        result = clean_up_models(endpoint, asked, ignore)
        for path, name in ((result.report, "cleanup_report"), (result.plan, "cleanup_plan")):
            schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
            jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)
        clean.result = result  # type: ignore[attr-defined]
        return {row.version: row.action for row in result.versions}

    yield clean
    server.fault(world.state, None, is_clearing=True)


def left(world: "World") -> list[str]:
    return [each.version for each in models.list_versions(world.connect().registry, NAME)]


PLANNED = {
    "10": "kept",
    "5": "would_delete",
    "4": "would_delete",
    "3": "kept",
    "2": "kept",
    "1": "would_delete",
}


def test_a_plan_is_carried_out_as_far_as_it_goes_and_then_the_rest_of_it(
    world: "World", cleaned: Any
) -> None:
    assert cleaned() == PLANNED
    assert left(world) == ["10", "5", "4", "3", "2", "1"]
    plan = cleaned.result.plan
    assert cleaned.result.next_command == f"taxiops cleanup models --plan {plan} --apply"
    fault = {"kind": "forbidden", "on": "DELETE *versions", "target": "4", "count": 1}
    server.fault(world.state, fault, is_clearing=False)
    models.write_tags(world.connect().registry, NAME, "1", {PIN: "since the plan"})
    changes = {"5": "deleted", "4": "failed", "1": "kept"}
    assert cleaned(plan=plan, apply=True) == {**PLANNED, **changes}
    reasons = {row.version: row.reason for row in cleaned.result.versions}
    assert reasons["1"] == f"since the plan: pinned by tag {PIN}"
    assert "authorization" in reasons["4"]
    assert left(world) == ["10", "4", "3", "2", "1"]
    assert cleaned.result.next_command == f"taxiops cleanup models --plan {plan} --apply"
    assert cleaned(plan=plan, apply=True) == {**PLANNED, **changes, "4": "deleted"}
    assert left(world) == ["10", "3", "2", "1"]
    assert cleaned.result.next_command == "taxiops status"


@pytest.mark.parametrize("fault", ["forbidden", "empty"])
def test_a_workspace_that_cannot_be_read_refuses_the_whole(
    world: "World", cleaned: Any, fault: str
) -> None:
    before = left(world)
    on = {"kind": fault, "on": "GET onlineEndpoints", "target": "mlwdevcc01", "count": 1}
    server.fault(world.state, on, is_clearing=False)
    kind = NotAuthorised if fault == "forbidden" else Conflict
    with pytest.raises(TaxiopsError, match=r"mlwdevcc01 uses cannot be told.* Nothing is") as told:
        cleaned(apply=True)
    assert isinstance(told.value, kind)
    assert left(world) == before


def test_a_rollout_under_way_keeps_the_clean_up_out(
    world: "World", endpoint: Settings, cleaned: Any
) -> None:
    before = left(world)
    store = open_store(connect_to(endpoint))
    lease = acquire(store, "cleaned", SOMEBODY, "11111111-2222-3333-4444-555555555555")
    try:
        with pytest.raises(Conflict, match="being changed by ada"):
            cleaned(apply=True)
    finally:
        lease.release()
    assert left(world) == before
    report = json.loads((endpoint.output / "cleanup/cleanup_report.json").read_text("utf-8"))
    assert {row["action"] for row in report["versions"]} == {"kept"}


def test_a_plan_for_another_model_or_place_is_refused(cleaned: Any) -> None:
    cleaned()
    plan = cleaned.result.plan
    for other in ({"model_name": "another"}, {"workspace": "mlwdevcc01"}):
        with pytest.raises(UsageError, match="is a plan for"):
            cleaned(plan=plan, **other)
