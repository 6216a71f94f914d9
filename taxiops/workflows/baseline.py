"""What a candidate must beat: what serves, the newest promoted version, or the naive fare."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.cloud import endpoints, models
from taxiops.cloud.client import Connection
from taxiops.config import Settings
from taxiops.errors import EvidenceError
from taxiops.workflows import registry
from taxiops.workflows.documents import Progress

MODEL_ID = re.compile(r"/models/([^/]+)/versions/([^/]+)$")


@dataclass(frozen=True)
class Baseline:
    """What the candidate must beat. reference: how a job names it; empty for the naive model."""

    kind: str
    name: str = ""
    version: str = ""
    reference: str = ""


def choose_baseline(connection: Connection, progress: Progress) -> Baseline:
    """What serves (the largest share), else the newest promoted version, else the naive model."""
    settings = connection.settings
    known = registry.list_promoted(connection)
    endpoint = endpoints.read_endpoint(connection)
    live = dict(endpoint.live_traffic) if endpoint else {}
    if endpoint and live:
        slot = max(live, key=lambda name: live[name])
        match = MODEL_ID.search(endpoint.slots[slot].model) if slot in endpoint.slots else None
        serving = [v for v in known if match and (v.name, v.version) == match.groups()]
        if serving:
            return chosen(settings, "serving", serving[0], f"serving in slot {slot}", progress)
        progress(f"slot {slot} serves no version of registry {settings.registry}; passing it over")
    newest = registry.newest_verified(known, progress)
    if newest is not None:
        return chosen(settings, "registry", newest, "the newest promoted version", progress)
    progress("baseline: the naive fare model, as nothing is promoted yet")
    return Baseline("naive")


def chosen(
    settings: Settings, kind: str, version: models.ModelVersion, why: str, progress: Progress
) -> Baseline:
    progress(f"baseline: {version.name} version {version.version}, {why}")
    reference = models.reference(settings.registry, version.name, version.version)
    return Baseline(kind, version.name, version.version, reference)


def check_baseline(connection: Connection, measured: Mapping[str, Any], progress: Progress) -> None:
    """What the candidate was measured against must still be what it has to beat.

    Raises EvidenceError when something else serves, or was promoted, since the comparison.
    """
    present = choose_baseline(connection, progress)
    if present.kind == "naive" or (present.name, present.version) == (
        measured["name"],
        measured["version"],
    ):
        return
    raise EvidenceError(
        f"comparison.json: baseline.version: the candidate was measured against "
        f"{measured['name']} {measured['version']}".rstrip()
        + f", but now it has to beat version {present.version}.",
        why="Another version was put into service or promoted since, so the report is stale.",
        hint="taxiops compare",
        code="evidence-stale",
        details={"field": "baseline.version"},
    )
