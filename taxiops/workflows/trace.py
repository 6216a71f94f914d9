"""`taxiops trace`: the chain behind a promoted version, every digest checked; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints, jobs
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.evidence import VALIDATED, Link, check_tags, is_validated, verify
from taxiops.errors import EvidenceError, NotAuthorised, NotFound, UsageError
from taxiops.workflows import registry
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now, write_document, write_text
from taxiops.workflows.endpoint_test import model_of_slot
from taxiops.workflows.record import ModelReference
from taxiops.workflows.rollout import connect_to, fetched_model

TRACE, NOTES = Path("trace") / "trace.json", Path("trace") / "release-notes.md"


@dataclass(frozen=True)
class TraceOptions:
    """Which version: by number, by commit, by ENV/SLOT that serves it, else the newest.

    validated: only one that Dev validated.
    """

    model_version: str | None = None
    commit: str | None = None
    deployment: str | None = None
    validated: bool = False


@dataclass(frozen=True)
class Serving:
    """A slot that holds the version. percent: its share of live traffic."""

    environment: str
    endpoint: str
    slot: str
    percent: int
    sha256: str


@dataclass(frozen=True)
class TraceResult:
    """The chain that holds. unread: which parts this identity may not read, and why."""

    model: ModelReference
    tags: Mapping[str, str]
    job_status: str
    deployments: tuple[Serving, ...]
    unread: tuple[str, ...]
    notes: Path
    next_command: str

    @property
    def commit(self) -> str:
        return self.tags.get("commit", "")

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model.document(),
            "tags": dict(self.tags),
            "commit": self.commit,
            "comparison_run": self.tags.get("comparison_run", ""),
            "job_status": self.job_status,
            "validated_in_dev": is_validated(self.tags),
            "deployments": [
                {
                    "environment": each.environment,
                    "endpoint": each.endpoint,
                    "slot": each.slot,
                    "percent": each.percent,
                    "sha256": each.sha256,
                }
                for each in self.deployments
            ],
            "unread": list(self.unread),
            "notes": str(self.notes),
            "created_at": now(),
            "next_command": self.next_command,
        }


def trace(settings: Settings, options: TraceOptions, progress: Progress) -> TraceResult:
    """Follow the chain commit, job, comparison, registry version, deployments; check each digest.

    Writes trace/trace.json and trace/release-notes.md. What this identity may not read is told, not
    failed. Raises EvidenceError naming every broken link, NotFound when there is no such version.
    """
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
    progress(f"checking the bytes of {model.name} version {model.version}")
    with fetched_model(connection, model):
        unread: list[str] = []
    job_status = status_of_job(settings, version, unread)
    found = [each for env in (DEV, PROD) for each in deployments_of(settings, env, model, unread)]
    links = [
        Link(f"model of {each.environment}/{each.slot}", model.sha256, each.sha256)
        for each in found
    ]
    problems = verify(links)
    if problems:
        raise EvidenceError(
            f"The chain of {model.name} version {model.version} is broken.",
            why="; ".join(problems),
            hint=f"taxiops traffic show --env {found[0].environment}",
            code="chain-broken",
        )
    result = TraceResult(
        model=model,
        tags=version.tags,
        job_status=job_status,
        deployments=tuple(found),
        unread=tuple(unread),
        notes=settings.output / NOTES,
        next_command=f"taxiops deploy --env {settings.env} --model-version {model.version}",
    )
    write_document(settings.output / TRACE, result.document())
    write_text(result.notes, release_notes(result))
    return result


def chosen(connection: Connection, options: TraceOptions, progress: Progress) -> ModelVersion:
    """The version asked for; its tags verify. Raises NotFound, EvidenceError or UsageError."""
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
    version = registry.choose_version(connection, number, options.commit, progress)
    check_tags(version.tags, f"{version.name} version {version.version}")
    return version


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


def status_of_job(settings: Settings, version: ModelVersion, unread: list[str]) -> str:
    """How the comparison's job ended; empty when it may not be read or is gone."""
    name = version.tags.get("comparison_run", "")
    try:
        return jobs.read_job(connect_to(settings, DEV), name).status
    except (NotAuthorised, NotFound, UsageError) as error:
        unread.append(f"job {name}: {error.what}")
        return ""


def deployments_of(
    settings: Settings, env: str, model: ModelReference, unread: list[str]
) -> list[Serving]:
    """The slots of one environment that say they serve the version."""
    try:
        endpoint = endpoints.read_endpoint(connect_to(settings, env))
    except (NotAuthorised, UsageError) as error:
        unread.append(f"{env}: {error.what}")
        return []
    if endpoint is None:
        return []
    same = {"model": model.name, "model_version": model.version, "registry": model.registry}
    return [
        Serving(
            env,
            endpoint.name,
            slot.name,
            endpoint.traffic.get(slot.name, 0),
            slot.tags.get("model_sha256", ""),
        )
        for slot in endpoint.slots.values()
        if all(slot.tags.get(name) == value for name, value in same.items())
    ]


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
