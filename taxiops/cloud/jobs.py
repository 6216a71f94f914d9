"""Pipeline jobs: load, submit, follow, fetch outputs and logs; decides nothing about them."""

import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taxiops.cloud import rest
from taxiops.cloud.client import prepare_process
from taxiops.cloud.failures import azure_errors
from taxiops.cloud.silence import sdk_silenced
from taxiops.cloud.words import plain_word
from taxiops.errors import NotFound, StepFailed, TaxiopsError, UsageError

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection

Progress = Callable[[str], None]

SUCCEEDED = "Completed"
TERMINAL = frozenset({SUCCEEDED, "Failed", "Canceled"})
GOING_ON = frozenset(
    {
        "NotStarted",
        "Starting",
        "Provisioning",
        "Preparing",
        "Queued",
        "Running",
        "Finalizing",
        "CancelRequested",
        "NotResponding",
        "Paused",
        "Scheduled",
    }
)
NEAR_INTERVAL_S, FAR_INTERVAL_S = 0.3, 10.0
TAIL_LINES = 30


@dataclass(frozen=True)
class JobView:
    """A job as the service shows it."""

    name: str
    display_name: str
    status: str
    studio_url: str
    tags: Mapping[str, str]


def load_pipeline(text: str, path: Path) -> Any:  # noqa: ANN401 - the SDK has no types
    """The pipeline job of a YAML text that stands, or would stand, at `path`.

    Raises UsageError naming the file and, where the SDK says so, the key.
    """
    prepare_process(os.environ)
    from azure.ai.ml import load_job

    return loaded(lambda: load_job(io.StringIO(text), relative_origin=str(path.resolve())), path)


def load_component(path: Path) -> Any:  # noqa: ANN401 - the SDK has no types
    """The component of a YAML file; raises UsageError naming the file and the key."""
    prepare_process(os.environ)
    from azure.ai.ml import load_component as load

    return loaded(lambda: load(path), path)


def loaded(load: Callable[[], Any], path: Path) -> Any:  # noqa: ANN401 - the SDK has no types
    """What `load` gives, validated by the SDK; raises UsageError naming file and key."""
    from azure.core.exceptions import AzureError
    from marshmallow.exceptions import ValidationError

    # The SDK warns of fields it does not know on stderr and then refuses them or not.
    try:
        with sdk_silenced():
            entity = load()
            result = entity._validate()
    except (AzureError, ValidationError, ValueError, TypeError, KeyError, OSError) as error:
        raise invalid(path, sdk_message(error)) from error
    if not result.passed:
        problems = "; ".join(f"{key}: {text}" for key, text in result.error_messages.items())
        raise invalid(path, problems)
    return entity


def sdk_message(error: Exception) -> str:
    """The part of the SDK's many lines that says what is wrong."""
    text = str(error)
    start, end = text.find("{"), text.rfind("}")
    with contextlib.suppress(ValueError, AttributeError):
        errors = json.loads(text[start : end + 1]).get("errors", [])
        found = [f"{item.get('path', '')}: {item.get('message', '')}" for item in errors]
        if found:
            return "; ".join(found)
    messages = getattr(error, "messages", None)
    if isinstance(messages, dict):
        return "; ".join(f"{key}: {value}" for key, value in messages.items())
    return text


def invalid(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: not a valid Azure ML document.",
        why=" ".join(why.split())[:800],
        hint="Correct that key; taxiops test unit checks every file.",
        code="pipeline-invalid",
    )


def submit(connection: "Connection", job: Any) -> JobView:  # noqa: ANN401 - the SDK has no types
    """Submit the job; gives it as accepted."""
    with azure_errors("Submitting the pipeline"), sdk_silenced():
        return view(connection.workspace.jobs.create_or_update(job))


def view(job: Any) -> JobView:  # noqa: ANN401 - the SDK has no types
    return JobView(
        name=str(job.name),
        display_name=str(job.display_name or job.name),
        status=plain_word(job.status),
        studio_url=str(job.studio_url or ""),
        tags={str(key): str(value) for key, value in (job.tags or {}).items()},
    )


def read_job(connection: "Connection", name: str) -> JobView:
    """Raises NotFound when the workspace has no such job."""
    with azure_errors(f"Reading job {name}"):
        return view(connection.workspace.jobs.get(name))


def read_inputs(connection: "Connection", name: str) -> tuple[str, dict[str, str]]:
    """The job's status and its literal inputs, as the service keeps them; raises NotFound."""
    import yaml

    with azure_errors(f"Reading job {name}"), sdk_silenced():
        job = connection.workspace.jobs.get(name)
        # What the SDK prints of a job is the only public way to its inputs' values.
        document = yaml.safe_load(str(job))
    inputs = document.get("inputs") if isinstance(document, dict) else None
    found = inputs if isinstance(inputs, dict) else {}
    literal = {str(key): str(value) for key, value in found.items() if isinstance(value, str | int)}
    return plain_word(job.status), literal


