"""The gate: whether a comparison passes a policy, from the numbers alone; reads and writes nothing.

It fails closed: what is missing, not finite, inconsistent or edited raises EvidenceError, and only
a verdict of `improved` passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
    Metric,
    parse_comparison,
    parse_metrics,
)
from taxiops.domain.fields import Fields
from taxiops.domain.policy import DIRECTIONS, LOWER, Policy, parse_policy
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
    "decide",
    "parse_comparison",
    "parse_policy",
    "verdict_of",
]

# The compare step rounds figures to nine digits, so exactly what is demanded may look a bit less.
ROUNDING = 1e-9


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
    metric = comparison.metrics[policy.primary_metric]
    check_interval(metric, policy.primary_metric)
    verdict = decide_metric(metric, policy)
    if comparison.improved != verdict.passed:
        refuse(
            "improved",
            f"is {str(comparison.improved).lower()}, but the numbers say {verdict.verdict}",
        )
    if comparison.verdict != verdict.verdict:
        refuse("verdict", f"is {comparison.verdict}, but the numbers say {verdict.verdict}")
    return verdict


def verdict_of(metrics: Mapping[str, Mapping[str, Any]], policy: Policy) -> Verdict:
    """The verdict on measured figures, as the compare step writes it.

    metrics: every metric's figures by name, as in comparison.json. Raises EvidenceError naming the
    figure that is missing, not finite or inconsistent.
    """
    fields = Fields({"metrics": metrics}, "measured figures", EvidenceError)
    return decide_metric(parse_metrics(fields.child("metrics"))[policy.primary_metric], policy)


def decide_metric(metric: Metric, policy: Policy) -> Verdict:
    """Improved: the whole interval is on the better side and the gain is as large as demanded.

    Inconclusive: it is not, but the interval's better end would be, so more trips may show it.
    """
    sign = -1.0 if metric.direction == LOWER else 1.0
    gain, ends = sign * metric.change, (sign * metric.ci_low, sign * metric.ci_high)
    demanded = policy.min_relative_improvement * abs(metric.baseline) - ROUNDING
    # With a baseline of 0 no relative gain is defined, so only a policy that demands none passes.
    reachable = bool(metric.baseline) or policy.min_relative_improvement == 0
    if min(ends) > 0 and gain >= demanded and reachable:
        verdict = IMPROVED
    elif max(ends) > 0 and max(ends) >= demanded and reachable:
        verdict = INCONCLUSIVE
    else:
        verdict = NOT_IMPROVED
    return Verdict(
        verdict == IMPROVED, verdict, reasons_for(metric, policy, ends, gain >= demanded)
    )


def reasons_for(
    metric: Metric, policy: Policy, ends: tuple[float, float], is_enough: bool
) -> tuple[str, ...]:
    """What was found, and what was demanded of it; in sentences with figures and units."""
    name, unit = policy.primary_metric.upper(), f" {metric.unit}" if metric.unit != "ratio" else ""
    found = (
        f"{name} is {metric.candidate:.4f}{unit} against {metric.baseline:.4f}{unit}: "
        f"{comparative(metric)} ({100 * policy.confidence:.4g}% interval of the change "
        f"{metric.ci_low:+.4f} to {metric.ci_high:+.4f})."
    )
    demanded = f"{100 * policy.min_relative_improvement:.4g}%"
    if not is_enough:
        second = f"The policy demands at least {demanded} better."
    elif min(ends) > 0:
        second = f"That is certain enough, and at least the {demanded} that the policy demands."
    elif max(ends) > 0:
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


def check_interval(metric: Metric, name: str) -> None:
    """Raises EvidenceError when the change that decides is outside of its own interval."""
    slack = TOLERANCE * max(1.0, abs(metric.change))
    if not metric.ci_low - slack <= metric.change <= metric.ci_high + slack:
        end = "ci_low" if metric.change < metric.ci_low else "ci_high"
        refuse(f"metrics.{name}.{end}", "the change is outside of the interval")


def refuse(path: str, why: str) -> NoReturn:
    raise EvidenceError(
        f"{WHAT}: {path}: {why}.",
        why="The report is stale or was edited; the gate decides only from what was measured.",
        hint="taxiops compare",
        code="evidence-inconsistent",
        details={"field": path},
    )
