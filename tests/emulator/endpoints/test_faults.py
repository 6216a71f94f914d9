"""Hazards on demand: each strikes as often as asked, at the operation asked, and then no more."""

import http.client
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from taxiops.emulator import server

if TYPE_CHECKING:
    from conftest import Bench, Caller

Inflict = Callable[..., None]


@pytest.fixture
def inflict(emulator: Any) -> Iterator[Inflict]:
    def add(kind: str, on: str, **details: Any) -> None:
        server.fault(emulator.state, {"kind": kind, "on": on, **details}, is_clearing=False)

    yield add
    server.fault(emulator.state, None, is_clearing=True)


def struck(emulator: Any) -> list[int]:
    found = server.fault(emulator.state, None, is_clearing=False)["faults"]
    return [each["struck"] for each in found]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("conflict", 409), ("forbidden", 403), ("missing", 404), ("name-taken", 400)],
)
def test_a_refusal_reaches_the_client_as_azures_would(
    bench: "Bench", pair: str, inflict: Inflict, kind: str, status: int
) -> None:
    from azure.core.exceptions import HttpResponseError

    inflict(kind, "GET onlineEndpoints", target=pair)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.online_endpoints.get(pair)
    assert caught.value.status_code == status
    assert bench.client.online_endpoints.get(pair).name == pair


@pytest.mark.parametrize("kind", ["throttle", "error", "unavailable", "lost-request"])
def test_what_passes_by_itself_is_tried_again_by_the_client(
    emulator: Any, bench: "Bench", pair: str, inflict: Inflict, kind: str
) -> None:
    inflict(kind, "GET onlineEndpoints", target=pair)
    assert bench.client.online_endpoints.get(pair).name == pair
    assert struck(emulator) == [1]


def test_a_lost_answer_is_of_an_act_that_was_done(
    emulator: Any, bench: "Bench", pair: str, inflict: Inflict
) -> None:
    bench.traffic(pair, {"blue": 100})
    inflict("lost-answer", "PUT onlineEndpoints")
    bench.traffic(pair, {"green": 100})
    assert struck(emulator) == [1]
    assert bench.client.online_endpoints.get(pair).traffic["green"] == 100


def test_traffic_goes_back_silently(bench: "Bench", pair: str, inflict: Inflict) -> None:
    bench.traffic(pair, {"blue": 100})
    inflict("revert", "PUT onlineEndpoints")
    bench.traffic(pair, {"green": 100})
    assert bench.client.online_endpoints.get(pair).traffic == {"blue": 100, "green": 0}


def test_a_stale_read_tells_of_before(bench: "Bench", pair: str, inflict: Inflict) -> None:
    bench.traffic(pair, {"blue": 100})
    inflict("stale", "GET onlineEndpoints", target=pair, skip=2)
    bench.client.online_endpoints.get(pair)
    bench.traffic(pair, {"green": 100})
    assert bench.client.online_endpoints.get(pair).traffic["blue"] == 100
    assert bench.client.online_endpoints.get(pair).traffic["green"] == 100


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("fail", "ResourceNotReady"),
        ("quota", "OutOfQuota"),
        ("capacity", "OutOfCapacity"),
        ("cancel", "OperationCanceled"),
    ],
)
def test_provisioning_fails_with_azures_code(
    bench: "Bench", pair: str, inflict: Inflict, kind: str, code: str
) -> None:
    from azure.core.exceptions import HttpResponseError

    inflict(kind, "provision", target="third")
    with pytest.raises(HttpResponseError, match=code):
        bench.deployment(pair, "third")
    found = {
        each.name: each.provisioning_state for each in bench.client.online_deployments.list(pair)
    }
    assert found["third"] == "Failed"
    bench.client.online_deployments.begin_delete("third", pair).result()


def test_scoring_faults_meet_only_the_requests_that_are_meant(
    caller: "Caller", bench: "Bench", pair: str, inflict: Inflict
) -> None:
    bench.traffic(pair, {"green": 100})
    inflict("model-error", "POST score", target="green", is_live=True, count=2)
    direct = {"azureml-model-deployment": "green"}
    found = [caller.post(headers=direct), caller.post(), caller.post(), caller.post()]
    assert [each.status for each in found] == [200, 424, 424, 200]
    assert found[1].headers["ms-azureml-model-error-statuscode"] == "500"
    inflict("throttle", "POST score")
    inflict("lost-answer", "POST score")
    assert caller.post().status == 429
    with pytest.raises(http.client.RemoteDisconnected):
        caller.post()


def test_chances_are_drawn_from_the_seed(
    caller: "Caller", bench: "Bench", pair: str, inflict: Inflict, emulator: Any
) -> None:
    bench.traffic(pair, {"blue": 100})
    seen = []
    for _ in range(2):
        inflict("throttle", "POST score", count=0, probability=0.5, seed=7)
        seen.append([caller.post().status for _ in range(12)])
        server.fault(emulator.state, None, is_clearing=True)
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 429}


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"kind": "sulk", "on": "GET jobs"}, "kind"),
        ({"kind": "throttle", "on": ""}, "on:"),
        ({"kind": "throttle", "on": "GET jobs", "count": -1}, "count"),
        ({"kind": "throttle", "on": "GET jobs", "probability": 2}, "probability"),
        ({"kind": "throttle", "on": "GET jobs", "often": 2}, "often"),
        ({"kind": "quota", "on": "PUT deployments"}, "provision"),
        ({"kind": "conflict", "on": "provision"}, "provision"),
        ({"kind": "model-error", "on": "GET jobs"}, "POST score"),
        ({"kind": "stale", "on": "PUT jobs"}, "GET"),
        ({"kind": "revert", "on": "GET jobs"}, "PUT onlineEndpoints"),
        ({"kind": "slow", "on": "GET jobs", "is_live": True}, "is_live"),
    ],
)
def test_a_hazard_that_cannot_be_is_refused_by_name(
    emulator: Any, document: dict[str, Any], word: str
) -> None:
    with pytest.raises(server.EmulatorError, match=word):
        server.fault(emulator.state, document, is_clearing=False)
    assert server.fault(emulator.state, None, is_clearing=False) == {"faults": []}
