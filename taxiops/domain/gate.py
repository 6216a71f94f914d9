"""The gate: whether a comparison passes a policy, from the numbers alone; reads and writes nothing.

It fails closed: what is missing, not finite, inconsistent or edited raises EvidenceError, and only
a verdict of `improved` passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from taxiops.domain.comparison import (
    IMPROVED,
    INCONCLUSIVE,
    NO_BASELINE,
    NOT_IMPROVED,
    TOLERANCE,
    VERDICTS,
    WHAT,
    Comparison,
    Findings,
    Metric,
    parse_comparison,
    parse_findings,
)
from taxiops.domain.fields import Fields
from taxiops.domain.gate_rules import (
    ROUNDING,
    breaches,
    demanded_of,
    gain_of,
    guard_doubts,
    regression_of,
    slice_confidence,
    slice_verdict,
)
from taxiops.domain.policy import DIRECTIONS, LOWER, NAIVE, REFUSE, Policy, parse_policy
from taxiops.domain.sample_size import more_trips, more_trips_for_guard
from taxiops.errors import EvidenceError

__all__ = [
    "DIRECTIONS",
    "IMPROVED",
    "INCONCLUSIVE",
    "NOT_IMPROVED",
    "NO_BASELINE",
    "VERDICTS",
    "Comparison",
    "Metric",
    "Policy",
    "Verdict",
    "check_age",
    "decide",
    "parse_comparison",
    "parse_policy",
    "verdict_of",
]

MEASURED = "measured figures"
# How far the clocks of the job and of this machine may differ.
CLOCKS_DIFFER = timedelta(minutes=15)


@dataclass(frozen=True)
class Verdict:
    """The gate's answer. passed only when verdict is `improved`; reasons are sentences."""

    passed: bool
    verdict: str
    reasons: tuple[str, ...]


def decide(comparison: Comparison, policy: Policy) -> Verdict:
    """The verdict from the comparison's numbers, under the policy in force.

    Raises EvidenceError when the comparison was made under another policy, or claims what its
    numbers do not say.
    """
    check_policy(comparison, policy)
    for name, metric in comparison.metrics.items():
        check_interval(metric, f"metrics.{name}")
    check_slices(comparison, policy)
    verdict = judge(comparison.findings, policy)
    if comparison.improved != verdict.passed:
        refuse(
            "improved",
            f"is {str(comparison.improved).lower()}, but the numbers say {verdict.verdict}",
        )
    if comparison.verdict != verdict.verdict:
        refuse("verdict", f"is {comparison.verdict}, but the numbers say {verdict.verdict}")
    return verdict


def verdict_of(measured: Mapping[str, Any], policy: Policy) -> Verdict:
    """The verdict on what was measured, as the compare step writes it.

    measured: comparison.json without its claims. Raises EvidenceError naming the figure that is
    missing, not finite or inconsistent.
    """
    fields = Fields({**measured, "primary_metric": policy.primary_metric}, MEASURED, EvidenceError)
    return judge(parse_findings(fields), policy)


def judge(findings: Findings, policy: Policy) -> Verdict:
    """Improved by the primary metric, nothing that the policy forbids, and no guard in doubt.

    Without an earlier model, first_run = refuse leaves no baseline to be better than.
    """
    metric = findings.metrics[policy.primary_metric]
    verdict, reasons = primary_verdict(metric, policy), reasons_for(metric, policy)
    if verdict == INCONCLUSIVE:
        reasons += (more_trips(metric, policy, findings.rows),)
    forbidden, doubts = breaches(findings, policy), guard_reasons(findings, policy)
    if forbidden:
        verdict, reasons = NOT_IMPROVED, reasons + forbidden
    elif doubts and verdict != NOT_IMPROVED:
        verdict, reasons = INCONCLUSIVE, reasons + doubts
    if findings.baseline_kind == NAIVE and policy.first_run == REFUSE:
        verdict = NO_BASELINE
        reasons += (
            "No model was released before, only the naive fare is there to beat, and the policy's "
            f"first_run is {REFUSE!r}.",
        )
    return Verdict(verdict == IMPROVED, verdict, reasons)


def guard_reasons(findings: Findings, policy: Policy) -> tuple[str, ...]:
    """Why a guard is in doubt, and how many more test trips would tell; empty when none is."""
    reasons: list[str] = []
    for name, metric in guard_doubts(findings, policy):
        reasons += (
            f"{name.upper()} is {100 * regression_of(metric):.1f}% worse, which may be chance; the "
            f"policy's max_guard_regression is {100 * policy.max_guard_regression:.4g}%.",
            more_trips_for_guard(metric, policy, findings.rows),
        )
    return tuple(reasons)


