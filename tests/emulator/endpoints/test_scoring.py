"""What a caller of a scoring URI sees: routing, keys, limits, mirrors, no lost request."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

REQUESTS = 600


def test_the_answer_names_the_deployment_and_the_request(
    bench: Any, pair: str, caller: Any
) -> None:
    bench.traffic(pair, {"green": 100})
    scored = caller.post({}, {"x-ms-client-request-id": "mine"})
    assert scored.status == 200
    assert scored.headers["azureml-model-deployment"] == "green"
    assert scored.headers["x-ms-client-request-id"] == "mine"
    assert scored.headers["x-request-id"]


def test_requests_split_by_the_weights_within_binomial_bounds(
    bench: Any, pair: str, caller: Any
) -> None:
    bench.traffic(pair, {"blue": 70, "green": 30})
    found = Counter(caller.post().document["who"] for _ in range(REQUESTS))
    # Five standard deviations: wrong by chance once in two million runs.
    bound = 5 * (REQUESTS * 0.3 * 0.7) ** 0.5
    assert abs(found["green"] - 0.3 * REQUESTS) < bound
    assert found["blue"] + found["green"] == REQUESTS


def test_the_weights_are_drawn_anew_for_each_request(bench: Any, pair: str, caller: Any) -> None:
    bench.traffic(pair, {"blue": 50, "green": 50})
    answers = [caller.post().document["who"] for _ in range(200)]
    runs = 1 + sum(a != b for a, b in itertools.pairwise(answers))
    # Alternating deployments would make 200 runs, a draw per connection a single one.
    assert 60 < runs < 140


def test_the_header_chooses_a_deployment_without_traffic(
    bench: Any, pair: str, caller: Any
) -> None:
    bench.traffic(pair, {"blue": 100})
    assert caller.post({}, {"azureml-model-deployment": "Green"}).document["who"] == "green"


def test_an_unknown_deployment_in_the_header_is_not_found(caller: Any) -> None:
    assert caller.post({}, {"azureml-model-deployment": "red"}).status == 404


def test_without_any_traffic_there_is_nothing_to_route_to(
    bench: Any, pair: str, caller: Any
) -> None:
    bench.traffic(pair, {"blue": 0, "green": 0})
    scored = caller.post()
    assert scored.status == 404
    assert "positive weight" in scored.document["error"]["message"]


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer wrong"}, {"authorization": ""}, {"authorization": "x"}]
)
def test_a_wrong_key_is_refused(caller: Any, headers: dict[str, str]) -> None:
    assert caller.post({}, headers).status == 401


def test_the_secondary_key_is_as_good(bench: Any, pair: str, caller: Any) -> None:
    bench.traffic(pair, {"blue": 100})
    caller.key = bench.client.online_endpoints.get_keys(pair).secondary_key
    assert caller.post().status == 200


@pytest.mark.parametrize("mode", ["aml_token", "aad_token"])
def test_an_endpoint_with_tokens_takes_its_token_and_no_other(
    bench: Any, mode: str, caller: Any
) -> None:
    name = mode.replace("_", "-")
    uri = bench.endpoint(name, auth_mode=mode).scoring_uri
    token = bench.client.online_endpoints.get_keys(name).access_token
    key, caller.uri = caller.key, uri
    caller.key = token
    # Authorised, and then without a deployment to go to.
    assert caller.post().status == 404
    caller.key = key
    assert caller.post().status == 401


def test_an_unknown_path_is_not_found(caller: Any) -> None:
    assert caller.send("POST", "/mlwtest/elsewhere/score", b"{}").status == 404


def test_liveness_answers_beside_the_scoring_route(bench: Any, pair: str, caller: Any) -> None:
    bench.traffic(pair, {"blue": 100})
    base = f"/{caller.uri.split('/', 3)[3]}".removesuffix("/score")
    scored = caller.send("GET", base + "/")
    assert (scored.status, scored.document) == (200, "Healthy")
    assert caller.send("GET", base + "/swagger.json").status in {200, 424}
    assert caller.send("PUT", "", b"{}").status == 405


def test_an_error_of_the_model_is_424_with_its_own_status(
    bench: Any, pair: str, caller: Any
) -> None:
    bench.traffic(pair, {"blue": 100})
    scored = caller.post({"raise": True})
    assert scored.status == 424
    assert scored.headers["ms-azureml-model-error-statuscode"] == "500"
    assert scored.headers["azureml-model-deployment"] == "blue"


def test_a_large_request_arrives_whole_and_a_too_large_one_is_refused(
    bench: Any, pair: str, caller: Any
) -> None:
    bench.traffic(pair, {"blue": 100})
    text = "x" * 9_000_000
    assert caller.post({"text": text}).document["size"] == len(text) + len('{"text": ""}')
    assert caller.post({"text": text * 2}).status == 413


@pytest.fixture(scope="module")
def limited(bench: Any) -> Iterator[str]:
    """An endpoint whose deployment takes two requests at once, of a second at most."""
    from azure.ai.ml.entities import OnlineRequestSettings

    bench.endpoint("limited")
    settings = OnlineRequestSettings(
        request_timeout_ms=1500, max_concurrent_requests_per_instance=1
    )
    bench.deployment("limited", "blue", request_settings=settings)
    bench.traffic("limited", {"blue": 100})
    yield "limited"
    bench.client.online_endpoints.begin_delete("limited").result()


def test_a_slow_answer_is_cut_off_with_408(bench: Any, limited: str) -> None:
    scored = bench.caller(limited).post({"sleep_s": 2.4})
    assert scored.status == 408
    assert scored.headers["azureml-model-deployment"] == "blue"


def test_more_requests_than_twice_the_concurrency_are_429(
    bench: Any, limited: str, eventually: Callable[..., None]
) -> None:
    # The worker may be busy with a request that was cut off before.
    eventually(lambda: bench.caller(limited).post().status == 200)
    callers = [bench.caller(limited) for _ in range(6)]
    for each in callers:
        # Connected already, all of them ask at once.
        assert each.send("GET", "/nowhere").status == 404
    with ThreadPoolExecutor(6) as pool:
        found = Counter(pool.map(lambda each: each.post({"sleep_s": 0.7}).status, callers))
    assert found == {200: 2, 429: 4}


def test_mirrored_requests_arrive_and_the_caller_sees_only_the_live_answer(
    bench: Any, pair: str, caller: Any, notes: Path, eventually: Callable[..., None]
) -> None:
    bench.traffic(pair, {"blue": 100}, {"green": 50})
    sent = 100
    answers = {caller.post({"note": "mirror-test"}).document["who"] for _ in range(sent)}
    assert answers == {"blue"}

    def mirrored() -> int:
        return notes.read_text().split().count("mirror-test") - sent

    # Fifty of a hundred within five standard deviations.
    eventually(lambda: mirrored() > 25)
    assert mirrored() < 75


def test_requests_to_a_named_deployment_are_not_mirrored(
    bench: Any, pair: str, caller: Any, notes: Path
) -> None:
    bench.traffic(pair, {"blue": 100}, {"green": 50})
    for _ in range(20):
        caller.post({"note": "named-test"}, {"azureml-model-deployment": "blue"})
    bench.traffic(pair, {"blue": 100})
    assert notes.read_text().split().count("named-test") == 20


class Load:
    """Clients that score without a pause and keep every status."""

    def __init__(self, bench: Any, endpoint: str, clients: int = 3) -> None:
        self.found: Counter[tuple[int, str]] = Counter()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(bench.caller(endpoint),))
            for _ in range(clients)
        ]

    def _run(self, caller: Any) -> None:
        while not self._stop.is_set():
            scored = caller.post()
            who = scored.document.get("who") if isinstance(scored.document, dict) else ""
            self.found[(scored.status, str(who))] += 1

    def __enter__(self) -> "Load":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def wait_for(self, who: str, eventually: Callable[..., None]) -> None:
        seen = self.found[(200, who)]
        eventually(lambda: self.found[(200, who)] > seen + 20)


def test_no_request_fails_while_traffic_moves_and_the_old_deployment_is_deleted(
    bench: Any, eventually: Callable[..., None]
) -> None:
    bench.endpoint("moving")
    bench.deployment("moving", "blue")
    bench.traffic("moving", {"blue": 100})
    with Load(bench, "moving") as load:
        load.wait_for("blue", eventually)
        bench.deployment("moving", "green")
        for percent in (30, 60, 100):
            bench.traffic("moving", {"blue": 100 - percent, "green": percent})
            load.wait_for("green", eventually)
        bench.client.online_deployments.begin_delete("blue", "moving").result()
        load.wait_for("green", eventually)
    assert {status for status, _ in load.found} == {200}


def test_no_request_fails_while_a_serving_deployment_is_replaced(
    bench: Any, eventually: Callable[..., None]
) -> None:
    bench.endpoint("replacing")
    bench.deployment("replacing", "blue", {"WHO": "old"})
    bench.traffic("replacing", {"blue": 100})
    with Load(bench, "replacing") as load:
        load.wait_for("old", eventually)
        # A variable that Python reads as it starts, so that this server is not forked.
        bench.deployment("replacing", "blue", {"WHO": "new", "PYTHONOPTIMIZE": "1"})
        load.wait_for("new", eventually)
    assert {status for status, _ in load.found} == {200}
    answer = bench.caller("replacing").post().document
    assert (answer["who"], answer["debug"]) == ("new", False)


def test_a_request_in_flight_is_answered_before_its_deployment_goes(
    bench: Any, notes: Path, eventually: Callable[..., None]
) -> None:
    bench.endpoint("draining")
    bench.deployment("draining", "blue", {"NOTES": str(notes)})
    bench.deployment("draining", "green")
    bench.traffic("draining", {"blue": 100})
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(bench.caller("draining").post, {"sleep_s": 2, "note": "in-flight"})
        eventually(lambda: "in-flight" in notes.read_text())
        bench.traffic("draining", {"green": 100})
        bench.client.online_deployments.begin_delete("blue", "draining").result()
        assert slow.result().document["who"] == "blue"


def test_instances_share_the_work_and_scaling_keeps_those_that_run(
    bench: Any, eventually: Callable[..., None]
) -> None:
    bench.endpoint("scaled")
    bench.deployment("scaled", "blue", instance_count=2)
    bench.traffic("scaled", {"blue": 100})

    def pids(count: int = 12) -> set[int]:
        with ThreadPoolExecutor(4) as pool:
            callers = [bench.caller("scaled") for _ in range(count)]
            scored = pool.map(lambda each: each.post({"sleep_s": 0.1}), callers)
            return {each.document["pid"] for each in scored}

    before = pids()
    assert len(before) == 2
    entity = bench.client.online_deployments.get("blue", "scaled")
    entity.instance_count = 1
    bench.client.online_deployments.begin_create_or_update(entity).result()
    assert bench.client.online_deployments.get("blue", "scaled").instance_count == 1
    after = pids()
    assert len(after) == 1
    assert after < before


def test_a_crashed_server_is_started_again(bench: Any, eventually: Callable[..., None]) -> None:
    bench.endpoint("restarted")
    bench.deployment("restarted", "blue")
    bench.traffic("restarted", {"blue": 100})
    caller = bench.caller("restarted")
    assert caller.post({"kill_server": True}).status == 502
    eventually(lambda: caller.post().status == 200)
    assert "started again" in bench.client.online_deployments.get_logs("blue", "restarted", 999)


def test_a_server_that_fails_its_liveness_probe_is_started_again(
    bench: Any, eventually: Callable[..., None]
) -> None:
    from azure.ai.ml.entities import ProbeSettings

    bench.endpoint("hanging")
    probe = ProbeSettings(initial_delay=1, period=1, timeout=1, failure_threshold=2)
    bench.deployment("hanging", "blue", liveness_probe=probe)
    bench.traffic("hanging", {"blue": 100})
    with ThreadPoolExecutor(1) as pool:
        # Its only worker is busy, so that it cannot say that it lives.
        slow = pool.submit(bench.caller("hanging").post, {"sleep_s": 19})
        eventually(
            lambda: "liveness" in bench.client.online_deployments.get_logs("blue", "hanging", 99)
        )
        assert slow.result().status == 502
    caller = bench.caller("hanging")
    eventually(lambda: caller.post().status == 200)
    bench.client.online_endpoints.begin_delete("hanging").result()


def test_a_keep_alive_connection_serves_many_requests(bench: Any, pair: str, caller: Any) -> None:
    bench.traffic(pair, {"blue": 100})
    caller.post()
    port = caller.local_port()
    assert [caller.post().status for _ in range(50)] == [200] * 50
    assert caller.local_port() == port
