"""Quota: what is used and what there is of a family, and a deployment that does not fit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from taxiops.emulator import server

if TYPE_CHECKING:
    from conftest import Bench

FAMILY = "standardFSv2Family"


@pytest.fixture
def eight_cores(emulator: Any) -> Iterator[None]:
    server.set_quota(emulator.state, FAMILY, 8)
    yield
    server.set_quota(emulator.state, FAMILY, 400)


def test_a_deployment_that_does_not_fit_ends_out_of_quota(
    eight_cores: None, bench: "Bench", pair: str
) -> None:
    from azure.core.exceptions import HttpResponseError

    bench.deployment(pair, "fits", instance_type="Standard_F4s_v2")
    usage = next(u for u in bench.client.compute.list_usage() if u.name["value"] == FAMILY)
    assert (vars(usage)["currentValue"], usage.limit) == (8, 8)
    with pytest.raises(HttpResponseError, match=r"OutOfQuota[\s\S]*Additional needed: 4"):
        bench.deployment(pair, "large", instance_type="Standard_F2s_v2")
    for name in ("fits", "large"):
        bench.client.online_deployments.begin_delete(name, pair).result()


def test_sizes_say_how_many_cores_they_have(bench: "Bench") -> None:
    sizes = {size.name: vars(size) for size in bench.client.compute.list_sizes()}
    assert sizes["Standard_DS3_v2"]["vCPUs"] == 4
    assert {size["family"] for size in sizes.values()} >= {FAMILY, "standardDSv2Family"}


@pytest.mark.parametrize(("family", "limit"), [("quiteUnknown", 4), (FAMILY, -1)])
def test_an_impossible_limit_is_refused(emulator: Any, family: str, limit: int) -> None:
    with pytest.raises(server.EmulatorError, match="must be"):
        server.set_quota(emulator.state, family, limit)
