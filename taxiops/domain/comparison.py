"""comparison.json as typed values, each number checked against its neighbours; decides nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.domain.fields import Fields
from taxiops.domain.policy import DIRECTIONS, HIGHER, LOWER, Policy, read_policy
from taxiops.errors import EvidenceError

WHAT = "comparison.json"
IMPROVED, NOT_IMPROVED = "improved", "not_improved"
INCONCLUSIVE, NO_BASELINE = "inconclusive", "no_baseline"
VERDICTS = (IMPROVED, NOT_IMPROVED, INCONCLUSIVE, NO_BASELINE)
BASELINE_KINDS = ("serving", "registry", "naive")
# The compare step rounds to nine digits; more than this is no rounding.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Metric:
    """One metric of both models. change is candidate minus baseline, relative_change is change
    over the baseline's size, ci_low and ci_high bound the change at the policy's confidence."""

    unit: str
    direction: str
    candidate: float
    baseline: float
    change: float
    relative_change: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Slice:
    """The primary metric's figures in one part of the test trips."""

    name: str
    rows: int
    figures: Metric
    verdict: str


@dataclass(frozen=True)
class Uncompared:
    """A part of the test trips with too few of them for any interval."""

    name: str
    rows: int


@dataclass(frozen=True)
class Baseline:
    """What the candidate was measured against; version is empty for the naive fare."""

    kind: str
    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Findings:
    """What was measured, apart from what is claimed of it.

    size_bytes and row_latency_ms: of the candidate's files, and of scoring one row in the job.
    """

    metrics: Mapping[str, Metric]
    slices: tuple[Slice, ...]
    rows: int
    baseline_kind: str
    size_bytes: int
    row_latency_ms: float


@dataclass(frozen=True)
class Comparison:
    """What the compare step measured and claims, every field present and of its type.

    slice_confidence: of the intervals of slices, stricter than that of the metrics, for there are
    many of them. uncompared: slices without an interval, by which nothing is decided.
    """

    improved: bool
    verdict: str
    reasons: tuple[str, ...]
    primary_metric: str
    confidence: float
    slice_confidence: float
    findings: Findings
    uncompared: tuple[Uncompared, ...]
    test_sha256: str
    test_source: str
    candidate_sha256: str
    candidate_path: str
    baseline: Baseline
    policy: Policy
    policy_sha256: str
    job_name: str
    job_workspace: str
    commit: str
    branch: str
    created_at: str

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return self.findings.metrics

    @property
    def slices(self) -> tuple[Slice, ...]:
        return self.findings.slices

    @property
    def test_rows(self) -> int:
        return self.findings.rows


def parse_comparison(document: Mapping[str, Any]) -> Comparison:
    """comparison.json as a Comparison.

    Raises EvidenceError naming the path of the first field that is missing, of the wrong type, not
    finite, or at odds with its neighbours. What the numbers mean is decide's to say.
    """
    fields = Fields(document, WHAT, EvidenceError)
    fields.check_version()
    primary = fields.choice("primary_metric", tuple(DIRECTIONS))
    test, candidate, job = (fields.child(name) for name in ("test_data", "candidate", "job"))
    return Comparison(
        improved=fields.flag("improved"),
        verdict=fields.choice("verdict", VERDICTS),
        reasons=fields.texts("reasons"),
        primary_metric=primary,
        confidence=fields.number("confidence", 0, 1),
        slice_confidence=fields.number("slice_confidence", 0, 1),
        findings=parse_findings(fields),
        uncompared=tuple(
            Uncompared(each.text("slice", may_be_empty=False), each.whole("rows"))
            for each in fields.children("slices_uncompared")
        ),
        test_sha256=test.sha256("sha256"),
        test_source=test.text("source"),
        candidate_sha256=candidate.sha256("sha256"),
        candidate_path=candidate.text("path", may_be_empty=False),
        baseline=parse_baseline(fields.child("baseline")),
        policy=read_policy(fields.child("policy")),
        policy_sha256=fields.sha256("policy_sha256"),
        job_name=job.text("name"),
        job_workspace=job.text("workspace"),
        commit=fields.text("commit"),
        branch=fields.text("branch"),
        created_at=fields.time("created_at"),
    )