def primary_verdict(metric: Metric, policy: Policy) -> str:
    """Improved: the whole interval is on the better side and the gain is as large as demanded.

    Inconclusive: it is not, but the interval's better end would be, so more trips may show it.
    """
    gain, low, high = gain_of(metric)
    demanded = demanded_of(metric, policy)
    # With a baseline of 0 no relative gain is defined, so only a policy that demands none passes.
    reachable = bool(metric.baseline) or policy.min_relative_improvement == 0
    if low > 0 and gain >= demanded and reachable:
        return IMPROVED
    if high > 0 and high >= demanded and reachable:
        return INCONCLUSIVE
    return NOT_IMPROVED


def reasons_for(metric: Metric, policy: Policy) -> tuple[str, ...]:
    """What was found, and what was demanded of it; in sentences with figures and units."""
    name, unit = policy.primary_metric.upper(), f" {metric.unit}" if metric.unit != "ratio" else ""
    found = (
        f"{name} is {metric.candidate:.4f}{unit} against {metric.baseline:.4f}{unit}: "
        f"{comparative(metric)} ({100 * policy.confidence:.4g}% interval of the change "
        f"{metric.ci_low:+.4f} to {metric.ci_high:+.4f})."
    )
    gain, low, high = gain_of(metric)
    demanded = f"{100 * policy.min_relative_improvement:.4g}%"
    if gain < demanded_of(metric, policy):
        second = f"The policy demands at least {demanded} better."
    elif low > 0:
        second = f"That is certain enough, and at least the {demanded} that the policy demands."
    elif high > 0:
        second = "The interval reaches both sides of zero, so it may be chance."
    else:
        second = "Nothing of the interval is on the better side."
    return found, second


def comparative(metric: Metric) -> str:
    """Such as `4.2% better`, `1.0% worse` or `no different`."""
    if not metric.change:
        return "no different"
    better = (metric.change < 0) == (metric.direction == LOWER)
    return f"{100 * abs(metric.relative_change):.1f}% {'better' if better else 'worse'}"


def check_policy(comparison: Comparison, policy: Policy) -> None:
    """Raises EvidenceError unless the comparison was made under this very policy."""
    recorded = comparison.policy.sha256()
    if comparison.policy_sha256 != recorded:
        refuse("policy_sha256", "is not the digest of the policy beside it")
    if recorded != policy.sha256():
        ours, theirs = policy.document(), comparison.policy.document()
        differing = ", ".join(
            f"{name} was {theirs[name]}, is {ours[name]}"
            for name in ours
            if ours[name] != theirs[name]
        )
        refuse("policy", f"another policy is in force now ({differing})")
    if comparison.primary_metric != policy.primary_metric:
        refuse("primary_metric", f"must be {policy.primary_metric}, as in the policy")
    if comparison.confidence != policy.confidence:
        refuse("confidence", f"must be {policy.confidence}, as in the policy")


def check_age(comparison: Comparison, policy: Policy, now: datetime) -> None:
    """Raises EvidenceError for a report that is older than the policy allows, or from the future.

    What serves, and what trips are like, changes; so what was measured long ago says little.
    """
    age = now - datetime.fromisoformat(comparison.created_at)
    if age < -CLOCKS_DIFFER:
        refuse_as_stale(f"{comparison.created_at} is in the future")
    if policy.max_report_age_days and age > timedelta(days=policy.max_report_age_days):
        refuse_as_stale(
            f"the report is {age.days} days old; the policy's max_report_age_days is "
            f"{policy.max_report_age_days:g}"
        )


def check_interval(metric: Metric, path: str) -> None:
    """Raises EvidenceError when a change is outside of its own interval."""
    slack = TOLERANCE * max(1.0, abs(metric.change))
    if not metric.ci_low - slack <= metric.change <= metric.ci_high + slack:
        end = "ci_low" if metric.change < metric.ci_low else "ci_high"
        refuse(f"{path}.{end}", "the change is outside of the interval")


def check_slices(comparison: Comparison, policy: Policy) -> None:
    """Raises EvidenceError when a slice claims what its figures do not say."""
    large = sum(each.rows >= policy.min_slice_rows for each in comparison.slices)
    expected = slice_confidence(policy, large)
    if abs(comparison.slice_confidence - expected) > ROUNDING:
        refuse("slice_confidence", f"must be {expected:.9g} with {large} slices that may decide")
    for at, each in enumerate(comparison.slices):
        check_interval(each.figures, f"slices[{at}]")
        verdict = slice_verdict(each.figures, each.rows, policy)
        if each.verdict != verdict:
            refuse(f"slices[{at}].verdict", f"is {each.verdict}, but the numbers say {verdict}")


def refuse(path: str, why: str) -> NoReturn:
    raise EvidenceError(
        f"{WHAT}: {path}: {why}.",
        why="It was edited or made otherwise; the gate decides only from what was measured.",
        hint="taxiops compare",
        code="evidence-inconsistent",
        details={"field": path},
    )


def refuse_as_stale(why: str) -> NoReturn:
    raise EvidenceError(
        f"{WHAT}: created_at: {why}.",
        why="What was measured then says little about what a candidate has to beat now.",
        hint="taxiops compare",
        code="evidence-stale",
        details={"field": "created_at"},
    )
