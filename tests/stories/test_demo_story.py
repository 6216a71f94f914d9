"""The main job end to end: what `taxiops demo` leaves behind, seen through the plain SDK."""

import json
import os
import signal
import sys
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import World

TAXIOPS = Path(sys.executable).with_name("taxiops")
Demo = tuple["World", dict[str, Any]]

INVENTORY = """
import json, tempfile
from pathlib import Path
from taxiops.cloud import connect

trip = {"pickup_datetime": "2016-01-06 12:09:13", "passenger_count": 1,
        "trip_distance_miles": 2.1, "rate_code": 1}
body = Path(tempfile.mkdtemp()) / "trips.json"
body.write_text(json.dumps({"trips": [trip]}))
found = {}
for env in ("dev", "prod"):
    connection = connect("local", env)
    client, registry = connection.workspace, connection.registry
    name = f"taxi-class-{env}"
    answer = json.loads(client.online_endpoints.invoke(name, request_file=str(body)))
    found[env] = {
        "jobs": [job.status for job in client.jobs.list()],
        "models": [model.version for model in registry.models.list("taxi-class-dev")],
        "endpoints": [endpoint.name for endpoint in client.online_endpoints.list()],
        "deployments": sorted(each.name for each in client.online_deployments.list(name)),
        "answer": answer,
    }
print(json.dumps(found))
"""

# 1,000 requests over several connections while another process may move the traffic.
SCORE = """
import collections, json, sys, threading
import requests
from taxiops.cloud import connect

client = connect("local", "dev").workspace
uri = client.online_endpoints.get("taxi-class-dev").scoring_uri
key = client.online_endpoints.get_keys("taxi-class-dev").primary_key
trip = {"pickup_datetime": "2016-01-06 12:09:13", "passenger_count": 1,
        "trip_distance_miles": 2.1, "rate_code": 1}
counts = collections.Counter()
lock = threading.Lock()

def send(times):
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    for _ in range(times):
        response = session.post(uri, json={"trips": [trip]}, timeout=30)
        who = response.json().get("deployment", "?") if response.ok else str(response.status_code)
        with lock:
            counts[who] += 1

threads = [threading.Thread(target=send, args=(THREAD_REQUESTS,)) for _ in range(2)]
for thread in threads:
    thread.start()
if MOVE:
    import subprocess
    moved = subprocess.run(MOVE, capture_output=True, text=True)
    assert moved.returncode == 0, moved.stdout + moved.stderr
for thread in threads:
    thread.join()
print(json.dumps(counts))
"""


def scored(world: "World", requests: int, move: list[str] | None = None) -> dict[str, int]:
    """How many requests each deployment answered; HTTP errors under their status."""
    text = f"THREAD_REQUESTS = {requests // 2}\nMOVE = {move!r}\n{SCORE}"
    return world.script(text)


def test_the_better_model_serves_in_both_environments(demo: Demo) -> None:
    world, told = demo
    assert len(told["acts"]) == 3
    assert world.traffic("dev") == {"green": 100}
    assert world.traffic("prod") == {"blue": 100}


def test_a_plain_sdk_program_finds_what_the_demo_made_and_scores(demo: Demo) -> None:
    world, _ = demo
    found = world.script(INVENTORY)
    assert found["dev"]["jobs"] == ["Completed"] * 3
    assert sorted(found["dev"]["models"]) == ["1", "2"]
    for env in ("dev", "prod"):
        assert found[env]["endpoints"] == [f"taxi-class-{env}"]
        assert found[env]["deployments"] == ["blue", "green"]
        assert found[env]["answer"]["model_version"] == "2"
        assert len(found[env]["answer"]["predictions"]) == 1


def test_the_refused_candidate_left_a_verdict_and_nothing_else(demo: Demo) -> None:
    world, _ = demo
    verdict = json.loads((world.output / "gate/verdict.json").read_text(encoding="utf-8"))
    assert verdict["passed"] is False
    assert world.run("promote").returncode == 3


def test_canary_split_promotion_and_rollback_lose_no_request(demo: Demo) -> None:
    world, _ = demo
    deployed = world.json("deploy", "--model-version", "1")
    assert (deployed["slot"], deployed["first_deployment"]) == ("blue", False)
    assert world.traffic("dev") == {"green": 70, "blue": 30}
    counts = scored(world, 1000)
    assert sum(counts.values()) == counts["green"] + counts["blue"] == 1000
    assert abs(counts["blue"] - 300) < 5 * sqrt(1000 * 0.3 * 0.7)
    assert world.run("test", "endpoint").returncode == 0
    move = [str(TAXIOPS), "traffic", "promote", "--percent", "100"]
    counts = scored(world, 3000, move)
    assert counts["green"] + counts["blue"] == 3000
    assert world.traffic("dev") == {"blue": 100}
    assert set(scored(world, 200)) == {"blue"}
    rolled_back = world.json("traffic", "rollback")
    assert rolled_back["changed"] is True
    assert world.traffic("dev") == {"green": 100}
    assert world.json("traffic", "rollback")["changed"] is False


def test_a_killed_emulator_comes_back_with_models_endpoints_and_traffic(demo: Demo) -> None:
    world, _ = demo
    before = world.script(INVENTORY)
    pid = json.loads((world.state / "emulator.json").read_text(encoding="utf-8"))["pid"]
    os.kill(pid, signal.SIGKILL)
    after = world.script(
        "from taxiops.cloud import connect\n"
        "import time\n"
        "client = connect('local', 'dev').workspace\n"
        "deadline = time.monotonic() + 60\n"
        "def ready(env):\n"
        "    client = connect('local', env).workspace\n"
        "    found = client.online_deployments.list(f'taxi-class-{env}')\n"
        "    return all(str(each.provisioning_state).endswith('SUCCEEDED')\n"
        "               or each.provisioning_state == 'Succeeded' for each in found)\n"
        "while not (ready('dev') and ready('prod')) and time.monotonic() < deadline:\n"
        "    time.sleep(0.2)\n" + INVENTORY
    )
    assert after == before
    assert world.traffic("prod") == {"blue": 100}
