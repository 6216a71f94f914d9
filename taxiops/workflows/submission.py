"""Submitting a pipeline of this repository: which file, which code, which tags; awaits nothing."""

import re
from pathlib import Path

from taxiops.cloud import jobs
from taxiops.cloud.client import Connection
from taxiops.cloud.jobs import JobView
from taxiops.cloud.snapshot import IGNORE_FILE, code_snapshot
from taxiops.config import Settings
from taxiops.errors import UsageError
from taxiops.workflows import pipelines
from taxiops.workflows.source_code import read_revision

SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


def check_suffix(suffix: str) -> None:
    """Raises UsageError for an artifact suffix that cannot stand in a name."""
    if suffix and not SUFFIX.fullmatch(suffix):
        raise UsageError(f"--artifact-suffix {suffix!r}: only letters, digits, dots and dashes.")


def pipeline_path(settings: Settings, path: Path) -> Path:
    """The pipeline where it was named, or below the project's root."""
    below = settings.root / path
    return below if not path.is_absolute() and not path.exists() and below.exists() else path


def submit(
    connection: Connection, document: pipelines.Document, path: Path, suffix: str
) -> JobView:
    """The job as accepted; code is uploaded from a lean copy of the project."""
    tags = {**(document.get("tags") or {}), **job_tags(connection, suffix)}
    document = {**document, "tags": tags}
    if suffix:
        document["display_name"] = f"{document.get('display_name') or path.stem}-{suffix}"
    text, place = pipelines.to_text(document), path.resolve()
    root = next((folder for folder in place.parents if (folder / IGNORE_FILE).is_file()), None)
    if root is None:
        return jobs.submit(connection, jobs.load_pipeline(text, path))
    own = place.relative_to(root)
    with code_snapshot(root, pipelines.folders_of(document, own)) as copy:
        return jobs.submit(connection, jobs.load_pipeline(text, copy / own))


def job_tags(connection: Connection, suffix: str) -> dict[str, str]:
    revision = read_revision(connection.settings.root)
    tags = {"commit": revision.commit, "branch": revision.branch}
    return tags | ({"artifact_suffix": suffix} if suffix else {})
