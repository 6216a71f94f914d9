"""`taxiops release --as-job`, its Dev half: one pipeline from the trips to the moved traffic."""

import shutil
import tempfile
from pathlib import Path

from taxiops.cloud import jobs
from taxiops.cloud.client import Connection
from taxiops.config import DEV, Settings
from taxiops.errors import EvidenceError, TaxiopsError
from taxiops.workflows import pipelines, submission
from taxiops.workflows.as_job.rollout import JobRolloutResult, follow, rollout_inputs
from taxiops.workflows.compare import CompareOptions, completed, fetch_report, local_data, render
from taxiops.workflows.decide_gate import VERDICT, decide_gate
from taxiops.workflows.deploy import DeployOptions
from taxiops.workflows.documents import Progress
from taxiops.workflows.promote import PROMOTION
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.source_code import require_file

PIPELINE = "pipelines/dev-e2e-pipeline.yaml"


def submit_end_to_end(settings: Settings, options: CompareOptions, progress: Progress) -> str:
    """Submit the pipeline with data, baseline, policy and settings filled in; gives the job."""
    submission.check_suffix(options.artifact_suffix)
    path = require_file(settings.root, PIPELINE)
    document = pipelines.read_yaml(path)
    pipelines.check_pipeline(document, path)
    document = pipelines.with_inputs(document, options.overrides, path)
    data = local_data(options.data)
    connection = connect_to(settings, DEV)
    document = completed(connection, document, options, data, progress)
    inputs = rollout_inputs(connection, DeployOptions(), options.artifact_suffix)
    document = pipelines.with_inputs(document, inputs, path)
    job = submission.submit(connection, document, path, options.artifact_suffix)
    progress(f"submitted job {job.name}")
    return job.name


def follow_end_to_end(settings: Settings, job: str, progress: Progress) -> JobRolloutResult:
    """Wait for the job and fetch report, verdict, promotion and deployment state.

    Raises EvidenceError when the gate refused in the job, else what the failing step raised.
    """
    connection = connect_to(settings, DEV)
    try:
        result = follow(connection, job, progress)
    except EvidenceError:
        raise
    except TaxiopsError:
        if refused := refusal(connection, job, progress):
            raise refused from None
        raise
    render(fetch_report(connection, job), progress)
    fetch_promotion(connection, job)
    return result


def refusal(connection: Connection, job: str, progress: Progress) -> EvidenceError | None:
    """The gate's refusal, decided again here from the job's report; None when it was not that."""
    try:
        report = fetch_report(connection, job)
    except TaxiopsError:
        return None
    result = decide_gate(connection.settings, report, False, "", "", progress)
    if result.passed:
        return None
    return EvidenceError(
        f"The gate refused the candidate of job {job}: {result.verdict}.",
        why=" ".join(result.reasons),
        hint="The endpoint is untouched. taxiops compare, with more data or other inputs",
        code="gate-refused",
    )


def fetch_promotion(connection: Connection, job: str) -> None:
    """promotion.json and verdict.json where `taxiops promote` and `taxiops gate` leave them."""
    output = connection.settings.output
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        found = jobs.download_output(connection, job, "promotion", Path(scratch))
        for name in (PROMOTION, VERDICT):
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found / name.name, output / name)
