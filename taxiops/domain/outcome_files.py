"""verdict.json, promotion.json, endpoint_report.json and cleanup_report.json as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.domain.comparison import IMPROVED, VERDICTS
from taxiops.domain.evidence import problems_of_tags
from taxiops.domain.fields import SCHEMA_VERSION, Fields
from taxiops.domain.retention import ACTIONS, DELETED, FAILED, WOULD_DELETE
from taxiops.domain.state_file import ENVIRONMENTS, ModelReference, parse_model, parse_slot
from taxiops.errors import EvidenceError, UsageError

BLAMES = ("nobody", "request", "model", "capacity", "platform")


@dataclass(frozen=True)
class GateVerdict:
    """gate/verdict.json: the gate's answer on one report. overridden_by empty: by nobody."""

    passed: bool
    verdict: str
    reasons: tuple[str, ...]
    report_sha256: str
    policy_sha256: str
    overridden_by: str
    override_reason: str
    created_at: str

    @property
    def is_overridden(self) -> bool:
        return bool(self.overridden_by)

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "passed": self.passed,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "report_sha256": self.report_sha256,
            "policy_sha256": self.policy_sha256,
            "overridden_by": self.overridden_by,
            "override_reason": self.override_reason,
            "created_at": self.created_at,
        }


@dataclass(frozen=True)
class Promotion:
    """promote/promotion.json: the registry version and its sealed tags."""

    registry: str
    name: str
    version: str
    sha256: str
    tags: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "registry": self.registry,
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "tags": dict(self.tags),
        }


@dataclass(frozen=True)
class EndpointCheck:
    """One check of a slot. figures: measured numbers by name, units in the names."""

    check: str
    passed: bool
    detail: str
    blame: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class EndpointReport:
    """test/endpoint_report.json: the checks of one slot. incumbent empty: nothing served."""

    environment: str
    endpoint: str
    slot: str
    incumbent: str
    passed: bool
    checks: tuple[EndpointCheck, ...]
    model: ModelReference
    created_at: str


@dataclass(frozen=True)
class CleanedVersion:
    """What became of one version: kept, deleted, would_delete or failed; and why."""

    version: str
    action: str
    reason: str


@dataclass(frozen=True)
class CleanupReport:
    """cleanup/cleanup_report.json. dry_run: nothing was deleted."""

    dry_run: bool
    retain_versions: int
    versions: tuple[CleanedVersion, ...]


def parse_verdict(document: Mapping[str, Any], what: str = "verdict.json") -> GateVerdict:
    """Raises EvidenceError naming the field; a pass needs `improved` or a named overrider."""
    fields = Fields(document, what, EvidenceError)
    fields.check_version()
    found = GateVerdict(
        passed=fields.flag("passed"),
        verdict=fields.choice("verdict", VERDICTS),
        reasons=fields.texts("reasons"),
        report_sha256=fields.sha256("report_sha256"),
        policy_sha256=fields.sha256("policy_sha256"),
        overridden_by=fields.text("overridden_by"),
        override_reason=fields.text("override_reason"),
        created_at=fields.time("created_at"),
    )
    if bool(found.overridden_by) != bool(found.override_reason.strip()):
        fields.refuse("override_reason", "an override needs both its author and its reason")
    if found.passed and found.verdict != IMPROVED and not found.is_overridden:
        fields.refuse("passed", f"is true, but the verdict is {found.verdict}")
    if not found.passed and found.verdict == IMPROVED:
        fields.refuse("passed", "is false, but the verdict is improved")
    return found


def parse_promotion(document: Mapping[str, Any], what: str = "promotion.json") -> Promotion:
    """Raises EvidenceError naming the field, also when the tags do not verify."""
    fields = Fields(document, what, EvidenceError)
    fields.check_version()
    model = parse_model(fields)
    tags = fields.mapping_of_text("tags")
    problems = problems_of_tags(tags)
    if problems:
        fields.refuse("tags", problems[0].removesuffix("."))
    if tags["model_sha256"] != model.sha256:
        fields.refuse("tags.model_sha256", "is not the sha256 of the model beside it")
    return Promotion(model.registry, model.name, model.version, model.sha256, tags)


def parse_endpoint_report(
    document: Mapping[str, Any], what: str = "endpoint_report.json"
) -> EndpointReport:
    """Raises UsageError naming the field; passed must be what the checks say."""
    fields = Fields(document, what, UsageError)
    fields.check_version()
    report = EndpointReport(
        environment=fields.choice("environment", ENVIRONMENTS),
        endpoint=fields.text("endpoint", may_be_empty=False),
        slot=parse_slot(fields, "slot"),
        incumbent=fields.text("incumbent"),
        passed=fields.flag("passed"),
        checks=tuple(parse_check(each) for each in fields.children("checks")),
        model=parse_model(fields.child("model")),
        created_at=fields.time("created_at"),
    )
    if not report.checks:
        fields.refuse("checks", "is empty")
    if report.passed != all(check.passed for check in report.checks):
        fields.refuse("passed", "is not what the checks say")
    return report


def parse_check(fields: Fields) -> EndpointCheck:
    figures = fields.child("figures")
    return EndpointCheck(
        check=fields.text("check", may_be_empty=False),
        passed=fields.flag("passed"),
        detail=fields.text("detail"),
        blame=fields.choice("blame", BLAMES),
        figures={name: figures.number(name) for name in figures.document},
    )


def parse_cleanup_report(
    document: Mapping[str, Any], what: str = "cleanup_report.json"
) -> CleanupReport:
    """Raises UsageError naming the field; a dry run deletes nothing, and a real one plans none."""
    fields = Fields(document, what, UsageError)
    fields.check_version()
    dry_run = fields.flag("dry_run")
    versions = []
    for each in fields.children("versions"):
        action = each.choice("action", ACTIONS)
        if action in ((DELETED, FAILED) if dry_run else (WOULD_DELETE,)):
            each.refuse("action", f"is {action}, but dry_run is {str(dry_run).lower()}")
        version, reason = (each.text(name, may_be_empty=False) for name in ("version", "reason"))
        versions.append(CleanedVersion(version, action, reason))
    return CleanupReport(dry_run, fields.whole("retain_versions", 1), tuple(versions))
