"""Azure's rules for traffic maps and for the bodies of deployments."""

from pathlib import Path

import pytest

from taxiops.emulator.state.durations import duration_s
from taxiops.emulator.state.endpoints.deployment_rules import BadDeployment, checked_deployment
from taxiops.emulator.state.endpoints.documents import EndpointDocuments, TooMany
from taxiops.emulator.state.endpoints.fleet import restart_delay_s
from taxiops.emulator.state.endpoints.traffic import (
    NAME,
    BadTraffic,
    checked_mirror,
    checked_traffic,
)
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.storage.store import Store

NAMES = ("blue", "green")


def test_names_of_slots_are_lower_cased() -> None:
    assert checked_traffic({"Blue": 30, "GREEN": 70}, NAMES) == {"blue": 30, "green": 70}


@pytest.mark.parametrize("shares", [None, {}, {"blue": 0}, {"blue": 100}, {"blue": 1, "green": 99}])
def test_a_sum_of_0_or_100_is_taken(shares: object) -> None:
    assert sum(checked_traffic(shares, NAMES).values()) in {0, 100}


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"blue": 30}, "Sum of traffic"),
        ({"blue": 60, "green": 60}, "Sum of traffic"),
        ({"red": 100}, "does not exist"),
        ({"red": 0, "blue": 100}, "does not exist"),
        ({"blue": -10, "green": 110}, "0 to 100"),
        ({"blue": 99.5, "green": 0.5}, "whole number"),
        ({"blue": True, "green": 99}, "whole number"),
        ({"blue": "100"}, "whole number"),
        ({"blue": 50, "BLUE": 50}, "twice"),
        ([100], "must map"),
    ],
)
def test_other_traffic_is_refused_with_the_reason(shares: object, said: str) -> None:
    with pytest.raises(BadTraffic, match=said):
        checked_traffic(shares, NAMES)


@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        ({"green": 51}, "at most 50"),
        ({"green": 10, "blue": 10}, "one deployment only"),
        ({"blue": 10}, "live and mirror"),
        ({"red": 10}, "does not exist"),
    ],
)
def test_other_mirror_traffic_is_refused_with_the_reason(mirror: object, said: str) -> None:
    with pytest.raises(BadTraffic, match=said):
        checked_mirror(mirror, {"blue": 100}, NAMES)


def test_mirror_traffic_of_zero_is_forgotten() -> None:
    assert checked_mirror({"Green": 50, "blue": 0}, {"blue": 100}, NAMES) == {"green": 50}


@pytest.mark.parametrize("name", ["blue", "a1b", "taxi-class-dev", "a" * 32])
def test_azures_names_are_taken(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["ab", "a" * 33, "1blue", "-blue", "blue-", "blu--e", "bl_ue", ""])
def test_other_names_are_refused(name: str) -> None:
    assert not NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT5S", 5.0),
        ("PT0.3S", 0.3),
        ("PT1M30S", 90.0),
        ("P1DT2H", 93600.0),
        ("PT", None),
        ("P", None),
        ("5", None),
        (None, None),
        (5, None),
    ],
)
def test_durations_are_read_with_fractions(text: object, seconds: float | None) -> None:
    assert duration_s(text) == seconds


def test_a_deployment_needs_no_more_than_its_properties() -> None:
    stored = checked_deployment({"properties": {"model": "azureml:m:1"}, "sku": None})
    assert stored["sku"] == {"name": "Default", "capacity": 1}
    assert stored["tags"] == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "no properties"),
        ({"properties": []}, "properties"),
        ({"properties": {"model": 1}}, "model"),
        ({"properties": {"codeConfiguration": {"scoringScript": []}}}, "scoringScript"),
        ({"properties": {"environmentVariables": "A=1"}}, "environmentVariables"),
        ({"properties": {"requestSettings": {"requestTimeout": "5"}}}, "ISO 8601"),
        ({"properties": {"requestSettings": {"requestTimeout": "PT181S"}}}, "at most 180"),
        ({"properties": {"requestSettings": {"maxConcurrentRequestsPerInstance": 0}}}, "positive"),
        ({"properties": {"readinessProbe": {"failureThreshold": "3"}}}, "failureThreshold"),
        ({"properties": {"a": 1}, "sku": {"capacity": "two"}}, "capacity"),
        ({"properties": {"a": 1}, "sku": {"capacity": 21}}, "at most 20"),
        ({"properties": {"a": 1}, "tags": ["x"]}, "tags"),
    ],
)
def test_other_bodies_are_refused_with_the_reason(body: dict[str, object], said: str) -> None:
    with pytest.raises(BadDeployment, match=said):
        checked_deployment(body)


def test_a_crashing_container_is_started_again_ever_more_slowly_but_always() -> None:
    delays = [restart_delay_s(n) for n in range(1, 12)]
    assert delays == sorted(delays)
    assert delays[0] < 1
    assert delays[-1] == 30.0


def test_an_endpoint_has_at_most_twenty_deployments(tmp_path: Path) -> None:
    store = Store(tmp_path / "documents.db")
    documents = EndpointDocuments(store, Operations(store))
    documents.put_endpoint("scope", "full", {"properties": {}})
    body = {"properties": {}, "sku": {}}
    for number in range(20):
        documents.want_deployment(("scope", "full", f"slot{number}"), body)
    with pytest.raises(TooMany, match="at most 20"):
        documents.want_deployment(("scope", "full", "another"), body)
    store.close()