def read_children(connection: "Connection", name: str) -> list[JobView]:
    """The jobs of a pipeline job's steps, in the order the service gives."""
    with azure_errors(f"Reading the steps of job {name}"):
        return [view(job) for job in connection.workspace.jobs.list(parent_job_name=name)]


def wait_for_job(connection: "Connection", name: str, progress: Progress) -> JobView:
    """Follow the job to its end, a line for each change of a step.

    A status nobody has heard of is reported once and waited on. Raises StepFailed with the tail of
    the failing step's log when it does not complete.
    """
    seen: dict[str, str] = {}
    interval_s = NEAR_INTERVAL_S if connection.is_near else FAR_INTERVAL_S
    while True:
        job = read_job(connection, name)
        for step in (*read_children(connection, name), job):
            report_change(step, seen, progress)
        if job.status in TERMINAL:
            break
        time.sleep(interval_s)
    if job.status != SUCCEEDED:
        raise job_failure(connection, job)
    return job


def report_change(step: JobView, seen: dict[str, str], progress: Progress) -> None:
    if seen.get(step.name) == step.status:
        return
    seen[step.name] = step.status
    known = step.status in TERMINAL or step.status in GOING_ON
    progress(f"{step.display_name}: {step.status}{'' if known else ' (unknown; waiting)'}")


def job_failure(connection: "Connection", job: JobView) -> StepFailed:
    """Why the job failed: which step, and the last lines it wrote."""
    children = read_children(connection, job.name)
    failed = next((step for step in children if step.status == "Failed"), job)
    tail = log_tail(connection, failed.name)
    message = f"Job {job.name} ended as {job.status}"
    if failed is not job:
        message += f" in step {failed.display_name}"
    return StepFailed(
        f"{message}.",
        why=f"The end of its log:\n{tail}" if tail else "It left no log.",
        hint=f"Correct it and submit again; in the studio: {job.studio_url}",
        code="job-failed",
        details={"job": job.name, "step": failed.name},
    )


def log_tail(connection: "Connection", name: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a job's own output, from the run history; empty when there is none."""
    try:
        with azure_errors("Reading the workspace"):
            workspace = connection.workspace.workspaces.get(connection.environment.workspace)
        doing = f"Reading the log of job {name}"
        base = str(rest.read_json(connection, str(workspace.discovery_url), doing)["api"])
        details = rest.read_json(
            connection, f"{base}/history/v1.0{workspace.id}/runs/{name}/details", doing
        )
        files: dict[str, str] = details.get("logFiles") or {}
        own = sorted(path for path in files if path.startswith("user_logs/std_log"))
        chosen = own or sorted(files)
        if not chosen:
            return ""
        text = rest.read_text(files[chosen[0]], doing)
    except (TaxiopsError, KeyError):
        # The job's failure is what matters; a log that cannot be read must not hide it.
        return ""
    return "\n".join(text.splitlines()[-lines:])


def cancel(connection: "Connection", name: str) -> None:
    """Ask the service to end the job."""
    with azure_errors(f"Cancelling job {name}"):
        connection.workspace.jobs.begin_cancel(name)


def download_output(connection: "Connection", name: str, output: str, folder: Path) -> Path:
    """The files of a pipeline job's named output; gives the folder that holds them.

    Falls back to the steps, since some services keep outputs only there. Raises NotFound when no
    file arrives: a missing output is a failure, never a stale file.
    """
    return download_owned_output(connection, name, output, folder)[1]


def download_owned_output(
    connection: "Connection", name: str, output: str, folder: Path
) -> tuple[str, Path]:
    """The job that has the output, the pipeline job or one of its steps, and its files.

    While the pipeline runs, its own outputs are not there yet, but those of its steps are. Of
    several steps with that output the one that came last has the word. Raises NotFound.
    """
    has_ended = read_job(connection, name).status in TERMINAL
    if has_ended and (found := fetch(connection, name, output, folder)):
        return name, found
    for step in reversed(read_children(connection, name)):
        if step.status in TERMINAL and (found := fetch(connection, step.name, output, folder)):
            return step.name, found
    raise NotFound(
        f"Job {name} has no files in its output {output!r}.",
        hint="Look at the job in the studio; its pipeline must have that output.",
        code="output-missing",
    )


def fetch(connection: "Connection", name: str, output: str, folder: Path) -> Path | None:
    """The files of a job's own output; None when it has none of that name or wrote nothing."""
    try:
        with azure_errors(f"Downloading output {output} of job {name}"), sdk_silenced():
            connection.workspace.jobs.download(name, output_name=output, download_path=str(folder))
    except (NotFound, UsageError):
        # The SDK refuses as a user error what the job does not have, or not yet.
        return None
    target = folder / "named-outputs" / output
    has_files = target.is_dir() and any(path.is_file() for path in target.rglob("*"))
    return target if has_files else None


def data_type(connection: "Connection", name: str, version: str) -> str:
    """`uri_file` or `uri_folder`: the type of a registered data asset; raises NotFound."""
    with azure_errors(f"Reading data asset {name}:{version}"):
        return str(connection.workspace.data.get(name, version=version).type)
