"""The main job end to end: what `taxiops demo` leaves behind, seen through the plain SDK."""

import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taxiops.cloud import endpoints

from .pages import ROOT, Block, blocks, copy_project, typed

if TYPE_CHECKING:
    from conftest import World

TUTORIAL = ROOT / "docs" / "tutorial.md"
PROGRAM = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The demo was told when the tutorial begins here, and the shell has the programs on its path.
TOLD_ALREADY = ("make demo", "source .venv/")
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

TRIP = {
    "pickup_datetime": "2016-01-06 12:09:13",
    "passenger_count": 1,
    "trip_distance_miles": 2.1,
    "rate_code": 1,
}
CLIENTS = 2


def scored(world: "World", requests: int, move: Sequence[str] = ()) -> dict[str, int]:
    """How many requests each deployment answered; HTTP errors under their status.

    There are that many requests, or as many as it takes until the command `move` has ended.
    """
    connection = world.connect("dev")
    scorer = endpoints.open_scorer(connection, endpoints.require_endpoint(connection))
    is_moved = threading.Event()

    def send(count: int) -> list[str]:
        found: list[str] = []
        with scorer.another() as mine:
            while len(found) < count or not is_moved.is_set():
                answer = mine.score([TRIP])
                found.append(answer.deployment if answer.is_good else str(answer.status))
        return found

    with scorer, ThreadPoolExecutor(CLIENTS) as pool:
        sent = [pool.submit(send, requests // CLIENTS) for _ in range(CLIENTS)]
        moved = world.run(*move) if move else None
        is_moved.set()
        found = Counter(name for each in sent for name in each.result())
    assert moved is None or moved.returncode == 0, moved.stdout + moved.stderr
    return dict(found)


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
    counts = scored(world, 100, ["traffic", "promote", "--percent", "100"])
    assert set(counts) == {"green", "blue"}
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


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the programs that the tutorial lets one write."""
    folder = tmp_path_factory.mktemp("tutorial")
    copy_project(folder)
    for name, text in PROGRAM.findall(TUTORIAL.read_text(encoding="utf-8")):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("block", blocks(TUTORIAL), ids=lambda block: f"block-{block.number}")
def test_a_block_of_the_tutorial_does_what_it_says(block: Block, learner: Path, demo: Demo) -> None:
    world, _ = demo
    lines = block.lines.splitlines(keepends=True)
    left = "".join(line for line in lines if not line.startswith(TOLD_ALREADY))
    own = {name: v for name, v in world.environment.items() if name.startswith("TAXIOPS_")}
    done = typed(learner, left, own)
    assert done.returncode == block.exit_code, f"{left}\n{done.stdout}\n{done.stderr}"
