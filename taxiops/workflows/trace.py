"""`taxiops trace`: the chain from the commit to the traffic, each link checked; changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.attestations import Exported, check_same, statements
from taxiops.domain.chain import (
    TRAINING_TAG,
    UNREAD,
    VERDICT_TAG,
    Files,
    Link,
    first_broken,
    version_findings,
)
from taxiops.domain.evidence import SEAL, VALIDATED, is_validated
from taxiops.domain.serving import promotion_finding
from taxiops.errors import EvidenceError, NotFound, UsageError
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now, write_document, write_text
from taxiops.workflows.endpoint_test import model_of_slot
from taxiops.workflows.evidence.chain import require_whole, version_read
from taxiops.workflows.evidence.signing import private_key, read_bundle, write_bundle
from taxiops.workflows.rollouts.record import ModelReference
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.serving import Place, Serving, serving_findings

TRACE, NOTES = Path("trace") / "trace.json", Path("trace") / "release-notes.md"


@dataclass(frozen=True)
class TraceOptions:
    """Which version: by number, by commit, by ENV/SLOT that serves it, else the newest.

    validated: only one that Dev validated. export: where to write the chain as statements. verify:
    a signed export that the chain must still fit.
    """

    model_version: str | None = None
    commit: str | None = None
    deployment: str | None = None
    validated: bool = False
    export: Path | None = None
    verify: Path | None = None


@dataclass(frozen=True)
class TraceResult:
    """The chain that holds. findings: each link, also those that could not be checked, and why."""

    model: ModelReference
    tags: Mapping[str, str]
    job_status: str
    findings: tuple[Link, ...]
    deployments: tuple[Serving, ...]
    files: Files
    notes: Path
    next_command: str
    exported: str = ""

    @property
    def commit(self) -> str:
        return self.tags.get("commit", "")

    @property
    def unread(self) -> tuple[str, ...]:
        return tuple(f"{each.link}: {each.why}" for each in self.findings if each.state == UNREAD)

    def document(self) -> dict[str, Any]:
        broken = first_broken(self.findings)
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model.document(),
            "tags": dict(self.tags),
            "commit": self.commit,
            "comparison_run": self.tags.get("comparison_run", ""),
            "job_status": self.job_status,
            "validated_in_dev": is_validated(self.tags),
            "whole": broken is None,
            "broken": broken.link if broken else None,
            "links": [each.document() for each in self.findings],
            "deployments": [each.document() for each in self.deployments],
            "unread": list(self.unread),
            "notes": str(self.notes),
            "exported": self.exported,
            "created_at": now(),
            "next_command": self.next_command,
        }


def trace(settings: Settings, options: TraceOptions, progress: Progress) -> TraceResult:
    """Follow the chain from the commit to the traffic and check each link against the bytes.

    Writes trace/trace.json, and trace/release-notes.md of a chain that holds. What this identity
    may not read is told, not failed. Raises EvidenceError naming the first broken link or what in a
    signed export does not fit, NotFound when there is no such version.
    """
    signed = signed_before(settings, options)
    connection = connect_to(settings)
    version = chosen(connection, options, progress)
    if options.validated and not is_validated(version.tags):
        raise EvidenceError(
            f"{version.name} version {version.version} was not validated in Dev.",
            why=f"Its tag {VALIDATED} is {version.tags.get(VALIDATED) or 'missing'}.",
            hint="taxiops deploy --env dev, taxiops test endpoint, taxiops traffic promote",
            code="not-validated",
        )
    model = registry.model_of(connection, version)
    with version_read(connection, version, progress) as read:
        progress("asking what serves it")
        commit = version.tags.get("commit", "")
        served, links, places = serving_findings(settings, model, commit, read.folder)
        findings = [*version_findings(read.material), *promotions(places, version), *links]
        job = read.material.job
    result = TraceResult(
        model=model,
        tags=version.tags,
        job_status=job.status if job else "",
        findings=tuple(findings),
        deployments=tuple(served),
        files=read.material.files,
        notes=settings.output / NOTES,
        next_command=what_follows(settings.env, model.version, served),
    )
    write_document(settings.output / TRACE, result.document())
    subject = f"{model.name} version {model.version}"
    require_whole(findings, subject, remedy_of(first_broken(findings)))
    write_text(result.notes, release_notes(result))
    return attested(settings, options, result, signed)


def what_follows(env: str, version: str, served: Sequence[Serving]) -> str:
    """The command to type next: a version that takes traffic already need not be deployed."""
    if any(each.environment == env and each.percent for each in served):
        return "taxiops status"
    return f"taxiops deploy --env {env} --model-version {version}"


def signed_before(settings: Settings, options: TraceOptions) -> list[Mapping[str, Any]]:
    """The statements to verify, read before anything else: a key that is none is told at once."""
    if options.export and (key := settings.values["signing_key"].value):
        private_key(key)
    if not options.verify:
        return []
    return read_bundle(options.verify, settings.values["verifying_key"].value)


def attested(
    settings: Settings,
    options: TraceOptions,
    result: TraceResult,
    signed: Sequence[Mapping[str, Any]],
) -> TraceResult:
    """The result once the signed statements fit it and it is exported where that was asked for."""
    model = result.model
    found = statements(
        Exported(
            registry=model.registry,
            name=model.name,
            version=model.version,
            files=result.files,
            tags=result.tags,
            findings=result.findings,
            deployments=[each.document() for each in result.deployments],
            workspace=settings.dev.workspace,
        )
    )
    if options.verify:
        check_same(signed, found)
    if options.export:
        key = settings.values["signing_key"].value
        how = "signed" if write_bundle(options.export, found, key) else "not signed"
        result = replace(result, exported=f"{options.export} ({how})")
    return result


def promotions(places: Sequence[Place], version: ModelVersion) -> list[Link]:
    """What the Dev ledger tells of the promotion, where it could be read."""
    known = (each for each in places if each.env == DEV and not each.unread)
    place = next(known, None)
    if place is None:
        return []
    return [promotion_finding(place.reading.entries, version.name, version.version, version.tags)]


def remedy_of(broken: Link | None) -> str:
    """The next command, by where the chain is broken."""
    link, _, where = (broken.link if broken else "").partition(" ")
    env = where.partition("/")[0]
    if link == "ledger":
        return f"taxiops history --env {env}"
    if link in ("deployment", "endpoint", "traffic"):
        return f"taxiops traffic show --env {env}; then taxiops traffic rollback --env {env}"
    return "Do not deploy that version. taxiops compare, gate and promote make another one."


def chosen(connection: Connection, options: TraceOptions, progress: Progress) -> ModelVersion:
    """The version asked for, else the newest that was ever sealed, whole or not.

    Raises NotFound, EvidenceError or UsageError.
    """
    asked = [options.model_version, options.commit, options.deployment]
    if sum(each is not None for each in asked) > 1:
        raise UsageError(
            "--model-version, --commit and --deployment exclude each other.", hint="Give one."
        )
    number = options.model_version
    if options.deployment is not None:
        number = version_of_slot(connection.settings, options.deployment)
    if options.validated and number is None and options.commit is None:
        return registry.newest_validated(connection, progress)
    promoted = registry.list_promoted(connection)
    if number is not None:
        return registry.find_number(promoted, number, connection)
    if options.commit is not None:
        return registry.find_commit(promoted, options.commit)
    sealed = (each for each in promoted if each.tags.get(SEAL))
    newest = next(sealed, None)
    return newest or registry.choose_version(connection, None, None, progress)


def version_of_slot(settings: Settings, deployment: str) -> str:
    """The registry version that `ENV/SLOT` says it serves."""
    env, _, slot = deployment.partition("/")
    if env not in (DEV, PROD) or not slot:
        raise UsageError(
            f"--deployment {deployment}: it must read ENV/SLOT.",
            hint="taxiops trace --deployment dev/blue",
        )
    connection = connect_to(settings, env)
    endpoint = endpoints.require_endpoint(connection)
    if slot not in endpoint.slots:
        raise NotFound(
            f"Endpoint {endpoint.name} has no slot {slot}.",
            hint=f"It has: {', '.join(sorted(endpoint.slots)) or 'none'}.",
            code="slot-missing",
        )
    return model_of_slot(connection, endpoint, slot).version


def release_notes(result: TraceResult) -> str:
    """The model, its figures and its chain as Markdown; tags are hostile, so each value is code."""
    tags = result.tags
    rows = [
        (
            "registry version",
            f"{result.model.registry}: {result.model.name} {result.model.version}",
        ),
        ("digest", result.model.sha256),
        ("commit", tags.get("commit", "")),
        ("branch", tags.get("branch", "")),
        ("comparison job", tags.get("comparison_run", "")),
        ("CI run", tags.get("run_id", "")),
        ("report", tags.get("report_sha256", "")),
        ("policy", tags.get("policy_sha256", "")),
        ("test data", tags.get("test_data_sha256", "")),
        ("verdict", tags.get(VERDICT_TAG, "")),
        ("training data", tags.get(TRAINING_TAG, "")),
        ("validated in Dev", tags.get(VALIDATED, "no")),
        *[
            (f"{each.environment} {each.slot}", f"{each.percent} % of {each.endpoint}")
            for each in result.deployments
        ],
    ]
    metric = tags.get("primary_metric", "")
    names = ("candidate", "baseline", "change", "ci_low", "ci_high")
    figures = [(f"{metric} {name}", tags.get(name, "")) for name in names]
    lines = ["| what | value |", "| --- | --- |"]
    lines += [f"| {code(name)} | {code(value)} |" for name, value in [*figures, *rows] if value]
    return "\n".join([f"## {result.model.name} version {result.model.version}", "", *lines, ""])


def code(text: str) -> str:
    """Text of a tag that Markdown can make nothing of."""
    plain = "".join(c if c.isprintable() and c not in "`|<>" else "?" for c in text)
    return f"`{plain}`" if plain else ""
