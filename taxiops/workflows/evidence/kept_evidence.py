"""The comparison and the verdict beside the registry version they speak for, named by content."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taxiops.cloud import models
from taxiops.cloud.client import Connection
from taxiops.domain.evidence import canonical_json, digest_of_bytes, digest_of_json
from taxiops.domain.outcome_files import GateVerdict
from taxiops.errors import Conflict, EvidenceError, UsageError
from taxiops.workflows.documents import Progress, find_folder_with

REPORT, VERDICT = "comparison.json", "verdict.json"
# A version's name is that much of the digest over both files; Azure ML's own hold as much.
NAME_DIGITS = 32


@dataclass(frozen=True)
class Evidence:
    """Both files' bytes: canonical JSON, so that their digest is that of their content."""

    report: bytes
    verdict: bytes

    @property
    def report_sha256(self) -> str:
        return digest_of_bytes(self.report)

    @property
    def verdict_sha256(self) -> str:
        return digest_of_bytes(self.verdict)


def evidence_of(report: Mapping[str, object], verdict: GateVerdict) -> Evidence:
    return Evidence(canonical_json(dict(report)), canonical_json(verdict.document()))


def evidence_name(connection: Connection) -> str:
    """The registered model that holds evidence: readable by whoever may read the model itself."""
    return f"{connection.settings.model_name}-evidence"


def evidence_version(report_sha256: str, verdict_sha256: str) -> str:
    return digest_of_json([report_sha256, verdict_sha256]).partition(":")[2][:NAME_DIGITS]


def keep_evidence(
    connection: Connection, evidence: Evidence, tags: Mapping[str, str], progress: Progress
) -> None:
    """Put both files into the registry, once. tags: what they speak for, for people and searches.

    Raises EvidenceError when other files lie under that name, StepFailed when they cannot be read
    back.
    """
    name = evidence_name(connection)
    version = evidence_version(evidence.report_sha256, evidence.verdict_sha256)
    if models.read_version(connection.registry, name, version) is None:
        progress(f"keeping comparison and verdict as {name} {version}")
        with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
            folder = Path(scratch) / "evidence"
            folder.mkdir()
            (folder / REPORT).write_bytes(evidence.report)
            (folder / VERDICT).write_bytes(evidence.verdict)
            try:
                models.register(connection.registry, name, version, str(folder), tags)
            except (Conflict, UsageError):
                progress(f"{name} {version} appeared in the registry meanwhile")
    if fetch_evidence(connection, evidence.report_sha256, evidence.verdict_sha256) != evidence:
        raise EvidenceError(
            f"{name} version {version} in the registry does not hold this comparison and verdict.",
            why="Its name is the digest of both, so somebody else put other files there.",
            hint=f"Look at that version in registry {connection.settings.registry}; delete it.",
            code="evidence-forged",
        )


def fetch_evidence(
    connection: Connection, report_sha256: str, verdict_sha256: str, job: str = ""
) -> Evidence | None:
    """Both files as the registry holds them; None when it has none.

    job: where nothing lies under those digests, what speaks for the model of this job.
    """
    name = evidence_name(connection)
    version = evidence_version(report_sha256, verdict_sha256)
    if models.read_version(connection.registry, name, version) is None:
        listed = models.list_versions(connection.registry, name) if job else []
        of_job = [each.version for each in listed if each.tags.get("comparison_run") == job]
        if not of_job:
            return None
        version = of_job[-1]
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        models.download(connection.registry, name, version, Path(scratch))
        try:
            folder = find_folder_with(Path(scratch), REPORT, "evidence")
            return Evidence((folder / REPORT).read_bytes(), (folder / VERDICT).read_bytes())
        except (OSError, UsageError):
            return None
