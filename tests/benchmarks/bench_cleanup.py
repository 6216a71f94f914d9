"""What planning the clean-up of 10,000 versions costs beyond listing them."""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from taxiops.cloud.views import EndpointView, SlotView
from taxiops.domain.cleanup_plan import PlanFile, parse_cleanup_plan
from taxiops.domain.retention import (
    CleanupPlan,
    ModelVersion,
    RetentionPolicy,
    plan_cleanup,
    protections,
)
from taxiops.workflows.in_use import uses_of_endpoint

VERSIONS, ENDPOINTS, ROUNDS = 10_000, 200, 5
MOST_S = 1.0
MODEL = "taxi-class-dev"
DIGEST = "sha256:" + "0" * 64


def measure() -> dict[str, Any]:
    """Median seconds; the ratio is to reading the listing's JSON, the least that listing costs."""
    answer, endpoints = listing(), [endpoint(at) for at in range(ENDPOINTS)]
    versions = [
        ModelVersion(each["name"], each["properties"]["tags"], each["properties"]["modelUri"])
        for each in json.loads(answer)["value"]
    ]

    def planned() -> CleanupPlan:
        uses = (use for each in endpoints for use in uses_of_endpoint("dev", each))
        return plan_cleanup(versions, protections(MODEL, uses), RetentionPolicy(5))

    plan = planned()
    assert (len(plan.decisions), len(plan.to_delete)) == (VERSIONS, VERSIONS - 2 * ENDPOINTS - 5)
    file = PlanFile(MODEL, "registry r", 5, plan, "2026-01-02T03:04:05Z", "ada")
    read_s = median_s(lambda: json.loads(answer))
    plan_s = median_s(planned)
    file_s = median_s(lambda: parse_cleanup_plan(json.loads(json.dumps(file.document()))))
    return {
        "versions": VERSIONS,
        "plan_s": plan_s,
        "plan_file_written_and_read_s": file_s,
        "ratio_to_reading_the_listing": (plan_s + file_s) / read_s,
        "limit_s": MOST_S,
        "within_limit": plan_s + file_s < MOST_S,
    }


def listing() -> str:
    """What the service answers, with the tags that a promotion gives."""
    tags = {f"tag_{at}": DIGEST for at in range(12)}
    uri = "https://account.blob.core.windows.net/container/path/model"
    rows = [
        {"name": str(at), "properties": {"tags": tags, "modelUri": f"{uri}/{at}"}}
        for at in range(1, VERSIONS + 1)
    ]
    return json.dumps({"value": rows})


def endpoint(at: int) -> EndpointView:
    """One with two slots, each of a version of its own."""
    slots = {
        slot: SlotView(slot, f"azureml:{MODEL}:{version}", "Succeeded", {}, "", 1, "")
        for slot, version in (("blue", 2 * at + 1), ("green", 2 * at + 2))
    }
    return EndpointView(f"e{at}", {"blue": 100}, {}, {}, "Succeeded", "", "key", slots)


def median_s(act: Callable[[], object]) -> float:
    def once() -> float:
        begin = time.perf_counter()
        act()
        return time.perf_counter() - begin

    return statistics.median(once() for _ in range(ROUNDS))
