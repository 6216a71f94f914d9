"""What stands behind a registry version, read wherever it lies, for the domain to judge."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import jobs, models
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.config import DEV
from taxiops.domain.chain import (
    COMPARISON,
    DIRTY,
    JOB,
    VERDICT,
    VERDICT_TAG,
    JobMaterial,
    Link,
    Material,
    first_broken,
    version_findings,
)
from taxiops.errors import EvidenceError, NotAuthorised, NotFound, StepFailed, UsageError
from taxiops.steps.literals import decode_literal
from taxiops.workflows.documents import Progress, entries_of_folder, find_folder_with
from taxiops.workflows.evidence.kept_evidence import fetch_evidence
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.source_code import commit_object

# What another identity or another machine may have: told, not failed.
OUT_OF_REACH = (NotAuthorised, NotFound, UsageError)


@dataclass(frozen=True)
class Read:
    """A version as it was read. folder: its files, while the block lasts; None when unusable."""

    material: Material
    folder: Path | None


@contextmanager
def version_read(
    connection: Connection, version: ModelVersion, progress: Progress
) -> Iterator[Read]:
    """Everything behind the version that this identity may read."""
    progress(f"reading what stands behind {version.name} version {version.version}")
    unread: dict[str, str] = {}
    job = read_job(connection, version, unread)
    report, verdict = read_evidence(connection, version, unread)
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        folder = downloaded(connection, version, Path(scratch))
        material = Material(
            tags=version.tags,
            files=tuple(entries_of_folder(folder)) if folder else (),
            metadata=metadata_of(folder),
            report=report,
            verdict=verdict,
            job=job,
            commit_object=read_commit(connection, version),
            unread=unread,
        )
        yield Read(material, folder)


def downloaded(connection: Connection, version: ModelVersion, scratch: Path) -> Path | None:
    """The model's folder; None when the registry gives none that is a model."""
    try:
        models.download(connection.registry, version.name, version.version, scratch)
        return find_folder_with(scratch, "metadata.json", "model")
    except (NotFound, UsageError, StepFailed):
        return None


def metadata_of(folder: Path | None) -> Mapping[str, Any]:
    try:
        document = json.loads((folder / "metadata.json").read_bytes()) if folder else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def read_evidence(
    connection: Connection, version: ModelVersion, unread: dict[str, str]
) -> tuple[bytes | None, bytes | None]:
    """comparison.json and verdict.json from the registry."""
    tags = version.tags
    digests = tags.get("report_sha256", ""), tags.get(VERDICT_TAG, "")
    try:
        found = fetch_evidence(connection, *digests, tags.get("comparison_run", ""))
    except NotAuthorised as error:
        unread |= dict.fromkeys((COMPARISON, VERDICT), error.what)
        return None, None
    return (found.report, found.verdict) if found else (None, None)


def read_job(
    connection: Connection, version: ModelVersion, unread: dict[str, str]
) -> JobMaterial | None:
    """The comparison's job in the Dev workspace, with the files of its model where they are left.

    The pipeline's own input says from which commit it ran; nobody can change it afterwards.
    """
    name = version.tags.get("comparison_run", "")
    try:
        dev = connect_to(connection.settings, DEV)
        status, inputs = jobs.read_inputs(dev, name)
    except OUT_OF_REACH as error:
        unread[JOB] = error.what
        return None
    commit = decode_literal(inputs.get("commit", ""))
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        try:
            output = jobs.download_output(dev, name, "model", Path(scratch))
            folder = find_folder_with(output, "metadata.json", "model")
        except OUT_OF_REACH:
            return JobMaterial(status, commit)
        return JobMaterial(status, commit, tuple(entries_of_folder(folder)))


def read_commit(connection: Connection, version: ModelVersion) -> bytes | None:
    commit = version.tags.get("commit", "").removesuffix(DIRTY)
    return commit_object(connection.settings.root, commit)


def check_chain(connection: Connection, version: ModelVersion, progress: Progress) -> None:
    """Raises EvidenceError naming the first broken link from the commit to the version."""
    with version_read(connection, version, progress) as read:
        findings = version_findings(read.material)
    require_whole(findings, f"{version.name} version {version.version}", "taxiops trace")


def require_whole(findings: list[Link], subject: str, hint: str) -> None:
    """Raises EvidenceError naming the first broken link, with the state of every other."""
    broken = first_broken(findings)
    if broken is None:
        return
    others = "\n".join(f"        {each.state:<11} {each.link}" for each in findings)
    raise EvidenceError(
        f"The chain behind {subject} is broken at: {broken.link}.",
        why=f"{broken.checked}: {broken.why}.\n{others}",
        hint=hint,
        code="chain-broken",
        details={"link": broken.link, "checked": broken.checked, "against": broken.against},
    )
