"""`taxiops deploy --as-job`: the rollout as an Azure ML pipeline, followed to its outcome."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import jobs
from taxiops.cloud.client import Connection
from taxiops.config import DEV, PROD, Settings
from taxiops.errors import (
    Conflict,
    EvidenceError,
    Interrupted,
    NotAuthorised,
    NotFound,
    Restored,
    RestoreFailed,
    StepFailed,
    StillRunning,
    TaxiopsError,
    UsageError,
)
from taxiops.workflows import pipelines, registry, submission
from taxiops.workflows.as_job.settings import encode_settings
from taxiops.workflows.as_job.steps import REPORT_NAME, StepOutcome, read_outcome
from taxiops.workflows.deploy import DeployOptions
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, read_document
from taxiops.workflows.evidence.chain import check_chain
from taxiops.workflows.evidence.ledger import STATE_NAME
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.source_code import require_file

PIPELINES = {
    DEV: "pipelines/dev-deploy-validation.yaml",
    PROD: "pipelines/prod-deploy-pipeline.yaml",
}
# What the steps hand on, the last one first: the furthest that arrived tells how it ended.
HANDED_ON = ("deployment", "shifted", "tested", "deployed")
REPORT_OUTPUT = "test_report"
ERRORS: tuple[type[TaxiopsError], ...] = (
    StepFailed,
    UsageError,
    EvidenceError,
    NotAuthorised,
    NotFound,
    Restored,
    RestoreFailed,
    StillRunning,
    Conflict,
)


@dataclass(frozen=True)
class JobRolloutResult:
    """The finished pipeline and the deployment as its last step left it."""

    job_name: str
    status: str
    endpoint: str
    slot: str
    first_deployment: bool
    state_file: Path
    state: Mapping[str, Any]
    studio_url: str
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "job_name": self.job_name,
            "status": self.status,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "first_deployment": self.first_deployment,
            "state_file": str(self.state_file),
            "state": dict(self.state),
            "studio_url": self.studio_url,
            "next_command": self.next_command,
        }


def deploy_in_job(
    settings: Settings, options: DeployOptions, suffix: str, progress: Progress
) -> JobRolloutResult:
    """Submit the environment's rollout pipeline and wait: deploy, test, then traffic or rollback.

    Raises what the failing step raised: Restored when the prior state is back, and so on. When the
    pipeline ended before its own rollback could run, rolls back from here.
    """
    submission.check_suffix(suffix)
    if options.mirror_percent:
        raise UsageError(
            "--mirror cannot be had with --as-job.",
            hint="taxiops deploy --mirror 20 acts from here.",
        )
    path = require_file(settings.root, PIPELINES[settings.env])
    document = pipelines.read_yaml(path)
    pipelines.check_pipeline(document, path)
    connection = connect_to(settings)
    version = registry.choose_version(connection, options.model_version, options.commit, progress)
    if settings.env == PROD:
        check_chain(connection, version, progress)
    inputs = rollout_inputs(connection, options, suffix) | {"model_version": version.version}
    document = pipelines.with_inputs(document, inputs, path)
    document = pipelines.with_compute(document, connection.environment.compute)
    job = submission.submit(connection, document, path, suffix)
    progress(f"submitted job {job.name}")
    return follow(connection, job.name, progress)


def rollout_inputs(connection: Connection, options: DeployOptions, suffix: str) -> dict[str, str]:
    """The inputs of every pipeline with a rollout; what is not asked for keeps its default."""
    environment = connection.environment
    share = options.traffic_percent
    share = environment.traffic_percent if share is None else share
    given = {
        "deployment_name": options.slot or environment.deployment_name,
        "artifact_suffix": suffix,
        "traffic_percent": str(share),
        "settings": encode_settings(connection.settings),
    }
    return {name: value for name, value in given.items() if value}


def follow(connection: Connection, job: str, progress: Progress) -> JobRolloutResult:
    """Wait for a pipeline with a rollout, fetch what it left, and raise what failed in it."""
    try:
        jobs.wait_for_job(connection, job, progress)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"Interrupted; job {job} goes on, and rolls back by itself when it fails.",
            hint=f"taxiops traffic show --env {connection.environment.name}",
            code="interrupted",
        ) from error
    except StepFailed as error:
        raise failure_of(connection, job, error, progress) from error
    found = fetch_outcome(connection, job)
    if found is None:
        raise NotFound(f"Job {job} left no outcome.", hint="taxiops traffic show")
    return result_of(connection, job, found[1])


def failure_of(
    connection: Connection, job: str, error: StepFailed, progress: Progress
) -> TaxiopsError:
    """What the failing step said, once what served before serves again."""
    found = fetch_outcome(connection, job)
    if found is not None and found[0] == HANDED_ON[0] and found[1].failed:
        return as_error(found[1], job)
    progress(f"job {job} ended before its own rollback; rolling back from here")
    undone = roll_back(connection.settings, None, progress, job)
    if not undone.changed:
        return error
    return Restored(
        f"{error.what} The prior state is restored.",
        why=error.why,
        hint=undone.next_command,
        code=error.code,
        details=error.details,
    )


def as_error(outcome: StepOutcome, job: str) -> TaxiopsError:
    """The outcome as the error that its step raised."""
    kinds = {int(kind.exit_code): kind for kind in ERRORS}
    kind = kinds.get(outcome.exit_code, StepFailed)
    return kind(
        outcome.what or f"The {outcome.step} step of job {job} failed.",
        why=outcome.why,
        hint=outcome.hint,
        code=outcome.code or kind.default_code,
        details={"job": job, "step": outcome.step},
    )


def fetch_outcome(connection: Connection, job: str) -> tuple[str, StepOutcome] | None:
    """The furthest step's output and outcome; state file and report go to the output folder."""
    output = connection.settings.output
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        for number, name in enumerate(HANDED_ON):
            try:
                found = jobs.download_output(connection, job, name, Path(scratch) / str(number))
            except NotFound:
                continue
            env = connection.environment.name
            for folder in (output / "deploy", output / "deploy" / env):
                keep(found / STATE_NAME, folder)
            fetch_report(connection, job, Path(scratch) / "report")
            return name, read_outcome(found)
    return None


def fetch_report(connection: Connection, job: str, scratch: Path) -> None:
    """The test report, when the test came to one."""
    try:
        found = jobs.download_output(connection, job, REPORT_OUTPUT, scratch)
    except NotFound:
        return
    keep(found / REPORT_NAME, connection.settings.output / "test")


def keep(source: Path, folder: Path) -> None:
    """A file of a job in a folder of ours, when the job wrote it."""
    if source.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / source.name)


def result_of(connection: Connection, job: str, outcome: StepOutcome) -> JobRolloutResult:
    path = connection.settings.output / "deploy" / STATE_NAME
    state = read_document(path, "deployment state", "taxiops deploy")
    env = connection.environment.name
    return JobRolloutResult(
        job_name=job,
        status=outcome.status,
        endpoint=str(state.get("endpoint", "")),
        slot=str(state.get("slot", "")),
        first_deployment=state.get("first_deployment") is True,
        state_file=path,
        state=state,
        studio_url=jobs.read_job(connection, job).studio_url,
        next_command=f"taxiops traffic show --env {env}",
    )
