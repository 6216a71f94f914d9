"""`taxiops demo`: the whole story in three acts on the emulator, checked as it goes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.failures import azure_errors
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.rollout import live_only
from taxiops.errors import EvidenceError, Interrupted, StepFailed, UsageError
from taxiops.workflows import emulator
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now, write_document
from taxiops.workflows.release import ReleaseOptions, release
from taxiops.workflows.rollouts.rollout import connect_to

# Beside the emulator's own files: a reset takes it along.
MARKER = "demo.json"
# 20,000 generated trips train in a second; few trees, many trees, and many that learn too slowly.
ROWS = "20000"
FIRST = {"rows": ROWS, "max_iter": "30"}
BETTER = {"rows": ROWS, "max_iter": "150"}
NO_BETTER = {"rows": ROWS, "max_iter": "60", "learning_rate": "0.05"}
REQUESTS = 300
TRIP = {
    "pickup_datetime": "2016-01-06 12:09:13",
    "passenger_count": 1,
    "trip_distance_miles": 2.1,
    "rate_code": 1,
}


@dataclass(frozen=True)
class DemoResult:
    """What happened, what serves now, and what to try. story: lines for people."""

    acts: tuple[Mapping[str, Any], ...]
    serving: Mapping[str, Mapping[str, Any]]
    report: Path
    try_next: tuple[str, ...]
    stop: str
    next_command: str = "taxiops traffic show --env prod"

    @property
    def story(self) -> tuple[str, ...]:
        acts = [f"Act {at}: {act['what']}" for at, act in enumerate(self.acts, 1)]
        serving = [
            f"{env}: endpoint {facts['endpoint']}, "
            + ", ".join(
                f"{slot} {percent} % (version {facts['versions'].get(slot, '?')})"
                for slot, percent in facts["traffic"].items()
            )
            for env, facts in self.serving.items()
        ]
        rest = [f"Report: {self.report}", *(f"Try: {line}" for line in self.try_next)]
        return (*acts, *serving, *rest, f"Stop: {self.stop}")

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "acts": [dict(act) for act in self.acts],
            "serving": {env: dict(facts) for env, facts in self.serving.items()},
            "report": str(self.report),
            "try_next": list(self.try_next),
            "stop": self.stop,
            "next_command": self.next_command,
        }


def run_demo(settings: Settings, progress: Progress) -> DemoResult:
    """A first model to Prod, a better one blue/green, one that is no better refused.

    Needs an emulator that holds nothing but an earlier demo. Raises UsageError when it holds more,
    StepFailed when the story does not come true, Interrupted when the operator stops it: then the
    emulator is stopped too, so that no process is left.
    """
    emulator.require_local(settings)
    try:
        prepare(settings, progress)
        acts = (
            first_act(settings, progress),
            second_act(settings, progress),
            third_act(settings, progress),
        )
    except (KeyboardInterrupt, Interrupted) as interruption:
        emulator.stop(settings)
        raise Interrupted(
            "The demo was interrupted; its emulator is stopped.", hint="taxiops demo"
        ) from interruption
    return DemoResult(
        acts=acts,
        serving={env: serving(settings, env) for env in (DEV, PROD)},
        report=settings.output / "compare" / "report.html",
        try_next=(
            "taxiops traffic rollback --env dev",
            "taxiops compare --set max_iter=300",
            "taxiops compare --data FILE.csv",
        ),
        stop="taxiops emulator stop",
    )


def prepare(settings: Settings, progress: Progress) -> None:
    """An empty emulator. One that an earlier demo filled is reset; anybody else's is not."""
    marker = settings.emulator_state / MARKER
    if holds_anything(settings):
        if not marker.is_file():
            raise UsageError(
                "The emulator holds jobs or endpoints that no demo made.",
                hint="taxiops emulator reset, or another TAXIOPS_EMULATOR_STATE for the demo",
                code="emulator-in-use",
            )
        progress("forgetting the last demo")
        emulator.reset(settings)
        emulator.start(settings)
    (settings.output / "release.json").unlink(missing_ok=True)
    write_document(marker, {"schema_version": SCHEMA_VERSION, "at": now()})


