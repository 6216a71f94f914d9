"""`taxiops release`: the whole chain, each step journalled, resumed where it stopped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taxiops.config import DEV, PROD, Settings
from taxiops.domain.outcome_files import parse_promotion
from taxiops.errors import EvidenceError, Restored, StepFailed, TaxiopsError, UsageError
from taxiops.workflows.as_job.end_to_end import follow_end_to_end, submit_end_to_end
from taxiops.workflows.as_job.rollout import deploy_in_job
from taxiops.workflows.compare import CompareOptions, compare
from taxiops.workflows.decide_gate import decide_gate
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    Progress,
    now,
    read_document,
    write_document,
)
from taxiops.workflows.endpoint_test import check_endpoint
from taxiops.workflows.evidence.ledger import actor
from taxiops.workflows.evidence.model_events import note_verdict
from taxiops.workflows.promote import PROMOTION, promote
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.shift_traffic import promote_traffic
from taxiops.workflows.unit_tests import run_unit_tests

STEPS = (
    "test",
    "compare",
    "gate",
    "promote",
    "deploy-dev",
    "test-dev",
    "traffic-dev",
    "deploy-prod",
    "test-prod",
    "traffic-prod",
)
# What one job does with `as_job`.
END_TO_END, PROD_STEPS = STEPS[1:7], STEPS[7:]
PIPELINE = Path("pipelines/integration-compare-pipeline.yaml")
JOURNAL = "release.json"
RUNNING, STOPPED, REFUSED, FINISHED = "running", "stopped", "refused", "finished"


@dataclass(frozen=True)
class ReleaseOptions:
    """Which part of the chain (None: from where it stopped, to the end) and what to train on."""

    from_step: str | None = None
    until_step: str | None = None
    data: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    artifact_suffix: str = ""
    as_job: bool = False


@dataclass(frozen=True)
class ReleaseResult:
    """The steps that are done, this time or before."""

    steps: tuple[Mapping[str, str], ...]
    status: str
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "steps": [dict(step) for step in self.steps],
            "next_command": self.next_command,
        }


@dataclass
class Chain:
    """A release under way: its settings, options and journal."""

    settings: Settings
    options: ReleaseOptions
    progress: Progress
    journal: dict[str, Any]

    def save(self, status: str) -> None:
        self.journal["status"] = status
        write_document(self.settings.output / JOURNAL, self.journal)

    def within(self, env: str) -> Settings:
        """The settings with another environment selected."""
        return replace(self.settings, env=env)


def release(settings: Settings, options: ReleaseOptions, progress: Progress) -> ReleaseResult:
    """Run the steps from where the last release stopped, or from `from_step`, to the end.

    A finished or refused release, or one of other data or inputs, is not resumed. Raises
    EvidenceError when the gate refuses, and what its steps raise; the next call resumes.
    """
    journal, first = opened(settings, options, progress)
    last = STEPS.index(options.until_step) if options.until_step else len(STEPS) - 1
    check_whole_jobs(options, last)
    if first > last:
        raise UsageError(
            f"Nothing lies between {STEPS[min(first, len(STEPS) - 1)]} and {STEPS[last]}.",
            hint="taxiops release --from test",
            code="release-range",
        )
    chain = Chain(settings, options, progress, journal)
    chain.save(RUNNING)
    at = first
    while at <= last:
        act, together = act_of(chain, at, last)
        carry_out(chain, at, act, together)
        at += together
    finished = last == len(STEPS) - 1
    chain.save(FINISHED if finished else STOPPED)
    command = f"taxiops traffic show --env {PROD}" if finished else "taxiops release"
    return ReleaseResult(tuple(journal["steps"]), journal["status"], command)


def check_whole_jobs(options: ReleaseOptions, last: int) -> None:
    """Raises UsageError when the last step lies in the midst of what one job does."""
    inside = {*END_TO_END[3:-1], *PROD_STEPS[:-1]}
    if options.as_job and STEPS[last] in inside:
        raise UsageError(
            f"--until {STEPS[last]}: with --as-job one job does that and what follows.",
            hint="--until traffic-dev, or --until traffic-prod",
            code="release-range",
        )


def opened(
    settings: Settings, options: ReleaseOptions, progress: Progress
) -> tuple[dict[str, Any], int]:
    """The journal and the position of the first step to do."""
    former = read_journal(settings)
    fresh = {
        "schema_version": SCHEMA_VERSION,
        "status": RUNNING,
        "options": inputs_of(options),
        "started_at": now(),
        "actor": actor(),
        "job": "",
        "steps": [],
    }
    if options.from_step is not None:
        first = STEPS.index(options.from_step)
        done = former["steps"] if former else []
        job = former["job"] if former and first > STEPS.index("compare") else ""
        kept = [step for step in done if STEPS.index(step["step"]) < first]
        return {**fresh, "steps": kept, "job": job}, first
    if former is None or former["status"] in (REFUSED, FINISHED):
        return fresh, 0
    if former["options"] != fresh["options"]:
        progress("the last release had other data or inputs; starting afresh")
        return fresh, 0
    done = {step["step"] for step in former["steps"]}
    first = next((at for at, step in enumerate(STEPS) if step not in done), len(STEPS))
    if first:
        progress(f"resuming the release of {former['started_at']} at {STEPS[first]}")
    return former, first


def inputs_of(options: ReleaseOptions) -> dict[str, Any]:
    return {
        "data": options.data,
        "overrides": dict(options.overrides),
        "artifact_suffix": options.artifact_suffix,
        "as_job": options.as_job,
    }


def read_journal(settings: Settings) -> dict[str, Any] | None:
    """The last release's journal; None when there is none or it is damaged."""
    try:
        document = read_document(settings.output / JOURNAL, "release journal", "taxiops release")
    except TaxiopsError:
        return None
    steps = document.get("steps")
    known = isinstance(steps, list) and all(
        isinstance(step, dict) and step.get("step") in STEPS for step in steps
    )
    texts = all(isinstance(document.get(name), str) for name in ("status", "job", "started_at"))
    return document if known and texts and "options" in document else None


