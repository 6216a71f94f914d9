"""The rules beside the primary metric: guards, limits, slices; each breach is a sentence.

A slice is certainly worse when its whole interval is. There are many slices, so each gets an
interval of a confidence that makes all of them together as sure as one metric (Bonferroni, which
holds however the slices depend on one another).
"""

import math
from collections.abc import Iterator

from taxiops.domain.comparison import (
    IMPROVED,
    INCONCLUSIVE,
    NOT_IMPROVED,
    Findings,
    Metric,
)
from taxiops.domain.policy import LOWER, Policy

BYTES_PER_MB = 1_000_000
# When nearly every slice is worse, a sentence for each would hide the others.
SLICES_NAMED = 3
# The compare step rounds figures to nine digits, so exactly what is demanded may look a bit less.
ROUNDING = 1e-9


def gain_of(metric: Metric) -> tuple[float, float, float]:
    """The change and its interval, lower end first, turned so that more is better."""
    if metric.direction == LOWER:
        return -metric.change, -metric.ci_high, -metric.ci_low
    return metric.change, metric.ci_low, metric.ci_high


def demanded_of(metric: Metric, policy: Policy) -> float:
    """The least gain, in the metric's unit."""
    return policy.min_relative_improvement * abs(metric.baseline) - ROUNDING


def slice_confidence(policy: Policy, large_slices: int) -> float:
    """Of each interval, when so many slices are large enough to decide."""
    return 1 - (1 - policy.confidence) / max(1, large_slices)


def slice_verdict(figures: Metric, rows: int, policy: Policy) -> str:
    """improved or not_improved when the interval lies on one side of zero, else inconclusive."""
    _, low, high = gain_of(figures)
    if rows < policy.min_slice_rows or low <= 0 <= high:
        return INCONCLUSIVE
    return IMPROVED if low > 0 else NOT_IMPROVED


def breaches(findings: Findings, policy: Policy) -> tuple[str, ...]:
    """What the policy does not allow, in sentences with figures; empty when nothing is."""
    return (
        *guard_breaches(findings, policy),
        *limit_breaches(findings, policy),
        *slice_breaches(findings, policy),
        *model_breaches(findings, policy),
    )


def guard_breaches(findings: Findings, policy: Policy) -> Iterator[str]:
    for name in policy.guard_metrics:
        metric = findings.metrics[name]
        if gain_of(metric)[2] < 0:
            yield (
                f"{name.upper()} must not be worse, and it certainly is: {metric.candidate:.4f} "
                f"against {metric.baseline:.4f} (interval of the change {metric.ci_low:+.4f} to "
                f"{metric.ci_high:+.4f})."
            )


def guard_doubts(findings: Findings, policy: Policy) -> Iterator[tuple[str, Metric]]:
    """Guards that were measured as worse by more than is allowed, though it may be chance.

    Few trips that go far astray widen the interval of a guard so much that it is never certainly
    worse; not to be sure of a regression is no proof that there is none.
    """
    for name in policy.guard_metrics:
        metric = findings.metrics[name]
        is_certain = gain_of(metric)[2] < 0
        if not is_certain and regression_of(metric) > policy.max_guard_regression + ROUNDING:
            yield name, metric


def limit_breaches(findings: Findings, policy: Policy) -> Iterator[str]:
    for name, limit in policy.metric_limits.items():
        metric = findings.metrics[name]
        is_lower = metric.direction == LOWER
        if metric.candidate > limit if is_lower else metric.candidate < limit:
            allowed = f"at {'most' if is_lower else 'least'} {limit:g}"
            yield f"{name.upper()} is {metric.candidate:.4f}; the policy allows {allowed}."


def slice_breaches(findings: Findings, policy: Policy) -> Iterator[str]:
    """The worst slices in a sentence each, and how many more there are."""
    allowed = policy.max_slice_regression
    found = [
        (regression_of(each.figures), each)
        for each in findings.slices
        if slice_verdict(each.figures, each.rows, policy) == NOT_IMPROVED
    ]
    worse = [(by, each) for by, each in found if by > allowed]
    worse.sort(key=lambda pair: pair[0], reverse=True)
    for by, each in worse[:SLICES_NAMED]:
        yield (
            f"Slice {each.name!r} is {100 * by:.1f}% worse on {each.rows} trips, and certainly "
            f"worse; the policy allows {100 * allowed:.4g}%."
        )
    if len(worse) > SLICES_NAMED:
        more = len(worse) - SLICES_NAMED
        yield f"So {'is 1 more slice' if more == 1 else f'are {more} more slices'}; see the report."


def regression_of(figures: Metric) -> float:
    """How much worse, as a part of the baseline's figure; any worsening of 0 is without limit."""
    gain, _, _ = gain_of(figures)
    if not figures.baseline:
        return math.inf if gain < 0 else 0.0
    return -gain / abs(figures.baseline)


def model_breaches(findings: Findings, policy: Policy) -> Iterator[str]:
    megabytes = findings.size_bytes / BYTES_PER_MB
    if policy.max_model_mb and megabytes > policy.max_model_mb:
        yield f"The model has {megabytes:.2f} MB; the policy allows {policy.max_model_mb:g} MB."
    latency = findings.row_latency_ms
    if policy.max_row_latency_ms and latency > policy.max_row_latency_ms:
        yield (
            f"Scoring one trip takes {latency:.2f} ms; the policy allows "
            f"{policy.max_row_latency_ms:g} ms."
        )
