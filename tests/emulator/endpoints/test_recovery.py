"""Endpoints after the emulator was killed and started again."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from taxiops.emulator import server


@pytest.fixture
def own(emulator: Any, trusting: Path, tmp_path: Path) -> Iterator[Any]:
    """An emulator of this test alone, to be killed."""
    found = type(emulator)(tmp_path / "state")
    found.start()
    with trusting.open("ab") as bundle:
        bundle.write(b"\n" + Path(found.ca_file).read_bytes())
    yield found
    server.stop(found.state)


def scoring_servers(state: Path) -> list[psutil.Process]:
    """Every process that runs something of this state folder, but the emulator itself."""
    own_pid = server.read_state(state).get("pid")
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if str(state) in " ".join(each.info["cmdline"] or []) and each.pid != own_pid
    ]


def kill(state: Path) -> None:
    os.kill(server.read_state(state)["pid"], signal.SIGKILL)


def test_a_killed_emulator_leaves_no_process_and_serves_the_same_traffic_again(
    bench: Any, own: Any, eventually: Callable[..., None]
) -> None:
    mine = replace(bench, client=own.workspace(), ca_file=own.ca_file)
    mine.endpoint("durable", tags={"kept": "yes"})
    for name in ("blue", "green"):
        mine.deployment("durable", name)
    mine.traffic("durable", {"blue": 70, "green": 30})
    before = mine.caller("durable")
    assert before.post().status == 200
    before.close()

    kill(own.state)
    eventually(lambda: not server.is_running(own.state))
    eventually(lambda: not scoring_servers(own.state))
    own.start()

    again = replace(mine, client=own.workspace())
    caller = again.caller("durable")
    assert caller.key == before.key
    # The first request waits for its server rather than fail.
    found = Counter(caller.post().document["who"] for _ in range(200))
    assert found["blue"] > found["green"] > 20
    entity = again.client.online_endpoints.get("durable")
    assert (entity.traffic, entity.tags) == ({"blue": 70, "green": 30}, {"kept": "yes"})
    states = {each.provisioning_state for each in again.client.online_deployments.list("durable")}
    assert states == {"Succeeded"}


def test_provisioning_goes_on_after_the_emulator_was_killed_in_its_midst(
    bench: Any, own: Any, eventually: Callable[..., None]
) -> None:
    mine = replace(bench, client=own.workspace(), ca_file=own.ca_file)
    mine.endpoint("half-made")
    poller = mine.client.online_deployments.begin_create_or_update(mine.entity("half-made", "blue"))
    kill(own.state)
    eventually(lambda: not server.is_running(own.state))
    own.start()
    poller.result()

    again = replace(mine, client=own.workspace())
    assert (
        again.client.online_deployments.get("blue", "half-made").provisioning_state == "Succeeded"
    )
    again.traffic("half-made", {"blue": 100})
    assert again.caller("half-made").post().status == 200


def test_stopping_the_emulator_ends_all_scoring_servers(bench: Any, own: Any) -> None:
    mine = replace(bench, client=own.workspace(), ca_file=own.ca_file)
    mine.endpoint("stopped")
    mine.deployment("stopped", "blue", instance_count=2)
    sockets = Path((own.state / "deployments" / "sockets").read_text())
    assert len(list(sockets.iterdir())) == 2
    server.stop(own.state)
    assert scoring_servers(own.state) == []
    assert not sockets.exists()


def test_resetting_a_killed_emulator_leaves_nothing_in_the_temporary_folder(own: Any) -> None:
    sockets = Path((own.state / "deployments" / "sockets").read_text())
    assert sockets.exists()
    kill(own.state)
    server.reset(own.state)
    assert not sockets.exists()
    assert not own.state.exists()
