"""The table by which the scoring proxy routes: endpoints, targets, instances; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taxiops.emulator.state.durations import duration_s

Json = dict[str, Any]
# Defaults of Azure's online request settings.
REQUEST_TIMEOUT_S = 5.0
CONCURRENT_REQUESTS = 1


@dataclass(eq=False)
class Instance:
    """One ready scoring server. `in_flight` is written by the proxy's thread only."""

    socket_path: str
    in_flight: int = 0


@dataclass(frozen=True)
class Target:
    """One deployment as the proxy sees it.

    is_recovering: no server is ready yet because the emulator was just started, so a request
    may wait for one.
    """

    name: str
    instances: tuple[Instance, ...]
    timeout_s: float
    most_in_flight: int
    is_recovering: bool = False

    @property
    def in_flight(self) -> int:
        return sum(each.in_flight for each in self.instances)


@dataclass(frozen=True)
class Row:
    """One endpoint as the proxy sees it. `keys` are what a caller may present.

    live: the deployments with traffic and, beside each, its percent.
    """

    path: str
    auth_mode: str
    keys: frozenset[str]
    targets: Mapping[str, Target]
    live: Sequence[Target] = ()
    percents: Sequence[int] = ()
    mirror: Mapping[str, int] = field(default_factory=dict)


def target_of(
    deployment: Json, instances: tuple[Instance, ...], *, is_recovering: bool = False
) -> Target:
    """A stored deployment and its ready instances as a target."""
    properties = deployment["properties"]
    concurrent = request_settings(properties).get("maxConcurrentRequestsPerInstance")
    return Target(
        name=deployment["name"],
        instances=instances,
        timeout_s=request_timeout_s(properties),
        # Azure answers 429 above twice the concurrency of all instances.
        most_in_flight=2 * int(concurrent or CONCURRENT_REQUESTS) * instance_count(deployment),
        is_recovering=is_recovering,
    )


def row_of(endpoint: Json, targets: Mapping[str, Target]) -> Row:
    """A stored endpoint and its targets as a row of the table."""
    properties = endpoint.get("properties") or {}
    traffic: Mapping[str, int] = properties.get("traffic") or {}
    live = {name: percent for name, percent in traffic.items() if percent and name in targets}
    return Row(
        path=endpoint["path"],
        auth_mode=str(properties.get("authMode") or "Key").lower(),
        keys=frozenset(endpoint["keys"].values()),
        targets=targets,
        live=[targets[name] for name in live],
        percents=list(live.values()),
        mirror=properties.get("mirrorTraffic") or {},
    )


def request_settings(properties: Json) -> Json:
    settings: Json = properties.get("requestSettings") or {}
    return settings


def request_timeout_s(properties: Json) -> float:
    return duration_s(request_settings(properties).get("requestTimeout")) or REQUEST_TIMEOUT_S


def instance_count(deployment: Json) -> int:
    return max(1, int((deployment.get("sku") or {}).get("capacity") or 1))


def token_audience(path: str) -> str:
    """The audience of tokens made for one endpoint (authentication mode AMLToken)."""
    return f"urn:azureml:endpoint:{path}"
