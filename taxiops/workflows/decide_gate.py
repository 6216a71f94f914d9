"""`taxiops gate`: decide again from the report's numbers and the policy; needs no cloud."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.cloud import telemetry
from taxiops.config import Settings
from taxiops.domain.comparison import Metric
from taxiops.domain.evidence import digest_of_json
from taxiops.domain.gate import check_age, decide, parse_comparison, parse_policy
from taxiops.domain.outcome_files import GateVerdict
from taxiops.workflows.documents import (
    Progress,
    now,
    read_document,
    write_document,
)

REPORT = Path("compare") / "metrics" / "comparison.json"
VERDICT = Path("gate") / "verdict.json"


@dataclass(frozen=True)
class GateResult:
    """The verdict as written to gate/verdict.json, by the numbers or because somebody overrode.

    metrics: those it was decided from.
    """

    written: GateVerdict
    next_command: str
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.written.passed

    @property
    def verdict(self) -> str:
        return self.written.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        return self.written.reasons

    @property
    def overridden_by(self) -> str:
        """Who passed a refused candidate; empty when nobody did."""
        return self.written.overridden_by

    def document(self) -> dict[str, Any]:
        return {**self.written.document(), "next_command": self.next_command}


def decide_gate(
    settings: Settings,
    report: Path | None,
    override: bool,
    reason: str,
    actor: str,
    progress: Progress,
) -> GateResult:
    """The verdict on a comparison report, written to gate/verdict.json.

    An override passes a refused candidate, never a report that contradicts itself. Raises NotFound
    or UsageError for what is no report, EvidenceError for one whose evidence is missing, too old or
    does not agree with itself or the policy.
    """
    path = report or settings.output / REPORT
    policy = parse_policy(settings.tables["gate"])
    document = read_document(path, "comparison report", "taxiops compare")
    comparison = parse_comparison(document)
    verdict = decide(comparison, policy)
    check_age(comparison, policy, datetime.now(UTC))
    progress(f"{path}: {verdict.verdict}")
    overridden = override and not verdict.passed
    written = GateVerdict(
        passed=verdict.passed or overridden,
        verdict=verdict.verdict,
        reasons=verdict.reasons,
        report_sha256=digest_of_json(document),
        policy_sha256=policy.sha256(),
        overridden_by=actor if overridden else "",
        override_reason=reason if overridden else "",
        created_at=now(),
    )
    write_document(settings.output / VERDICT, written.document())
    telemetry.event(
        "gate verdict",
        passed=written.passed,
        verdict=written.verdict,
        overridden=overridden,
        reasons=" ".join(written.reasons),
    )
    following = "taxiops promote" if written.passed else "taxiops compare"
    return GateResult(written, following, comparison.metrics)
