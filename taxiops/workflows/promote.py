"""`taxiops promote`: the compared model, and no other, into the registry with its evidence."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.cloud import jobs, models
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.config import DEV, Settings
from taxiops.domain.chain import TRAINING_TAG, VERDICT_TAG
from taxiops.domain.evidence import (
    SEAL,
    VALIDATED,
    digest_of_json,
    problems_of_tags,
    promotion_tags,
)
from taxiops.domain.gate import check_age, decide, parse_comparison, parse_policy
from taxiops.domain.outcome_files import GateVerdict, Promotion, parse_verdict
from taxiops.errors import Conflict, EvidenceError, StepFailed, TaxiopsError, UsageError
from taxiops.workflows import registry
from taxiops.workflows.as_job.settings import ROOT_RUN
from taxiops.workflows.baseline import check_baseline
from taxiops.workflows.compare import read_report, report_path
from taxiops.workflows.decide_gate import VERDICT
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    Progress,
    find_folder_with,
    read_document,
    write_document,
)
from taxiops.workflows.evidence.chain import metadata_of
from taxiops.workflows.evidence.job_report import check_job_report
from taxiops.workflows.evidence.kept_evidence import evidence_of, keep_evidence
from taxiops.workflows.evidence.ledger import own_run_id
from taxiops.workflows.evidence.model_events import note_promotion
from taxiops.workflows.registry import digest_of_folder
from taxiops.workflows.rollouts.rollout import connect_to, fetched_model

# Two promotions that choose the same number at once: one of them takes the next.
TRIES = 8
PROMOTION = Path("promote") / "promotion.json"
JOB_TAG = "comparison_run"


@dataclass(frozen=True)
class PromoteResult:
    """promote/promotion.json. already_promoted: an earlier call had done it all."""

    registry: str
    name: str
    version: str
    sha256: str
    tags: Mapping[str, str]
    already_promoted: bool
    next_command: str = "taxiops deploy"

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "registry": self.registry,
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "tags": dict(self.tags),
            "already_promoted": self.already_promoted,
            "next_command": self.next_command,
        }


def promote(settings: Settings, report: Path | None, progress: Progress) -> PromoteResult:
    """Register, copy to the registry, compare digests, tag, seal; each step only if it is missing.

    Run again after a crash, it completes what is missing; a second call changes nothing. Raises
    EvidenceError without a passed gate, when something else is to beat since the comparison, or
    when report or model are not those of the job that compared.
    """
    path = report_path(settings, report)
    document = read_report(path)
    verdict = check_gate(settings, document)
    connection = connect_to(settings, DEV)
    job = str(document["job"]["name"])
    sha256 = str(document["candidate"]["sha256"])
    done = find_sealed(connection, job, sha256)
    if done is not None and done.tags.get(VERDICT_TAG):
        progress(f"{done.name} version {done.version} is sealed already")
        return finished(settings, done, sha256, already=True)
    if done is None and not verdict.is_overridden:
        check_baseline(connection, document["baseline"], progress)
    owner, training_sha256 = check_job_output(connection, job, sha256, progress)
    check_job_report(connection, job, document, progress)
    evidence = evidence_of(document, verdict)
    more = {VERDICT_TAG: evidence.verdict_sha256, TRAINING_TAG: training_sha256}
    more |= override_of(verdict)
    if done is not None and VALIDATED in done.tags:
        # Promoted before evidence was kept; what Dev said of it since stays.
        more[VALIDATED] = done.tags[VALIDATED]
    tags = promotion_tags(document, evidence.report_sha256, own_run_id(), more)
    # Evidence first, then what names it: a sealed version never lacks it.
    keep_evidence(connection, evidence, {JOB_TAG: job, "model_sha256": sha256}, progress)
    version = register_and_copy(connection, job, owner, sha256, progress)
    sealed = tag_and_seal(connection, version, tags, sha256, progress)
    note_promotion(connection, verdict, sealed, progress)
    return finished(settings, sealed, sha256, already=False)


def override_of(verdict: GateVerdict) -> dict[str, str]:
    """Who passed a refused candidate and why; empty when the numbers did."""
    if not verdict.is_overridden:
        return {}
    return {"overridden_by": verdict.overridden_by, "override_reason": verdict.override_reason}


def check_gate(settings: Settings, document: Mapping[str, Any]) -> GateVerdict:
    """The verdict must be of this report and this policy; the numbers must still say the same."""
    path = settings.output / VERDICT
    try:
        found = read_document(path, "gate verdict", "taxiops gate")
    except TaxiopsError as error:
        raise EvidenceError(
            f"The gate has not passed this report: {error.what}",
            hint="taxiops gate",
            code="gate-missing",
        ) from error
    policy = parse_policy(settings.tables["gate"])
    comparison = parse_comparison(document)
    decided = decide(comparison, policy)
    check_age(comparison, policy, datetime.now(UTC))
    verdict = parse_verdict(found, str(path))
    is_same = verdict.report_sha256 == digest_of_json(document)
    if not is_same or verdict.policy_sha256 != policy.sha256():
        raise EvidenceError(
            f"{path}: the verdict is of another report or policy.",
            hint="taxiops gate",
            code="gate-of-another",
        )
    if not verdict.passed or not (decided.passed or verdict.is_overridden):
        raise EvidenceError(
            "The gate refused this candidate, so it is not promoted.",
            why=" ".join(decided.reasons),
            hint="taxiops compare",
            code="gate-refused",
        )
    return verdict


def find_sealed(connection: Connection, job: str, sha256: str) -> ModelVersion | None:
    """The registry version that an earlier promotion of this job completed, if any."""
    for version in registry.list_promoted(connection):
        tags = version.tags
        same = tags.get(JOB_TAG) == job and tags.get("model_sha256") == sha256
        if same and not problems_of_tags(tags):
            return version
    return None


def check_job_output(
    connection: Connection, job: str, sha256: str, progress: Progress
) -> tuple[str, str]:
    """The bytes in the job's output must be those that were compared.

    Gives the output's job, which is the job itself or, inside of the very pipeline that compared,
    its training step; and the digest of the training data that the model was made with.
    """
    progress(f"checking the model of job {job}")
    is_inside = os.environ.get(ROOT_RUN) == job
    if not is_inside and jobs.read_job(connection, job).status != jobs.SUCCEEDED:
        raise EvidenceError(f"Job {job} did not complete.", hint="taxiops compare")
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        owner, output = jobs.download_owned_output(connection, job, "model", Path(scratch))
        folder = find_folder_with(output, "metadata.json", "model")
        found = digest_of_folder(folder)
        training = metadata_of(folder).get("training")
    if found != sha256:
        raise EvidenceError(
            f"The model of job {job} is not the one that was compared.",
            why=f"Its bytes have digest {found}, the report says {sha256}.",
            hint="taxiops compare",
            code="digest-differs",
        )
    return owner, str(training.get("sha256", "")) if isinstance(training, Mapping) else ""


def register_and_copy(
    connection: Connection, job: str, owner: str, sha256: str, progress: Progress
) -> ModelVersion:
    """The workspace version of this job and its copy in the registry, under one number.

    owner: the job whose output `model` it is.

    A number taken by somebody else meanwhile makes the creation collide; then the next is tried.
    """
    name = connection.settings.model_name
    for _ in range(TRIES):
        version = own_version(connection, name, job) or next_version(connection, name)
        progress(f"registering {name} version {version}")
        try:
            registered = models.register(
                connection.workspace,
                name,
                version,
                f"azureml://jobs/{owner}/outputs/model",
                {JOB_TAG: job, "model_sha256": sha256},
            )
        except Conflict:
            continue
        if registered.tags.get(JOB_TAG) != job:
            continue
        copy = copied(connection, name, version, sha256, progress)
        if copy is not None:
            return copy
    raise Conflict(
        f"No free version number of {name} was found in {TRIES} tries.",
        why="Other promotions are under way.",
        hint="taxiops promote",
        code="versions-contended",
    )


def own_version(connection: Connection, name: str, job: str) -> str | None:
    """The number that an earlier call registered for this job, unless the registry's is foreign."""
    for version in models.list_versions(connection.workspace, name):
        if version.tags.get(JOB_TAG) == job and version.tags.get("superseded") != "true":
            return version.version
    return None