def parse_findings(fields: Fields) -> Findings:
    """The measured part of comparison.json. Raises EvidenceError as parse_comparison does."""
    primary = fields.choice("primary_metric", tuple(DIRECTIONS))
    rows, candidate = fields.child("test_data").whole("rows", 1), fields.child("candidate")
    return Findings(
        metrics=parse_metrics(fields.child("metrics")),
        slices=tuple(parse_slice(each, primary, rows) for each in fields.children("slices")),
        rows=rows,
        baseline_kind=fields.child("baseline").choice("kind", BASELINE_KINDS),
        size_bytes=candidate.whole("size_bytes", 1),
        row_latency_ms=candidate.number("row_latency_ms", 0),
    )


def parse_metrics(fields: Fields) -> dict[str, Metric]:
    """All metrics by name. Raises EvidenceError as parse_comparison does."""
    metrics = {name: parse_metric(fields.child(name), name) for name in DIRECTIONS}
    for model in ("candidate", "baseline"):
        least, root = getattr(metrics["mae"], model), getattr(metrics["rmse"], model)
        # Whatever the errors are, their root mean square is no less than their mean.
        if root < least and not close(root, least):
            fields.refuse(f"rmse.{model}", f"is {root:g}, which is less than the MAE of {least:g}")
    return metrics


def parse_metric(fields: Fields, name: str) -> Metric:
    """The figures of the metric `name`, consistent with one another."""
    direction = fields.choice("direction", (LOWER, HIGHER))
    if direction != DIRECTIONS[name]:
        fields.refuse("direction", f"must be {DIRECTIONS[name]} for {name}")
    least, most = (0, math.inf) if direction == LOWER else (-math.inf, 1)
    metric = Metric(
        unit=fields.text("unit", may_be_empty=False),
        direction=direction,
        candidate=fields.number("candidate", least, most),
        baseline=fields.number("baseline", least, most),
        change=fields.number("change"),
        relative_change=fields.number("relative_change"),
        ci_low=fields.number("ci_low"),
        ci_high=fields.number("ci_high"),
    )
    check_metric(metric, fields)
    return metric


def check_metric(metric: Metric, fields: Fields) -> None:
    expected = metric.candidate - metric.baseline
    if not close(metric.change, expected):
        fields.refuse(
            "change", f"is {metric.change:g}, but candidate minus baseline is {expected:g}"
        )
    relative = relative_change(metric)
    if not close(metric.relative_change, relative):
        fields.refuse(
            "relative_change",
            f"is {metric.relative_change:g}, but change over baseline is {relative:g}",
        )
    if metric.ci_low > metric.ci_high:
        fields.refuse("ci_low", "is above ci_high")


def relative_change(metric: Metric) -> float:
    """The change as a part of the baseline's size; 0 when the baseline is 0."""
    change = metric.candidate - metric.baseline
    relative = change / abs(metric.baseline) if metric.baseline else 0.0
    return relative if math.isfinite(relative) else math.copysign(1e300, relative)


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def parse_slice(fields: Fields, primary: str, test_rows: int) -> Slice:
    return Slice(
        name=fields.text("slice", may_be_empty=False),
        rows=fields.whole("rows", 1, test_rows),
        figures=parse_metric(fields, primary),
        verdict=fields.choice("verdict", (IMPROVED, NOT_IMPROVED, INCONCLUSIVE)),
    )


def parse_baseline(fields: Fields) -> Baseline:
    kind = fields.choice("kind", BASELINE_KINDS)
    return Baseline(
        kind=kind,
        name=fields.text("name", may_be_empty=False),
        version=fields.text("version", may_be_empty=kind == "naive"),
        sha256=fields.sha256("sha256"),
    )