Act = Callable[["Chain", str], str]


def act_of(chain: Chain, at: int, last: int) -> tuple[Act, int]:
    """What does the step, and how many steps that is: with `as_job`, one job does several."""
    step = STEPS[at]
    name, _, env = step.partition("-")
    acts: dict[str, Act] = {
        "test": test_slot if env else test_code,
        "compare": compare_models,
        "gate": pass_gate,
        "promote": promote_model,
        "deploy": deploy_model,
        "traffic": shift,
    }
    if chain.options.as_job and step == "compare" and STEPS[last] in END_TO_END[-1:] + PROD_STEPS:
        return end_to_end_in_job, len(END_TO_END)
    if chain.options.as_job and name == "deploy":
        return roll_out_in_job, len(PROD_STEPS)
    return acts[name], 1


def carry_out(chain: Chain, at: int, act: Act, together: int) -> None:
    """Journalled when it is done; a failure leaves the journal at the step before."""
    steps = STEPS[at : at + together]
    chain.progress(f"[{at + together}/{len(STEPS)}] {', '.join(steps)}")
    try:
        detail = act(chain, steps[0].partition("-")[2])
    except BaseException:
        if chain.journal["status"] == RUNNING:
            chain.save(STOPPED)
        raise
    chain.journal["steps"] += [{"step": step, "at": now(), "detail": detail} for step in steps]
    chain.save(RUNNING)


def end_to_end_in_job(chain: Chain, env: str) -> str:  # noqa: ARG001 - one shape for every step
    """All of Dev in one job; a second call re-attaches."""
    settings = chain.within(DEV)
    if not chain.journal["job"]:
        options = compare_options(chain)
        chain.journal["job"] = submit_end_to_end(settings, options, chain.progress)
        chain.save(RUNNING)
    try:
        result = follow_end_to_end(settings, chain.journal["job"], chain.progress)
    except TaxiopsError as error:
        chain.journal["job"] = ""
        if isinstance(error, EvidenceError):
            chain.save(REFUSED)
        raise
    return f"job {result.job_name}: slot {result.slot} of {result.endpoint}"


