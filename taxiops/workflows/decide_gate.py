"""`taxiops gate`: decide again from the report's numbers and the policy; needs no cloud."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.config import Settings
from taxiops.domain.evidence import digest_of_json
from taxiops.domain.gate import decide, parse_comparison, parse_policy
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    Progress,
    read_document,
    write_document,
)

REPORT = Path("compare") / "metrics" / "comparison.json"
VERDICT = Path("gate") / "verdict.json"


@dataclass(frozen=True)
class GateResult:
    """gate/verdict.json. passed: by the numbers, or because somebody overrode them."""

    passed: bool
    verdict: str
    reasons: tuple[str, ...]
    report_sha256: str
    policy_sha256: str
    overridden_by: str | None
    override_reason: str | None
    next_command: str

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
            "next_command": self.next_command,
        }


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
    or UsageError for what is no report, EvidenceError for one whose evidence is missing or does not
    agree with itself or the policy.
    """
    path = report or settings.output / REPORT
    policy = parse_policy(settings.tables["gate"])
    document = read_document(path, "comparison report", "taxiops compare")
    verdict = decide(parse_comparison(document), policy)
    progress(f"{path}: {verdict.verdict}")
    overridden = override and not verdict.passed
    result = GateResult(
        passed=verdict.passed or overridden,
        verdict=verdict.verdict,
        reasons=tuple(verdict.reasons),
        report_sha256=digest_of_json(document),
        policy_sha256=document["policy_sha256"],
        overridden_by=actor if overridden else None,
        override_reason=reason if overridden else None,
        next_command="taxiops promote" if verdict.passed or overridden else "taxiops compare",
    )
    write_document(settings.output / VERDICT, result.document())
    return result
