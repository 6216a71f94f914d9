"""Status: the truth at a glance, after foreign changes too, for few requests."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pytest_mock import MockerFixture
from requests import Session

from taxiops.cli.status import age, bar, facts, page
from taxiops.cloud import endpoints
from taxiops.cloud.lease import Holder, acquire
from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.status import EnvironmentStatus, StatusResult, in_one_line, read_status

if TYPE_CHECKING:
    from conftest import Promoted, World

ENDPOINT = "status"
SOMEBODY = Holder("ada", "elsewhere", "1", "77", "deploy", "2026-11-23T10:00:00.000Z")


def ignore(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def serving(world: "World", first: "Promoted") -> Iterator[Settings]:
    """Dev serves its first deployment; Prod has nothing."""
    settings = world.settings(endpoint=ENDPOINT)
    deploy(settings, DeployOptions(model_version=first.promotion.version), ignore)
    yield settings
    endpoints.delete_endpoint(connect_to(settings), ignore)


def dev(settings: Settings) -> EnvironmentStatus:
    return read_status(settings, ignore).environments[0]


def test_both_environments_are_told_with_what_to_type_next(
    serving: Settings, first: "Promoted"
) -> None:
    result = read_status(serving, ignore)
    here, prod = result.environments
    assert (here.phase, here.tested, here.drift, here.holder) == ("promoted", "passed", (), None)
    assert here.document()["slots"][0]["model_version"] == first.promotion.version
    assert here.document()["slots"][0]["percent"] == 100
    assert here.last_event["event"] == "promoted"
    assert (prod.exists, prod.next_command) == (False, "taxiops release")
    assert result.next_command == "taxiops release"
    assert f"{ENDPOINT} serves blue 100 %" in str(page(result)[0])


def test_one_request_for_the_endpoint_and_one_for_its_deployments(
    serving: Settings, mocker: MockerFixture
) -> None:
    sent = mocker.spy(Session, "request")
    read_status(serving, ignore)
    asked = [str(call.args[2]).partition("?")[0] for call in sent.call_args_list]
    of_dev = [url for url in asked if re.search(r"/mlwdevcc01/onlineEndpoints\b", url)]
    assert [url.rpartition("/")[2] for url in of_dev] == ["onlineEndpoints", "deployments"]


def test_a_foreign_change_of_traffic_is_shown_as_it_is_and_called_drift(serving: Settings) -> None:
    connection = connect_to(serving)
    before = endpoints.require_endpoint(connection)
    entity = connection.workspace.online_endpoints.get(ENDPOINT)
    entity.traffic = {}
    connection.workspace.online_endpoints.begin_create_or_update(entity).result()
    found = dev(serving)
    assert found.traffic == {"blue": 0}
    assert "somebody else made it no traffic" in found.drift[0]
    assert "The state file here tells of blue 100 %." in found.drift
    changed = endpoints.require_endpoint(connection)
    endpoints.write_endpoint(connection, changed, ignore, traffic=before.traffic)
    assert dev(serving).drift == ()


def test_a_slot_that_somebody_else_deleted_is_drift(serving: Settings, second: "Promoted") -> None:
    deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    connection = connect_to(serving)
    canary = dev(serving)
    assert (canary.phase, canary.next_command) == ("canary", "taxiops traffic promote --env dev")
    now = endpoints.require_endpoint(connection)
    endpoints.write_endpoint(connection, now, ignore, traffic={"blue": 100})
    connection.workspace.online_deployments.begin_delete("green", ENDPOINT).result()
    assert any("Slot green of the last rollout is gone" in text for text in dev(serving).drift)


def test_who_changes_the_endpoint_is_told_while_it_does(serving: Settings) -> None:
    held = acquire(open_store(connect_to(serving)), ENDPOINT, SOMEBODY, str(uuid.uuid4()))
    try:
        found = dev(serving)
        assert found.holder == SOMEBODY
        assert ("lease", "deploy by ada on elsewhere, since 2026-11-23T10:00:00.000Z") in facts(
            found
        )
    finally:
        held.release()
    assert dev(serving).holder is None


def test_what_may_not_be_read_is_told_and_the_rest_is_shown(serving: Settings) -> None:
    wrong = replace(serving, cloud="azure", subscription="")
    texts = [each.unread for each in read_status(wrong, ignore).environments]
    assert all("subscription" in text for text in texts), texts
    assert read_status(wrong, ignore).next_command == "taxiops doctor"


def test_watching_without_a_terminal_prints_a_line_for_each_change(
    world: "World", serving: Settings
) -> None:
    environment = {
        **os.environ,
        "TAXIOPS_EMULATOR_STATE": str(world.state),
        "TAXIOPS_OUTPUT": str(serving.output),
        "AML_DEV_ENDPOINT": ENDPOINT,
        "AML_PROD_ENDPOINT": ENDPOINT,
    }
    program = [sys.executable, "-m", "taxiops.cli", "status", "--watch"]
    watching = subprocess.Popen(
        program, cwd=world.root, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        _place, first_of_dev, first_of_prod = (watching.stdout.readline() for _ in range(3))
        assert first_of_dev.partition(" ")[2].startswith(f"dev: {ENDPOINT} ")
        assert f"prod: {ENDPOINT} does not exist" in first_of_prod
        connection = connect_to(serving)
        now = endpoints.require_endpoint(connection)
        now = endpoints.write_endpoint(connection, now, ignore, tags={"taxiops_note": "nothing"})
        endpoints.write_endpoint(connection, now, ignore, traffic={"blue": 0})
        assert "blue 0 %" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130
        assert watching.stdout.read() == ""
    finally:
        watching.kill()


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-11-24T11:59:30Z", "30 s"),
        ("2026-11-24T11:00:00+00:00", "1 h 0 min"),
        ("2026-11-21T10:00:00Z", "3 d 2 h"),
        ("2026-11-24T12:00:09Z", "0 s"),
        ("2026-11-24T10:00:00", "-"),
        ("yesterday", "-"),
        ("", "-"),
    ],
)
def test_ages_have_two_units(since: str, expected: str) -> None:
    assert age(since, datetime(2026, 11, 24, 12, tzinfo=UTC)) == expected


def test_bars_are_plain_and_of_one_length() -> None:
    assert [bar(percent) for percent in (0, 50, 100)] == ["." * 20, "#" * 10 + "." * 10, "#" * 20]


def test_one_line_tells_every_state() -> None:
    status = EnvironmentStatus("dev", "w", "e")
    assert in_one_line(status) == "dev: e does not exist"
    assert "not readable: no role" in in_one_line(replace(status, unread="no role"))


@pytest.mark.parametrize(
    ("changes", "next_command", "undo_command"),
    [
        ({}, "taxiops release", "taxiops traffic rollback --env dev"),
        ({"unread": "no role"}, "taxiops doctor", "taxiops traffic rollback --env dev"),
        ({"exists": False, "phase": ""}, "taxiops release", ""),
        ({"holder": SOMEBODY}, "taxiops status --watch", "taxiops traffic rollback --env dev"),
        ({"phase": "canary"}, "taxiops traffic promote --env dev", ""),
        ({"phase": "rolled_back"}, "taxiops deploy --env dev", ""),
        (
            {"drift": ("Somebody else.",)},
            "taxiops history --env dev",
            "taxiops traffic rollback --env dev",
        ),
    ],
)
def test_what_to_type_next_is_never_the_undoing_of_what_is_well(
    changes: dict[str, object], next_command: str, undo_command: str
) -> None:
    settled = EnvironmentStatus("dev", "w", "e", exists=True, phase="promoted")
    status = replace(settled, **changes)
    assert (status.next_command, status.undo_command) == (next_command, undo_command)
    assert StatusResult((status, settled), datetime.now(UTC)).next_command == next_command
