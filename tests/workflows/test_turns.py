"""Turns at an endpoint: leases between machines, faults while traffic moves, shares in steps."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taxiops.cloud import endpoints
from taxiops.cloud.lease import Holder, Lease, acquire
from taxiops.cloud.scoring import Answer, Scorer
from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.emulator import server
from taxiops.errors import Conflict, Restored, RestoreFailed, StepFailed, UsageError
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.endpoint_test import check_endpoint, model_of_slot
from taxiops.workflows.evidence.chained_ledger import ChainedLedger
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.history import read_history
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts.rollout import connect_to, fetched_model
from taxiops.workflows.rollouts.slot_tests import read_probe
from taxiops.workflows.shift_traffic import promote_traffic

if TYPE_CHECKING:
    from conftest import Promoted, World

FEW = {"requests": 3, "live_requests": 5, "live_connections": 2}
SOMEBODY = Holder("ada", "another-machine", "1", "77", "deploy", "2026-11-23T10:00:00.000Z")
OTHER_ID = "00000000-0000-0000-0000-0000000000aa"
DEADLINE_S = 60.0
# GitHub sends SIGKILL 7.5 s after the first signal.
GRACE_S = 7.5


def ignore(_: str) -> None:
    """Progress that nobody reads."""


def live(settings: Settings) -> dict[str, int]:
    return endpoints.require_endpoint(connect_to(settings)).live_traffic


@pytest.fixture(scope="module")
def deployed_once(world: "World", first: "Promoted") -> Settings:
    settings = world.settings(endpoint="turns", **FEW)
    deploy(settings, DeployOptions(model_version=first.promotion.version), ignore)
    return settings


@pytest.fixture
def serving(world: "World", deployed_once: Settings) -> Iterator[Settings]:
    """An endpoint whose first deployment serves, with no fault and no lease afterwards."""
    yield deployed_once
    server.fault(world.state, None, is_clearing=True)
    server.expire_leases(world.state)
    # Dev keeps a first deployment online, so this ends every test where it began.
    roll_back(deployed_once, None, ignore)


@pytest.fixture
def inflict(world: "World") -> Callable[..., None]:
    def add(kind: str, on: str, **details: Any) -> None:
        server.fault(world.state, {"kind": kind, "on": on, **details}, is_clearing=False)

    return add


def held_by_somebody(settings: Settings) -> Lease:
    store = open_store(connect_to(settings))
    return acquire(store, settings.dev.endpoint, SOMEBODY, OTHER_ID)


def look_until_lost(lease: Lease) -> None:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        lease.check()
        time.sleep(0.01)


def history(settings: Settings) -> list[dict[str, Any]]:
    """What the workspace itself tells of the endpoint, oldest first."""
    reading = ChainedLedger(open_store(connect_to(settings))).read()
    assert reading.breaks == ()
    return [dict(each) for each in reading.entries if each.get("endpoint") == "turns"]


def test_while_somebody_holds_the_lease_nothing_is_changed_and_it_is_said_who(
    serving: Settings, second: "Promoted"
) -> None:
    before = live(serving)
    lease = held_by_somebody(serving)
    acts: list[Callable[[], object]] = [
        lambda: deploy(serving, DeployOptions(model_version=second.promotion.version), ignore),
        lambda: promote_traffic(serving, None, 100, ignore),
        lambda: check_endpoint(serving, None, None, ignore),
        lambda: roll_back(serving, None, ignore),
    ]
    for act in acts:
        with pytest.raises(Conflict, match="ada on another-machine") as caught:
            act()
        assert caught.value.exit_code == 9
    lease.release()
    assert live(serving) == before


def test_a_lease_that_somebody_took_is_noticed_by_the_next_heartbeat(serving: Settings) -> None:
    from azure.storage.blob import BlobLeaseClient

    store = open_store(connect_to(serving))
    ours = Holder("grace", "here", "2", "", "deploy", SOMEBODY.since)
    lease = acquire(store, "turns", ours, str(uuid.uuid4()), heartbeat_s=0.05)
    lease.check()
    BlobLeaseClient(store.blob("leases/turns.json")).break_lease(lease_break_period=0)
    held_by_somebody(serving)
    with pytest.raises(Conflict, match="lease of turns was lost"):
        look_until_lost(lease)


def test_without_permission_for_the_store_a_rollout_says_so_and_goes_on(
    serving: Settings, second: "Promoted", inflict: Callable[..., None]
) -> None:
    inflict("forbidden", "POST listSecrets", count=0)
    told: list[str] = []
    result = deploy(serving, DeployOptions(model_version=second.promotion.version), told.append)
    assert result.state["phase"] == "canary"
    assert any(line.startswith("no lease:") for line in told)


def test_a_share_grows_in_steps_and_each_is_tested(serving: Settings, second: "Promoted") -> None:
    options = DeployOptions(model_version=second.promotion.version, steps=(5, 30, 100))
    result = deploy(serving, options, ignore)
    events = [event["event"] for event in result.state["events"]]
    shares = [event["after"].get("green", 0) for event in result.state["events"]]
    assert events[-6:] == ["canary", "tested", "canary", "tested", "promoted", "tested"]
    assert shares[-6:] == [5, 5, 30, 30, 100, 100]
    again = deploy(serving, options, ignore)
    assert again.state["traffic"] == result.state["traffic"]


def test_steps_go_on_where_they_were(serving: Settings, second: "Promoted") -> None:
    model = DeployOptions(model_version=second.promotion.version)
    deploy(serving, replace(model, traffic_percent=10), ignore)
    result = deploy(serving, replace(model, steps=(5, 10, 60)), ignore)
    assert result.state["traffic"] == {"blue": 40, "green": 60}
    events = [(event["event"], event["after"]["green"]) for event in result.state["events"][-3:]]
    assert events == [("tested", 10), ("canary", 60), ("tested", 60)]


def test_what_degrades_only_under_live_traffic_is_caught_at_its_first_share(
    serving: Settings, second: "Promoted", inflict: Callable[..., None]
) -> None:
    inflict("model-error", "POST score", target="green", is_live=True, count=0)
    options = DeployOptions(model_version=second.promotion.version, steps=(20, 100))
    with pytest.raises(Restored, match="live-errors"):
        deploy(serving, options, ignore)
    assert live(serving) == {"blue": 100}
    assert "green" not in endpoints.require_endpoint(connect_to(serving)).slots


def test_a_canary_that_degrades_fails_its_test_and_is_not_promoted(
    serving: Settings, second: "Promoted", inflict: Callable[..., None]
) -> None:
    deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    inflict("slow", "POST score", target="green", is_live=True, count=0, seconds=0.5)
    result = check_endpoint(serving, None, None, ignore)
    assert [check.name for check in result.checks if not check.passed] == ["live-latency"]
    with pytest.raises(StepFailed, match="did not pass its test"):
        promote_traffic(serving, None, 100, ignore)
    assert live(serving) == {"blue": 70, "green": 30}


def test_what_is_the_platforms_fault_is_not_blamed_on_the_model(
    serving: Settings, second: "Promoted", inflict: Callable[..., None]
) -> None:
    inflict("throttle", "POST score", target="green", count=0)
    with pytest.raises(Restored) as caught:
        deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    assert "To blame: capacity" in caught.value.why


@dataclass
class Load:
    """Clients that send one request after the other until they are told to stop."""

    scorer: Scorer
    trips: Sequence[Mapping[str, Any]]
    answers: list[Answer] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        with self.scorer.another() as mine:
            while not self.is_over.is_set():
                self.answers.append(mine.score(self.trips))

    def __enter__(self) -> "Load":
        self.clients = [threading.Thread(target=self.send) for _ in range(2)]
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for client in self.clients:
            client.join()


def test_no_request_fails_through_deployment_canary_promotion_and_rollback(
    serving: Settings, second: "Promoted", record_property: Callable[[str, object], None]
) -> None:
    connection = connect_to(serving)
    reference = model_of_slot(connection, endpoints.require_endpoint(connection), "blue")
    with fetched_model(connection, reference) as folder:
        trips = read_probe(folder).golden[:1]
    scorer = endpoints.open_scorer(connection, endpoints.require_endpoint(connection))
    with scorer, Load(scorer, trips) as load:
        deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
        assert check_endpoint(serving, None, None, ignore).passed
        promote_traffic(serving, None, 100, ignore)
        roll_back(serving, None, ignore)
    failed = [answer for answer in load.answers if not answer.is_good]
    assert {answer.deployment for answer in load.answers} == {"blue", "green"}
    assert (failed, len(load.answers) > 100) == ([], True)
    record_property("requests", len(load.answers))


@pytest.mark.parametrize("kind", ["fail", "quota", "capacity"])
def test_a_slot_that_cannot_be_provisioned_leaves_everything_as_it_was(
    serving: Settings, second: "Promoted", inflict: Callable[..., None], kind: str
) -> None:
    inflict(kind, "provision")
    with pytest.raises(Restored) as caught:
        deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    assert caught.value.exit_code == 6
    assert live(serving) == {"blue": 100}
    assert (serving.output / "deploy" / "dev" / "logs" / "inference-server.log").is_file()


def test_without_quota_nothing_is_begun(
    world: "World", serving: Settings, second: "Promoted"
) -> None:
    before = endpoints.require_endpoint(connect_to(serving))
    server.set_quota(world.state, "standardDSv2Family", 8)
    try:
        with pytest.raises(StepFailed, match="Nothing was changed") as caught:
            deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    finally:
        server.set_quota(world.state, "standardDSv2Family", 400)
    assert caught.value.code == "azure-quota"
    assert endpoints.require_endpoint(connect_to(serving)) == before


def test_traffic_that_silently_goes_back_is_an_error_and_not_a_success(
    serving: Settings, second: "Promoted", inflict: Callable[..., None]
) -> None:
    deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    inflict("revert", "PUT onlineEndpoints")
    with pytest.raises(StepFailed, match="does not show it"):
        promote_traffic(serving, None, 100, ignore)
    assert live(serving) == {"blue": 70, "green": 30}


def test_a_rollback_that_the_service_takes_back_needs_a_person_and_says_what_to_type(
    serving: Settings, second: "Promoted", inflict: Callable[..., None]
) -> None:
    deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    inflict("revert", "PUT onlineEndpoints", count=0)
    with pytest.raises(RestoreFailed) as caught:
        roll_back(serving, None, ignore)
    assert caught.value.exit_code == 7
    assert caught.value.hint.count("taxiops traffic") == 2
    assert "az ml online-endpoint update --name turns" in caught.value.hint


def test_every_event_says_who_when_and_what_changed_and_outlives_the_files(
    serving: Settings, second: "Promoted"
) -> None:
    deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    promote_traffic(serving, None, 100, ignore)
    promoted = history(serving)[-1]
    assert (promoted["event"], promoted["slot"]) == ("promoted", "green")
    assert promoted["before"] == {"blue": 70, "green": 30}
    assert promoted["after"] == {"blue": 0, "green": 100}
    assert promoted["model_sha256"] == second.promotion.sha256
    assert promoted["actor"]
    roll_back(serving, None, ignore)
    assert [event["event"] for event in history(serving)[-3:]] == [
        "rolled_back",
        "slot_deleted",
        "rolled_back",
    ]


def test_history_tells_what_served_at_a_moment(serving: Settings, second: "Promoted") -> None:
    deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    canary = read_history(serving, "", 50, ignore).events[-1]
    promote_traffic(serving, None, 100, ignore)
    assert read_history(serving, "", 50, ignore).traffic == {"blue": 0, "green": 100}
    then = read_history(serving, canary.texts["at"], 50, ignore)
    assert (then.traffic, then.events[-1]) == ({"blue": 70, "green": 30}, canary)
    assert read_history(serving, "2001-01-01", 50, ignore).events == ()
    with pytest.raises(UsageError, match="no moment"):
        read_history(serving, "teatime", 50, ignore)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (DeployOptions(steps=(30, 5)), "rise"),
        (DeployOptions(steps=(0, 5)), "1 to 100"),
        (DeployOptions(steps=(5,), traffic_percent=5), "exclude"),
        (DeployOptions(slot="no"), "cannot be the name of a slot"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_asked(
    world: "World", options: DeployOptions, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        deploy(world.settings(endpoint="turns"), options, ignore)


# -- whole processes ------------------------------------------------------------------------


@pytest.fixture
def begin(world: "World", serving: Settings, second: "Promoted") -> Callable[..., Any]:
    """Starts `taxiops deploy` of the second model as a process; gives it once it says a line."""

    def started(until: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "AML_DEV_ENDPOINT": "turns",
            "TAXIOPS_EMULATOR_STATE": str(world.state),
            "TAXIOPS_OUTPUT": str(serving.output),
        }
        arguments = [str(Path(sys.executable).with_name("taxiops")), "deploy"]
        arguments += ["--model-version", second.promotion.version, "--verbose"]
        process = subprocess.Popen(
            arguments,
            cwd=world.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if until in line:
                return process
        raise AssertionError(f"it ended with {process.wait()} before it said {until!r}: {said}")

    return started


def ledger_of(settings: Settings) -> Ledger:
    return Ledger(settings, "dev", settings.dev.endpoint)


def test_the_first_signal_stops_at_a_safe_point_in_time_and_the_next_run_goes_on(
    serving: Settings,
    second: "Promoted",
    begin: Callable[..., Any],
    inflict: Callable[..., None],
) -> None:
    inflict("slow", "provision", seconds=3)
    process = begin("provisioning slot green")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=GRACE_S)
    assert process.returncode == 130
    assert "safe point" in output
    assert f"taxiops deploy --model-version {second.promotion.version}" in output
    assert not ledger_of(serving).lease_file.exists()
    result = deploy(serving, DeployOptions(model_version=second.promotion.version), ignore)
    assert result.state["traffic"] == {"blue": 70, "green": 30}


def test_two_deployments_at_once_one_proceeds_and_the_other_names_it_even_after_its_death(
    world: "World",
    serving: Settings,
    second: "Promoted",
    begin: Callable[..., Any],
    inflict: Callable[..., None],
    tmp_path: Path,
) -> None:
    inflict("slow", "provision", seconds=2)
    process = begin("provisioning slot green")
    # Another machine has another folder for its journal.
    shutil.copytree(world.root, tmp_path / "clone")
    other = replace(serving, root=tmp_path / "clone", output=tmp_path / "artifacts")
    options = DeployOptions(model_version=second.promotion.version)
    for _ in range(2):
        with pytest.raises(Conflict, match="is being changed by"):
            deploy(other, options, ignore)
        process.kill()
        process.wait()
    server.expire_leases(world.state)
    assert deploy(other, options, ignore).state["traffic"] == {"blue": 70, "green": 30}


def test_on_the_same_machine_a_dead_process_is_followed_at_once(
    serving: Settings,
    second: "Promoted",
    begin: Callable[..., Any],
    inflict: Callable[..., None],
) -> None:
    inflict("slow", "provision", seconds=2)
    process = begin("provisioning slot green")
    process.kill()
    process.wait()
    assert ledger_of(serving).lease_file.exists()
    assert roll_back(serving, None, ignore).traffic == {"blue": 100}