def roll_out_in_job(chain: Chain, env: str) -> str:
    options = DeployOptions(model_version=promoted_version(chain.settings))
    suffix = chain.options.artifact_suffix
    result = deploy_in_job(chain.within(env), options, suffix, chain.progress)
    return f"job {result.job_name}: slot {result.slot} of {result.endpoint}"


def test_code(chain: Chain, env: str) -> str:  # noqa: ARG001 - one shape for every step
    result = run_unit_tests(chain.settings, (), chain.progress)
    return f"{', '.join(result.folders)} passed"


def compare_models(chain: Chain, env: str) -> str:  # noqa: ARG001 - one shape for every step
    """Submit, note the job's name, then wait: a second call re-attaches, and trains only once."""
    settings = chain.within(DEV)
    options = compare_options(chain)
    if not chain.journal["job"]:
        chain.journal["job"] = compare(settings, options, chain.progress).job_name
        chain.save(RUNNING)
    attached = replace(options, job=chain.journal["job"], wait=True)
    try:
        result = compare(settings, attached, chain.progress)
    except (StepFailed, EvidenceError):
        chain.journal["job"] = ""
        raise
    return f"job {result.job_name}: {result.verdict}"


def compare_options(chain: Chain) -> CompareOptions:
    return CompareOptions(
        pipeline=PIPELINE,
        data=chain.options.data,
        overrides=chain.options.overrides,
        artifact_suffix=chain.options.artifact_suffix,
        wait=False,
    )


def pass_gate(chain: Chain, env: str) -> str:  # noqa: ARG001 - one shape for every step
    result = decide_gate(chain.settings, None, False, "", actor(), chain.progress)
    if not result.passed:
        chain.save(REFUSED)
        note_verdict(connect_to(chain.settings, DEV), result.written, chain.progress)
        raise EvidenceError(
            f"The gate refused the candidate: {result.verdict}.",
            why=" ".join(result.reasons),
            hint="Both endpoints are untouched. taxiops compare, with more data or other inputs",
            code="gate-refused",
        )
    return result.verdict


def promote_model(chain: Chain, env: str) -> str:  # noqa: ARG001 - one shape for every step
    result = promote(chain.within(DEV), None, chain.progress)
    return f"version {result.version}"


def deploy_model(chain: Chain, env: str) -> str:
    options = DeployOptions(model_version=promoted_version(chain.settings))
    result = deploy(chain.within(env), options, chain.progress)
    return f"slot {result.slot} of {result.endpoint}"


def promoted_version(settings: Settings) -> str | None:
    """The version that this chain promoted; None: the newest whose evidence verifies."""
    try:
        document = read_document(settings.output / PROMOTION, "promotion", "taxiops promote")
        promotion = parse_promotion(document)
    except TaxiopsError:
        return None
    ours = (settings.registry, settings.model_name)
    return promotion.version if (promotion.registry, promotion.name) == ours else None


def test_slot(chain: Chain, env: str) -> str:
    """A slot that fails its test is rolled back at once."""
    settings = chain.within(env)
    result = check_endpoint(settings, None, None, chain.progress)
    if result.passed:
        return f"slot {result.slot}: {len(result.checks)} checks passed"
    bad = next(check for check in result.checks if not check.passed)
    undone = roll_back(settings, None, chain.progress)
    what = f"Slot {result.slot} of {result.endpoint} failed its test: {bad.name}: {bad.detail}."
    raise Restored(
        f"{what} {undone.note}",
        why=f"To blame: {bad.blame.value}.",
        hint=f"See {result.report}.",
        code="slot-test-failed",
    )


def shift(chain: Chain, env: str) -> str:
    result = promote_traffic(chain.within(env), None, 100, chain.progress)
    return f"slot {result.slot}: {result.traffic.get(result.slot, 0)} percent"
