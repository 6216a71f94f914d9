"""Endpoints and slots as values, made from what the SDK gives; asks for nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taxiops.cloud.words import plain_word


@dataclass(frozen=True)
class SlotView:
    """A deployment as the service shows it. `state`: provisioning state, such as Succeeded."""

    name: str
    model: str
    state: str
    tags: Mapping[str, str]
    instance_type: str
    instance_count: int
    created_at: str

    @property
    def is_healthy(self) -> bool:
        return self.state.lower() == "succeeded"


@dataclass(frozen=True)
class EndpointView:
    """An endpoint as the service shows it. traffic and mirror: slot -> percent, zeros included."""

    name: str
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]
    state: str
    scoring_uri: str
    auth_mode: str
    slots: Mapping[str, SlotView] = field(default_factory=dict)

    @property
    def live_traffic(self) -> dict[str, int]:
        """The slots that get requests."""
        return {slot: percent for slot, percent in self.traffic.items() if percent}


@dataclass(frozen=True)
class SlotSpec:
    """A deployment to create. `model` is a registry reference; `code` the folder to upload."""

    name: str
    model: str
    code: Path
    scoring_script: str
    image: str
    conda_file: Path
    variables: Mapping[str, str]
    tags: Mapping[str, str]
    instance_type: str
    instance_count: int
    request_timeout_ms: int
    max_concurrent_requests: int


def slot_view(deployment: Any) -> SlotView:  # noqa: ANN401 - the SDK has no types
    properties = deployment.properties or {}
    return SlotView(
        name=str(deployment.name).lower(),
        model=str(deployment.model or ""),
        state=plain_word(deployment.provisioning_state),
        tags={str(key): str(value) for key, value in (deployment.tags or {}).items()},
        instance_type=str(deployment.instance_type or ""),
        instance_count=int(deployment.instance_count or 0),
        created_at=str(properties.get("createdAt", "")),
    )


def endpoint_view(endpoint: Any, slots: Mapping[str, SlotView]) -> EndpointView:  # noqa: ANN401
    traffic = whole_percents(endpoint.traffic)
    return EndpointView(
        name=str(endpoint.name),
        traffic={**dict.fromkeys(slots, 0), **traffic},
        mirror=whole_percents(endpoint.mirror_traffic),
        tags={str(key): str(value) for key, value in (endpoint.tags or {}).items()},
        state=plain_word(endpoint.provisioning_state),
        scoring_uri=str(endpoint.scoring_uri or ""),
        auth_mode=str(endpoint.auth_mode or ""),
        slots=slots,
    )


def whole_percents(traffic: Mapping[str, Any] | None) -> dict[str, int]:
    return {str(slot).lower(): int(percent) for slot, percent in (traffic or {}).items()}


def nonzero(shares: Mapping[str, int]) -> dict[str, int]:
    return {slot.lower(): percent for slot, percent in shares.items() if percent}
