"""What a deployment gets and what its test demands: [tool.taxiops.rollout]; decides nothing."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """The rollout table with its defaults. Latency is the client's; ratios are to the incumbent.

    max_mae_increase_percent: how much worse than offline the served accuracy may be.
    live_requests: how many requests the traffic rules must have sent to the slot under test, by
    live_connections at once. bake_s: how long each share is watched before the next.
    """

    instance_type: str = "Standard_DS3_v2"
    instance_count: int = 1
    request_timeout_ms: int = 30_000
    max_concurrent_requests: int = 10
    requests: int = 40
    live_requests: int = 20
    live_connections: int = 4
    bake_s: float = 0.0
    golden_tolerance_usd: float = 1e-6
    max_mae_increase_percent: float = 0.1
    max_error_percent: float = 0.0
    max_p95_ms: float = 2_000.0
    max_p95_ratio: float = 3.0
    p95_floor_ms: float = 100.0
    provision_deadline_s: float = 3_600.0


def parse_limits(table: Mapping[str, Any]) -> Limits:
    """The table as limits. Raises UsageError for an unknown key or a value of the wrong kind."""
    fields = {field.name: field for field in dataclasses.fields(Limits)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        where = f"[tool.taxiops.rollout] {name}"
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {sorted(fields)}."
            raise UsageError(f"{where}: unknown key.", hint=hint, code="config-unknown-key")
        values[name] = checked(value, type(fields[name].default), where)
    return Limits(**values)


def checked(value: object, kind: type, where: str) -> object:
    """The value as the kind of its default; numbers are never negative."""
    if kind is str and isinstance(value, str) and value:
        return value
    if kind is not str and isinstance(value, int | float) and not isinstance(value, bool):
        whole = kind is not int or isinstance(value, int)
        if whole and 0 <= value < float("inf"):
            return kind(value)
    words = {str: "text", int: "a whole number, 0 or more", float: "a number, 0 or more"}
    raise UsageError(f"{where}: must be {words[kind]}.", code="config-invalid")