def next_version(connection: Connection, name: str) -> str:
    """One above every number in the workspace and the registry."""
    taken = [
        version.number
        for client in (connection.workspace, connection.registry)
        for version in models.list_versions(client, name)
    ]
    return str(max(taken, default=0) + 1)


def copied(
    connection: Connection, name: str, version: str, sha256: str, progress: Progress
) -> ModelVersion | None:
    """The registry's version with our bytes; None when the number holds another model there."""
    if models.read_version(connection.registry, name, version) is None:
        progress(f"copying version {version} to registry {connection.settings.registry}")
        try:
            models.share(connection, name, version)
        except (Conflict, UsageError):
            progress(f"version {version} appeared in the registry meanwhile")
    found = models.read_version(connection.registry, name, version)
    if found is None:
        raise StepFailed(
            f"Version {version} of {name} was copied, but the registry does not show it.",
            hint="taxiops promote",
            code="copy-missing",
        )
    reference = registry.model_of(connection, found)
    wanted = type(reference)(reference.registry, name, version, sha256)
    try:
        with fetched_model(connection, wanted):
            return found
    except EvidenceError:
        progress(f"version {version} in the registry holds another model; taking the next number")
        models.write_tags(connection.workspace, name, version, {"superseded": "true"})
        return None


def tag_and_seal(
    connection: Connection,
    version: ModelVersion,
    tags: Mapping[str, str],
    sha256: str,
    progress: Progress,
) -> ModelVersion:
    """Write the evidence, read it back, then seal it, and read that back too."""
    progress(f"tagging version {version.version}")
    evidence = {key: value for key, value in tags.items() if key != SEAL}
    written = models.write_tags(connection.registry, version.name, version.version, evidence)
    missing = sorted(key for key, value in evidence.items() if written.tags.get(key) != value)
    if missing:
        raise StepFailed(
            f"Version {version.version}: the registry does not show the tags {', '.join(missing)}.",
            hint="taxiops promote",
            code="tags-missing",
        )
    seal = {SEAL: tags[SEAL]}
    sealed = models.write_tags(connection.registry, version.name, version.version, seal)
    problems = problems_of_tags(sealed.tags)
    if problems:
        raise StepFailed(
            f"Version {version.version} is tagged, but its seal does not verify.",
            why=" ".join(problems),
            hint="taxiops promote",
            code="seal-missing",
        )
    progress(f"sealed version {version.version}: {sha256}")
    return sealed


def finished(
    settings: Settings, version: ModelVersion, sha256: str, *, already: bool
) -> PromoteResult:
    result = PromoteResult(
        registry=settings.registry,
        name=version.name,
        version=version.version,
        sha256=sha256,
        tags=dict(version.tags),
        already_promoted=already,
    )
    written = Promotion(result.registry, result.name, result.version, result.sha256, result.tags)
    write_document(settings.output / PROMOTION, written.document())
    return result