def holds_anything(settings: Settings) -> bool:
    """Whether either workspace has a job or an endpoint."""
    for env in (DEV, PROD):
        workspace = connect_to(settings, env).workspace
        with azure_errors(f"Looking into workspace {workspace.workspace_name}"):
            if next(iter(workspace.jobs.list()), None) is not None:
                return True
            if next(iter(workspace.online_endpoints.list()), None) is not None:
                return True
    return False


def first_act(settings: Settings, progress: Progress) -> dict[str, Any]:
    progress("ACT 1: a first model goes to Prod")
    release(settings, ReleaseOptions(from_step="compare", overrides=FIRST), progress)
    return {"what": "a first model went to Dev and Prod", "serving": serving(settings, PROD)}


def second_act(settings: Settings, progress: Progress) -> dict[str, Any]:
    """The better model; the release stops at each canary, so that its share can be seen."""
    progress("ACT 2: a better model goes blue/green through 30 % to 100 %")
    options = ReleaseOptions(from_step="compare", overrides=BETTER)
    seen = {}
    for env in (DEV, PROD):
        release(settings, replace(options, until_step=f"deploy-{env}"), progress)
        seen[env] = observed(settings, env, progress)
        options = replace(options, from_step=f"test-{env}")
    release(settings, options, progress)
    after = observed(settings, PROD, progress)
    if len(after) != 1:
        raise StepFailed(f"After the promotion Prod was served by {sorted(after)}.")
    what = "a better model took 30 % in Dev and Prod, passed its tests there, and took 100 %"
    return {"what": what, "canary": seen, "serving": serving(settings, PROD)}


def observed(settings: Settings, env: str, progress: Progress) -> dict[str, int]:
    """Which slots answer ordinary requests, counted; raises StepFailed when one fails."""
    connection = connect_to(settings, env)
    endpoint = endpoints.require_endpoint(connection)
    counts: Counter[str] = Counter()
    with endpoints.open_scorer(connection, endpoint) as scorer:
        for _ in range(REQUESTS):
            answer = scorer.score([TRIP])
            if not answer.is_good:
                raise StepFailed(f"A request to {env} failed: HTTP {answer.status} {answer.detail}")
            counts[str(answer.document.get("deployment"))] += 1
    progress(f"{env}: {REQUESTS} requests answered by {dict(counts)}")
    return dict(counts)


def third_act(settings: Settings, progress: Progress) -> dict[str, Any]:
    """The gate must refuse, and both endpoints must be exactly as before."""
    progress("ACT 3: a model that is no better is refused")
    before = {env: serving(settings, env) for env in (DEV, PROD)}
    try:
        release(settings, ReleaseOptions(from_step="compare", overrides=NO_BETTER), progress)
    except EvidenceError as refusal:
        if refusal.code != "gate-refused":
            raise
        reason = refusal.why
    else:
        raise StepFailed("The gate let a model pass that is no better.", code="demo-gate")
    if {env: serving(settings, env) for env in (DEV, PROD)} != before:
        raise StepFailed("A refused model changed an endpoint.", code="demo-endpoints")
    return {"what": "a model that is no better was refused; nothing changed", "reason": reason}


def serving(settings: Settings, env: str) -> dict[str, Any]:
    """The endpoint of an environment in a few facts."""
    endpoint = endpoints.require_endpoint(connect_to(settings, env))
    tags = {slot: view.tags for slot, view in endpoint.slots.items()}
    return {
        "endpoint": endpoint.name,
        "traffic": live_only(endpoint.traffic),
        "versions": {slot: own.get("model_version", "") for slot, own in tags.items()},
        "digests": {slot: own.get("model_sha256", "") for slot, own in tags.items()},
    }
