"""What Azure refuses in the body of a deployment; pure."""

from collections.abc import Mapping
from typing import Any

from taxiops.emulator.state.durations import duration_s

Json = dict[str, Any]
# Limits of managed online deployments.
LONGEST_REQUEST_S = 180.0
MOST_INSTANCES = 20
PROBES = ("livenessProbe", "readinessProbe")


class BadDeployment(ValueError):
    """A deployment that Azure refuses; the text says why."""


def checked_deployment(body: Mapping[str, Any]) -> Json:
    """The document to store for a PUT's body. Raises BadDeployment."""
    properties = mapping(body.get("properties"), "properties")
    if not properties:
        raise BadDeployment("The body has no properties.")
    check_properties(properties)
    sku = mapping(body.get("sku"), "sku")
    return {
        "location": body.get("location"),
        "tags": mapping(body.get("tags"), "tags"),
        "sku": {**sku, "name": sku.get("name") or "Default", "capacity": capacity(sku)},
        "kind": body.get("kind"),
        "properties": properties,
    }


def check_properties(properties: Json) -> None:
    for name in ("environmentVariables", "properties", "tags"):
        mapping(properties.get(name), name)
    code = mapping(properties.get("codeConfiguration"), "codeConfiguration")
    for where, name in ((properties, "model"), (code, "codeId"), (code, "scoringScript")):
        if not isinstance(where.get(name), str | None):
            raise BadDeployment(f"{name} must be text.")
    settings = mapping(properties.get("requestSettings"), "requestSettings")
    whole(settings.get("maxConcurrentRequestsPerInstance"), "maxConcurrentRequestsPerInstance")
    timeout_s = duration(settings.get("requestTimeout"), "requestTimeout")
    if timeout_s is not None and not 0 < timeout_s <= LONGEST_REQUEST_S:
        raise BadDeployment(f"requestTimeout must be at most {LONGEST_REQUEST_S:.0f} s.")
    for name in PROBES:
        probe = mapping(properties.get(name), name)
        whole(probe.get("failureThreshold"), f"{name}.failureThreshold")
        for field in ("initialDelay", "period", "timeout"):
            duration(probe.get(field), f"{name}.{field}")


def capacity(sku: Mapping[str, Any]) -> int:
    """The number of instances."""
    count = whole(sku.get("capacity"), "sku.capacity")
    if count is not None and count > MOST_INSTANCES:
        raise BadDeployment(f"sku.capacity must be at most {MOST_INSTANCES}.")
    return count or 1


def mapping(value: object, name: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadDeployment(f"{name} must be an object.")
    return value


def whole(value: object, name: str) -> int | None:
    """A positive whole number, or None when absent."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadDeployment(f"{name} must be a positive whole number.")
    return value


def duration(value: object, name: str) -> float | None:
    """Seconds, or None when absent."""
    if value is None:
        return None
    seconds = duration_s(value)
    if seconds is None:
        raise BadDeployment(f"{name} must be an ISO 8601 duration such as PT5S.")
    return seconds


def container_of(properties: Mapping[str, Any]) -> Json:
    """The part of a deployment that its containers run on: another one means new containers."""
    names = ("codeConfiguration", "model", "environmentId", "environmentVariables")
    settings = properties.get("requestSettings") or {}
    parts = {name: properties.get(name) for name in names}
    return {**parts, "requestTimeout": settings.get("requestTimeout")}
