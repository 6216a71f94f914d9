"""The gate's policy, [tool.taxiops.gate]: what a candidate must show; decides nothing."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taxiops.domain.evidence import digest_of_json
from taxiops.domain.fields import Fields, shown
from taxiops.errors import UsageError

LOWER, HIGHER = "lower_is_better", "higher_is_better"
DIRECTIONS = {"mae": LOWER, "rmse": LOWER, "r2": HIGHER, "mape": LOWER}
NAIVE, REFUSE = "naive", "refuse"
MOST_DAYS = 36_500


@dataclass(frozen=True)
class Policy:
    """What the candidate must show to pass.

    primary_metric: the one that decides. min_relative_improvement: least gain, as a part of the
    baseline's figure (0.01 is one percent). confidence: of every interval. guard_metrics: none of
    them may be certainly worse, nor be measured as worse by more than max_guard_regression, as a
    part of the baseline's figure, even if that may be chance. metric_limits: the candidate's own
    figures, at most, or at least where higher is better. max_slice_regression: how much worse a
    slice may be, as a part of the baseline's figure there, once it is certainly worse.
    min_slice_rows: smaller slices are shown, but do not decide. first_run: what the candidate must
    beat when no model was released before, the naive fare or nothing that is there (refuse).
    max_model_mb and max_row_latency_ms: of the candidate, 0 for any. max_report_age_days: how old a
    report may be that is decided from, 0 for any age. allow_override_in_prod: whether Prod takes a
    version whose gate was overridden.
    """

    primary_metric: str = "mae"
    min_relative_improvement: float = 0.01
    confidence: float = 0.95
    guard_metrics: tuple[str, ...] = ("rmse",)
    max_guard_regression: float = 0.05
    metric_limits: Mapping[str, float] = field(default_factory=dict)
    max_slice_regression: float = 0.1
    min_slice_rows: int = 100
    first_run: str = NAIVE
    max_model_mb: float = 0.0
    max_row_latency_ms: float = 0.0
    max_report_age_days: float = 30.0
    allow_override_in_prod: bool = False

    def document(self) -> dict[str, Any]:
        """The policy as comparison.json holds it, every default written out."""
        return {**dataclasses.asdict(self), "guard_metrics": list(self.guard_metrics)}

    def sha256(self) -> str:
        """The digest of the canonical policy: equal for equal policies, defaults or not."""
        return digest_of_json(self.document())


def parse_policy(table: Mapping[str, Any], where: str = "[tool.taxiops.gate]") -> Policy:
    """The table as a policy, defaults for what it leaves out.

    Raises UsageError naming the key: unknown (with a suggestion), of the wrong kind or out of
    range.
    """
    return read_policy(Fields({**Policy().document(), **table}, where, UsageError))


def read_policy(fields: Fields) -> Policy:
    """A policy with every key written out; raises the error of `fields` as parse_policy does."""
    check_keys(fields, list(Policy().document()))
    confidence = fields.number("confidence", 0.5, 1)
    if confidence == 1:
        fields.refuse("confidence", "is 1, but no interval is certain")
    return Policy(
        primary_metric=fields.choice("primary_metric", tuple(DIRECTIONS)),
        min_relative_improvement=fields.number("min_relative_improvement", 0, 1),
        confidence=confidence,
        guard_metrics=read_guards(fields),
        max_guard_regression=fields.number("max_guard_regression", 0, 10),
        metric_limits=read_limits(fields.child("metric_limits")),
        max_slice_regression=fields.number("max_slice_regression", 0, 10),
        min_slice_rows=fields.whole("min_slice_rows", 2),
        first_run=fields.choice("first_run", (NAIVE, REFUSE)),
        max_model_mb=fields.number("max_model_mb", 0),
        max_row_latency_ms=fields.number("max_row_latency_ms", 0),
        max_report_age_days=fields.number("max_report_age_days", 0, MOST_DAYS),
        allow_override_in_prod=fields.flag("allow_override_in_prod"),
    )


def check_keys(fields: Fields, known: list[str]) -> None:
    """Raises the error of `fields` for a key that is not known, with the one that was meant."""
    for name in fields.document:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
            raise fields.error(
                f"{fields.what}: {fields.path_of(shown(name))}: unknown key.",
                hint=hint,
                code="config-unknown-key",
            )


def read_guards(fields: Fields) -> tuple[str, ...]:
    """Names of metrics, each once, in the order of all metrics, so that equal sets are equal."""
    named = fields.texts("guard_metrics")
    for at, name in enumerate(named):
        if name not in DIRECTIONS:
            fields.refuse(
                f"guard_metrics[{at}]",
                f"must be one of {', '.join(DIRECTIONS)}, not {shown(name)}",
            )
    return tuple(name for name in DIRECTIONS if name in named)


def read_limits(fields: Fields) -> dict[str, float]:
    check_keys(fields, list(DIRECTIONS))
    return {name: fields.number(name) for name in DIRECTIONS if name in fields.document}
