"""`taxiops compare`: choose the baseline, submit the pipeline, follow it, fetch its report."""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taxiops.cloud import jobs
from taxiops.cloud.client import Connection
from taxiops.cloud.jobs import JobView
from taxiops.config import Settings
from taxiops.domain.gate import parse_comparison, parse_policy
from taxiops.errors import EvidenceError, Interrupted, UsageError
from taxiops.steps.literals import encode_literal
from taxiops.workflows import pipelines, submission
from taxiops.workflows.baseline import choose_baseline
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    Progress,
    read_document,
)
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.source_code import read_revision

OUTPUT = "report"
SAMPLES = "samples.json"
REPORT = Path("metrics") / "comparison.json"
DATA_FILE_SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class CompareOptions:
    """What to run. data: a path, azureml:NAME:VERSION or a URI; job: re-attach to that one."""

    pipeline: Path
    stop_after: str | None = None
    data: str | None = None
    compute: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    artifact_suffix: str = ""
    wait: bool = True
    job: str | None = None


@dataclass(frozen=True)
class CompareResult:
    """The job and, when it was waited for, its report. improved is None while it runs."""

    job_name: str
    improved: bool | None
    verdict: str
    report: Path | None
    report_document: Mapping[str, Any] | None
    studio_url: str
    next_command: str

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "job_name": self.job_name,
            "improved": self.improved,
            "verdict": self.verdict,
            "report": str(self.report) if self.report else None,
            "metrics": (self.report_document or {}).get("metrics"),
            "studio_url": self.studio_url,
            "next_command": self.next_command,
        }


def compare(settings: Settings, options: CompareOptions, progress: Progress) -> CompareResult:
    """Run the pipeline (or re-attach to a job), fetch its report and render it; register nothing.

    Raises UsageError naming file and key for a wrong pipeline or option, StepFailed with the tail
    of the failing step's log, EvidenceError for a report that contradicts itself, Interrupted with
    the command that re-attaches.
    """
    parse_policy(settings.tables["gate"])
    submission.check_suffix(options.artifact_suffix)
    if options.job is not None:
        connection = connect_to(settings)
        job = jobs.read_job(connection, options.job)
        progress(f"job {job.name}: {job.status}")
        return followed(connection, job, progress)
    path = submission.pipeline_path(settings, options.pipeline)
    document = pipelines.read_yaml(path)
    pipelines.check_pipeline(document, path)
    document = pipelines.with_inputs(document, options.overrides, path)
    if options.stop_after:
        document = pipelines.stopped_after(document, options.stop_after)
    pipelines.check_registers_nothing(document, path)
    data = local_data(options.data)
    connection = connect_to(settings)
    document = completed(connection, document, options, data, progress)
    job = submission.submit(connection, document, path, options.artifact_suffix)
    progress(f"submitted job {job.name}")
    if not options.wait:
        again = f"taxiops compare --job {job.name}"
        return CompareResult(job.name, None, "", None, None, job.studio_url, again)
    if pipelines.output_job(document, OUTPUT) is None:
        return without_report(connection, job, progress)
    return followed(connection, job, progress)


def completed(
    connection: Connection,
    document: pipelines.Document,
    options: CompareOptions,
    data: pipelines.Document | None,
    progress: Progress,
) -> pipelines.Document:
    """The pipeline with compute, data, baseline, policy and revision filled in."""
    settings = connection.settings
    revision = read_revision(settings.root)
    compute = options.compute or connection.environment.compute
    document = pipelines.with_compute(document, compute)
    if options.data:
        bound = data or asset_data(connection, options.data)
        port = "trips_file" if bound["type"] == "uri_file" else "trips"
        document = pipelines.with_bound_input(document, pipelines.PREPARE, port, bound)
    facts = {"commit": revision.commit, "branch": revision.branch}
    if pipelines.COMPARE in document["jobs"]:
        baseline = choose_baseline(connection, progress)
        if baseline.reference:
            model = {"type": "custom_model", "path": baseline.reference}
            document = pipelines.with_bound_input(
                document, pipelines.COMPARE, "baseline_model", model
            )
        facts |= {
            "baseline_kind": baseline.kind,
            "baseline_name": baseline.name or "unknown",
            "baseline_version": baseline.version or "unknown",
            "policy": json.dumps(dict(settings.tables["gate"]), sort_keys=True),
        }
    encoded = {name: encode_literal(text) for name, text in facts.items()}
    inputs = document.get("inputs") or {}
    return {**document, "inputs": {**inputs, **pipelines.known_inputs(document, encoded)}}


