"""Rollouts against a real emulator: what serves afterwards is what was asked for or what was."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from taxiops.cloud import endpoints, models, slots
from taxiops.cloud.views import EndpointView
from taxiops.config import Settings
from taxiops.errors import Conflict, EvidenceError, Restored, StepFailed, UsageError
from taxiops.workflows.clean_up_deployment import clean_up_deployment
from taxiops.workflows.clean_up_models import CleanupOptions, clean_up_models
from taxiops.workflows.deploy import DeployOptions, DeployResult, deploy
from taxiops.workflows.endpoint_test import check_endpoint
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.history import read_history
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts import engine
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.shift_traffic import promote_traffic, show_traffic

if TYPE_CHECKING:
    from conftest import Promoted, World

SCHEMAS = Path(__file__).parents[2] / "taxiops" / "schemas"
IMPOSSIBLE = {"max_p95_ms": 0.0}


def ignore(_: str) -> None:
    """Progress that nobody reads."""


def seen(settings: Settings) -> EndpointView:
    return endpoints.require_endpoint(connect_to(settings))


def deployed(settings: Settings, version: str, **options: object) -> DeployResult:
    return deploy(settings, replace(DeployOptions(model_version=version), **options), ignore)


@pytest.fixture(scope="module")
def deployed_once(world: "World", first: "Promoted") -> Iterator[tuple[Settings, EndpointView]]:
    """An endpoint whose first deployment serves, and how it looks."""
    settings = world.settings(endpoint="rollouts")
    deployed(settings, first.promotion.version)
    yield settings, seen(settings)
    endpoints.delete_endpoint(connect_to(settings), ignore)


@pytest.fixture
def serving(deployed_once: tuple[Settings, EndpointView]) -> Iterator[Settings]:
    """That endpoint; each test finds it as the first deployment left it."""
    settings, before = deployed_once
    yield settings
    connection, now = connect_to(settings), seen(settings)
    tags = {**dict.fromkeys(now.tags, ""), **before.tags}
    if now != before:
        endpoints.write_endpoint(
            connection, now, ignore, traffic=before.traffic, mirror={}, tags=tags
        )
    for slot in set(now.slots) - set(before.slots):
        slots.delete_slot(connection, slot, ignore)
    shutil.rmtree(settings.output, ignore_errors=True)


def test_a_first_deployment_takes_all_traffic_and_a_second_call_changes_nothing(
    serving: Settings, first: "Promoted"
) -> None:
    before = seen(serving)
    assert before.traffic == {"blue": 100}
    again = deployed(serving, first.promotion.version)
    assert (again.first_deployment, again.state["phase"]) == (True, "promoted")
    assert seen(serving) == before


def test_canary_promotion_and_rollback_restore_exactly_what_was(
    serving: Settings, second: "Promoted"
) -> None:
    before = seen(serving)
    canary = deployed(serving, second.promotion.version)
    assert (canary.slot, canary.state["phase"]) == ("green", "canary")
    assert seen(serving).traffic == {"blue": 70, "green": 30}
    assert check_endpoint(serving, canary.state_file, None, ignore).passed
    promote_traffic(serving, canary.state_file, 100, ignore)
    assert seen(serving).traffic == {"blue": 0, "green": 100}
    assert show_traffic(serving).phase == "promoted"
    for name, path in (
        ("deployment_state", canary.state_file),
        ("endpoint_report", serving.output / "test" / "endpoint_report.json"),
    ):
        schema = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), json.loads(schema))
    shutil.rmtree(serving.output)
    undone = roll_back(serving, None, ignore)
    after = seen(serving)
    assert (undone.changed, undone.removed_slot) == (True, "green")
    assert (after.traffic, after.slots) == (before.traffic, before.slots)
    assert roll_back(serving, None, ignore).changed is False


def test_a_rollback_for_a_run_leaves_the_rollout_of_another_run_alone(
    serving: Settings, second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version, run_id="run-a")
    canary = seen(serving)
    assert roll_back(serving, None, ignore, run_id="run-b").changed is False
    assert seen(serving).traffic == canary.traffic
    assert roll_back(serving, None, ignore, run_id="run-a").changed is True
    assert seen(serving).traffic == {"blue": 100}


def test_a_run_that_finds_its_model_as_another_runs_canary_takes_it_over(
    serving: Settings, second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version, run_id="run-a")
    deployed(serving, second.promotion.version, run_id="run-b")
    assert roll_back(serving, None, ignore, run_id="run-a").changed is False
    assert roll_back(serving, None, ignore, run_id="run-b").changed is True


def test_a_deployment_waits_for_the_rollout_of_another_run(
    serving: Settings, first: "Promoted", second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version, run_id="run-a")
    with pytest.raises(Conflict, match="under way"):
        deployed(serving, first.promotion.version, run_id="run-b")

    def end_it(line: str) -> None:
        """The other run ends its rollout as soon as this one says that it waits for it."""
        if line.startswith("waiting for the rollout of run run-a"):
            roll_back(serving, None, ignore, run_id="run-a")

    options = DeployOptions(model_version=second.promotion.version, run_id="run-b", wait_min=1)
    deploy(serving, options, end_it)
    assert seen(serving).tags["taxiops_run_id"] == "run-b"
    assert seen(serving).traffic == {"blue": 70, "green": 30}


def test_a_slot_that_fails_its_test_never_gets_traffic(
    world: "World", serving: Settings, second: "Promoted"
) -> None:
    before = seen(serving)
    strict = world.settings(endpoint="rollouts", **IMPOSSIBLE)
    with pytest.raises(Restored, match="latency"):
        deployed(strict, second.promotion.version)
    after = seen(serving)
    assert (after.traffic, after.slots) == (before.traffic, before.slots)
    logs = strict.output / "deploy" / "dev" / "logs"
    assert (logs / "inference-server.log").read_text(encoding="utf-8")


def test_a_slot_that_fails_at_the_canary_is_not_promoted(
    world: "World", serving: Settings, second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version)
    strict = world.settings(endpoint="rollouts", **IMPOSSIBLE)
    result = check_endpoint(strict, None, None, ignore)
    assert [check.name for check in result.checks if not check.passed] == ["latency"]
    with pytest.raises(StepFailed, match="did not pass its test"):
        promote_traffic(serving, None, 100, ignore)
    assert seen(serving).traffic == {"blue": 70, "green": 30}


def test_a_deploy_that_died_goes_on_where_it_was(
    serving: Settings, second: "Promoted", monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(engine, "check_slot", die)
        with pytest.raises(KeyboardInterrupt):
            deployed(serving, second.promotion.version)
    left = seen(serving)
    assert left.traffic == {"blue": 100, "green": 0}
    shutil.rmtree(serving.output)
    deployed(serving, second.promotion.version)
    after = seen(serving)
    assert after.traffic == {"blue": 70, "green": 30}
    assert after.slots["green"] == left.slots["green"]


def test_a_deploy_that_died_can_be_rolled_back_instead(
    serving: Settings, second: "Promoted", monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(serving)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(engine.Engine, "shift", die)
        with pytest.raises(KeyboardInterrupt):
            deployed(serving, second.promotion.version)
    assert roll_back(serving, None, ignore).removed_slot == "green"
    after = seen(serving)
    assert (after.traffic, after.slots) == (before.traffic, before.slots)


def test_a_second_canary_is_refused_while_one_is_under_way(
    serving: Settings, first: "Promoted", second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version)
    with pytest.raises(Conflict, match="under way"):
        deployed(serving, first.promotion.version)
    with pytest.raises(Conflict, match="under way"):
        deployed(serving, second.promotion.version, slot="blue")


def test_a_slot_that_serves_is_never_replaced(serving: Settings, second: "Promoted") -> None:
    with pytest.raises(UsageError, match="carries 100 percent"):
        deployed(serving, second.promotion.version, slot="blue")


def test_a_state_file_of_another_endpoint_changes_nothing(
    serving: Settings, second: "Promoted", tmp_path: Path
) -> None:
    result = deployed(serving, second.promotion.version)
    before = seen(serving)
    state = json.loads(result.state_file.read_text(encoding="utf-8"))
    other = tmp_path / "state.json"
    other.write_text(json.dumps({**state, "endpoint": "somebody-elses"}), encoding="utf-8")
    for act in (roll_back, lambda s, f, p: promote_traffic(s, f, 100, p)):
        with pytest.raises(UsageError, match="somebody-elses"):
            act(serving, other, ignore)
    edited = {**state, "prior_traffic": {"blue": 0, "red": 100}}
    other.write_text(json.dumps(edited), encoding="utf-8")
    with pytest.raises(Conflict, match="does not tell of the last rollout"):
        roll_back(serving, other, ignore)
    assert seen(serving) == before


def test_a_change_by_somebody_else_is_not_overwritten(
    serving: Settings, second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version)
    connection = connect_to(serving)
    stale = seen(serving)
    fresh = endpoints.write_endpoint(
        connection, stale, ignore, traffic={"blue": 50, "green": 50}, tags={"by": "hand"}
    )
    with pytest.raises(Conflict, match="changed by somebody else"):
        endpoints.write_endpoint(connection, stale, ignore, traffic={"green": 100})
    assert seen(serving) == fresh


def test_every_field_of_an_endpoint_survives_a_change_of_traffic(serving: Settings) -> None:
    connection = connect_to(serving)
    entity = connection.workspace.online_endpoints.get(serving.dev.endpoint)
    entity.description, entity.tags = "described by hand", {**entity.tags, "cost": "42"}
    connection.workspace.online_endpoints.begin_create_or_update(entity).result()
    before = connection.workspace.online_endpoints.get(serving.dev.endpoint)._to_dict()
    endpoints.write_endpoint(connection, seen(serving), ignore, tags={"taxiops_note": "x"})
    after = connection.workspace.online_endpoints.get(serving.dev.endpoint)._to_dict()
    assert after["tags"].pop("taxiops_note") == "x"
    assert after == before


def test_mirroring_leaves_live_traffic_alone_and_promotion_ends_it(
    serving: Settings, second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version, mirror_percent=20)
    mirrored = seen(serving)
    assert (mirrored.live_traffic, mirrored.mirror) == ({"blue": 100}, {"green": 20})
    promote_traffic(serving, None, 100, ignore)
    after = seen(serving)
    assert (after.live_traffic, after.mirror) == ({"green": 100}, {})


def test_rolling_back_a_first_deployment_keeps_dev_online_and_tears_prod_down(
    world: "World", serving: Settings, first: "Promoted"
) -> None:
    kept = roll_back(serving, None, ignore)
    assert (kept.changed, kept.traffic) == (False, {"blue": 100})
    assert "online" in kept.note
    prod = world.settings("prod", endpoint="rollouts-prod")
    assert deployed(prod, first.promotion.version).slot == "green"
    assert roll_back(prod, None, ignore).changed is True
    assert endpoints.read_endpoint(connect_to(prod)) is None
    assert roll_back(prod, None, ignore).changed is False


def test_prod_takes_no_version_that_was_let_pass_by_decree(
    world: "World", first: "Promoted"
) -> None:
    prod = world.settings("prod", endpoint="rollouts-none")
    strict = replace(prod, tables={**prod.tables, "gate": {}})
    with pytest.raises(EvidenceError, match="its gate was overridden") as refused:
        deployed(strict, first.promotion.version)
    assert "for the tests" in refused.value.why
    assert endpoints.read_endpoint(connect_to(prod)) is None


def test_a_version_with_edited_evidence_is_not_deployed(
    world: "World", serving: Settings, second: "Promoted"
) -> None:
    client, promotion = world.connect().registry, second.promotion
    models.write_tags(client, promotion.name, promotion.version, {"candidate": "0.001"})
    try:
        with pytest.raises(EvidenceError, match="does not verify"):
            deployed(serving, promotion.version)
        newest = deploy(serving, DeployOptions(), ignore)
        assert newest.state["model"]["version"] == str(int(promotion.version) - 1)
    finally:
        tags = {"candidate": promotion.tags["candidate"]}
        models.write_tags(client, promotion.name, promotion.version, tags)


def test_cleanup_of_a_slot_refuses_what_serves_and_deletes_what_does_not(
    serving: Settings, second: "Promoted"
) -> None:
    deployed(serving, second.promotion.version, traffic_percent=0)
    with pytest.raises(Conflict, match="carries 100 percent"):
        clean_up_deployment(serving, "blue", False, True, ignore)
    assert clean_up_deployment(serving, "green", False, False, ignore).dry_run is True
    assert set(seen(serving).slots) == {"blue", "green"}
    assert not clean_up_deployment(serving, "green", False, False, ignore).note
    clean_up_deployment(serving, "green", False, True, ignore)
    assert set(seen(serving).slots) == {"blue"}
    told = read_history(serving, "", 1, ignore).events[-1]
    assert (told.texts["event"], told.texts["slot"]) == ("slot_deleted", "green")
    assert told.texts["model_version"] == second.promotion.version
    assert (told.before, told.after) == ({"blue": 100, "green": 0}, {"blue": 100})
    journal = Ledger(serving, "dev", "rollouts").journal.read_text(encoding="utf-8")
    intent, done = [json.loads(line) for line in journal.splitlines()][-2:]
    assert (intent["intent"], intent["event"], done["event"]) == (True, *["slot_deleted"] * 2)


def test_cleanup_of_models_never_takes_what_is_deployed(
    world: "World", serving: Settings, second: "Promoted", monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.ai.ml.entities import Model

    folder = serving.output / "junk"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("x", encoding="utf-8")
    registry = world.connect().registry
    for version in ("1", "2", "10"):
        model = Model(name="junk", version=version, path=str(folder), type="custom_model")
        registry.models.create_or_update(model)
    options = CleanupOptions(model_name="junk", retain_versions=1, output_folder=serving.output)
    plan = clean_up_models(serving, options, ignore)
    assert [(row.version, row.action) for row in plan.versions] == [
        ("10", "kept"),
        ("2", "would_delete"),
        ("1", "would_delete"),
    ]
    clean_up_models(serving, replace(options, apply=True), ignore)
    assert [row.version for row in models.list_versions(registry, "junk")] == ["10"]
    own = clean_up_models(serving, replace(options, model_name=None, apply=True), ignore)
    assert {row.version: row.action for row in own.versions}["1"] == "kept"
    monkeypatch.setenv("CI", "true")
    with pytest.raises(UsageError, match="CI"):
        clean_up_models(serving, options, ignore)