def local_data(data: str | None) -> pipelines.Document | None:
    """A file or folder of this machine as a job input; None when it is no path."""
    if data is None or data.startswith("azureml:") or "://" in data:
        return None
    path = Path(data).expanduser()
    if not path.exists():
        raise UsageError(
            f"--data {data}: no such file or folder.",
            hint="Give a path, azureml:NAME:VERSION or a URI; without --data trips are generated.",
            code="data-missing",
        )
    check_trips(path)
    kind = "uri_file" if path.is_file() else "uri_folder"
    return {"type": kind, "path": str(path.resolve())}


def check_trips(path: Path) -> None:
    """Refuse before the upload what the prepare step would refuse after it; reads headers only.

    Raises UsageError naming the file and column.
    """
    from taxiops.steps.layouts import match_layout
    from taxiops.steps.trips import column_names, readable, shown_name, trip_files

    for file in trip_files(path)[0]:
        name = shown_name(path, file)
        with readable(name):
            match_layout(name, column_names(file, name))


def asset_data(connection: Connection, data: str) -> pipelines.Document:
    """A registered asset or a URI as a job input."""
    match = re.fullmatch(r"azureml:([^:/]+):([^:/]+)", data)
    if match:
        return {"type": jobs.data_type(connection, *match.groups()), "path": data}
    is_file = data.lower().endswith(DATA_FILE_SUFFIXES)
    return {"type": "uri_file" if is_file else "uri_folder", "path": data}


def without_report(connection: Connection, job: JobView, progress: Progress) -> CompareResult:
    """The finished job of a pipeline that was stopped before it compares."""
    waited(connection, job.name, progress)
    again = "taxiops compare"
    return CompareResult(job.name, None, "", None, None, job.studio_url, again)


def waited(connection: Connection, job: str, progress: Progress) -> None:
    """Until the job is over; an impatient operator is told how to come back to it."""
    try:
        jobs.wait_for_job(connection, job, progress)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"Interrupted; job {job} goes on.",
            hint=f"taxiops compare --job {job}",
            code="interrupted",
        ) from error


def followed(connection: Connection, job: JobView, progress: Progress) -> CompareResult:
    """The finished job's report, downloaded, checked and rendered."""
    waited(connection, job.name, progress)
    report = fetch_report(connection, job.name)
    document = read_report(report)
    if document["job"]["name"] != job.name:
        raise EvidenceError(
            f"The report of job {job.name} was made in job {document['job']['name']}.",
            why="A step was reused from another job.",
            hint="taxiops compare",
            code="report-of-another-job",
        )
    render(report, progress)
    return CompareResult(
        job_name=job.name,
        improved=document["improved"],
        verdict=document["verdict"],
        report=report,
        report_document=document,
        studio_url=job.studio_url,
        next_command="taxiops gate",
    )


def fetch_report(connection: Connection, job: str) -> Path:
    """comparison.json in the output folder, in place of any older report."""
    target = connection.settings.output / "compare"
    for name in ("metrics", "plots"):
        shutil.rmtree(target / name, ignore_errors=True)
    for name in ("report.html", "report.md"):
        (target / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        found = jobs.download_output(connection, job, OUTPUT, Path(scratch))
        if not (found / REPORT).is_file():
            raise EvidenceError(
                f"Job {job} wrote no {REPORT}.", hint="taxiops compare", code="report-missing"
            )
        shutil.copytree(found, target, dirs_exist_ok=True)
    return target / REPORT


def report_path(settings: Settings, report: Path | None) -> Path:
    """The named report, or the last compare's."""
    return report or settings.output / "compare" / REPORT


def read_report(path: Path) -> dict[str, Any]:
    """comparison.json as a document whose every field was checked.

    Raises NotFound, UsageError for what is no report, EvidenceError for a contradiction in it.
    """
    document = read_document(path, "comparison report", "taxiops compare")
    parse_comparison(document)
    return document


def render(report: Path, progress: Progress) -> None:
    """report.html, report.md and the plots beside the metrics."""
    from taxiops.report import write_report

    folder = report.parent.parent
    samples = report.with_name(SAMPLES)
    write_report(
        folder,
        read_document(report, "comparison report", "taxiops compare"),
        read_document(samples, "samples file", "taxiops compare") if samples.is_file() else None,
    )
    progress(f"report: {folder / 'report.html'}")
