"""report.html: one self-contained page, verdict first; everything that is told is escaped."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from taxiops.domain.comparison import Comparison
from taxiops.domain.gate import Verdict
from taxiops.report.plots import Plot
from taxiops.report.samples import Quantile, Samples, WorstTrip
from taxiops.report.svg import theme_css
from taxiops.report.wording import (
    MEANINGS,
    NAMES,
    SHORT,
    SYMBOLS,
    VERDICTS,
    baseline_name,
    count,
    decimal,
    figure,
    gain_of,
    percent,
    plain,
    policy_rows,
    uncompared_slices,
)

TEMPLATE = "report.html.j2"
# What of a worst trip is shown, and under which heading.
TRIP_COLUMNS = {
    "pickup_datetime": "Pick-up",
    "trip_distance_miles": "Miles",
    "passenger_count": "Passengers",
    "rate_code": "Rate",
    "payment_type": "Payment",
    "pickup_zone": "From zone",
    "dropoff_zone": "To zone",
}
UNKNOWN = "\N{EN DASH}"


def render_html(
    comparison: Comparison, verdict: Verdict, samples: Samples | None, plots: Mapping[str, Plot]
) -> str:
    """The page as text. plots: by name, as draw_plots gives them, their texts escaped already.

    Only those drawings and the theme's constants pass the template unescaped.
    """
    environment = Environment(
        loader=PackageLoader("taxiops.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    template = environment.get_template(TEMPLATE)
    return template.render(
        theme=theme_css(":root"),
        verdict=verdict,
        symbol=SYMBOLS[verdict.verdict],
        headline=VERDICTS[verdict.verdict],
        primary=NAMES[comparison.primary_metric],
        confidence=share(comparison.confidence),
        slice_confidence=share(comparison.slice_confidence),
        baseline=baseline_name(comparison),
        test_rows=count(comparison.test_rows),
        metrics=metric_rows(comparison),
        slices=slice_rows(comparison),
        uncompared=uncompared_slices(comparison),
        plots=plots,
        quantiles=quantile_rows(samples),
        worst=worst_rows(samples),
        changes=change_rows(samples),
        features=feature_rows(samples),
        provenance=provenance_rows(comparison),
        policy=policy_rows(comparison.policy),
    )


def share(part: float) -> str:
    return f"{100 * part:.4g} %"


def metric_rows(comparison: Comparison) -> list[dict[str, Any]]:
    rows = []
    for name, metric in comparison.metrics.items():
        gain = gain_of(metric)
        rows.append(
            {
                "name": NAMES[name],
                "meaning": MEANINGS[name],
                "is_primary": name == comparison.primary_metric,
                "candidate": figure(metric, name, metric.candidate),
                "baseline": figure(metric, name, metric.baseline),
                "change": figure(metric, name, metric.change, is_signed=True),
                "low": figure(metric, name, metric.ci_low, is_signed=True),
                "high": figure(metric, name, metric.ci_high, is_signed=True),
                "gain": percent(gain.percent),
                "word": word_of(gain.percent, gain.is_certain),
            }
        )
    return rows


def word_of(gain_percent: float, is_certain: bool) -> str:
    if not is_certain:
        return "may be chance"
    return "better" if gain_percent > 0 else "worse"


def slice_rows(comparison: Comparison) -> list[dict[str, str]]:
    name = comparison.primary_metric
    return [
        {
            "name": plain(each.name, 60),
            "rows": count(each.rows),
            "candidate": figure(each.figures, name, each.figures.candidate),
            "baseline": figure(each.figures, name, each.figures.baseline),
            "gain": percent(gain_of(each.figures).percent),
            "low": percent(gain_of(each.figures).low_percent),
            "high": percent(gain_of(each.figures).high_percent),
            "word": SHORT[each.verdict],
        }
        for each in comparison.slices
    ]


def quantile_rows(samples: Samples | None) -> list[dict[str, str]]:
    """Absolute errors by part of the trips, and the mean signed error last."""
    if samples is None:
        return []
    rows = [
        quantile_row(f"{100 * level:.4g} % of trips stay below", found)
        for level, found in samples.quantiles.items()
    ]
    if samples.bias_usd is not None:
        rows.append(quantile_row("mean signed error (bias)", samples.bias_usd, is_signed=True))
    return rows


def quantile_row(name: str, found: Quantile, *, is_signed: bool = False) -> dict[str, str]:
    return {
        "name": name,
        "candidate": usd(found.candidate, is_signed=is_signed),
        "baseline": usd(found.baseline, is_signed=is_signed),
        "change": usd(found.candidate - found.baseline, is_signed=True),
        "low": usd(found.low, is_signed=True),
        "high": usd(found.high, is_signed=True),
    }


def usd(value: float, *, is_signed: bool = False) -> str:
    return decimal(value, 2, is_signed)


def worst_rows(samples: Samples | None) -> dict[str, Any] | None:
    """Headings and rows of the worst trips, only columns that some trip has."""
    if samples is None or not samples.worst:
        return None
    known = [name for name in TRIP_COLUMNS if any(trip.trip.get(name) for trip in samples.worst)]
    return {
        "columns": [TRIP_COLUMNS[name] for name in known],
        "rows": [worst_row(trip, known) for trip in samples.worst],
    }


def worst_row(trip: WorstTrip, names: list[str]) -> dict[str, Any]:
    return {
        "actual": usd(trip.actual),
        "candidate": usd(trip.candidate),
        "baseline": usd(trip.baseline),
        "error": usd(trip.candidate - trip.actual, is_signed=True),
        "cells": [plain(trip.trip.get(name, ""), 40) or UNKNOWN for name in names],
    }


def change_rows(samples: Samples | None) -> list[dict[str, Any]]:
    """Kind, features, parameters and training of both models, those that differ marked."""
    if samples is None:
        return []
    ours, theirs = samples.candidate, samples.baseline
    rows = [("kind", ours.kind, theirs.kind)]
    rows.append(
        (
            "features",
            ", ".join(each for each in ours.features if each not in theirs.features),
            ", ".join(each for each in theirs.features if each not in ours.features),
        )
    )
    for mine, other in ((ours.params, theirs.params), (ours.facts, theirs.facts)):
        rows += [(name, mine.get(name, ""), other.get(name, "")) for name in {**mine, **other}]
    return [
        {
            "name": "features only there" if name == "features" else plain(name, 60),
            "candidate": plain(one, 200) or UNKNOWN,
            "baseline": plain(other, 200) or UNKNOWN,
            "differs": one != other,
        }
        for name, one, other in rows
    ]


def feature_rows(samples: Samples | None) -> list[dict[str, str]]:
    if samples is None:
        return []
    names = ("known", "missing", "mean", "sd", "min", "max")
    return [
        {
            "name": plain(feature, 60),
            **{name: plain(row.get(name, ""), 30) or UNKNOWN for name in names},
        }
        for feature, row in samples.features.items()
    ]


def provenance_rows(comparison: Comparison) -> list[tuple[str, str]]:
    baseline = comparison.baseline
    rows = [
        ("compared at", comparison.created_at),
        ("commit", comparison.commit),
        ("branch", comparison.branch),
        ("Azure ML job", comparison.job_name),
        ("workspace", comparison.job_workspace),
        ("test trips", f"{count(comparison.test_rows)} from {comparison.test_source}"),
        ("test trips, digest", comparison.test_sha256),
        ("candidate", comparison.candidate_path),
        ("candidate, digest", comparison.candidate_sha256),
        ("candidate, size", f"{comparison.findings.size_bytes / 1e6:.2f} MB"),
        (
            "candidate, one trip",
            f"{comparison.findings.row_latency_ms:.2f} ms (median, in the job)",
        ),
        ("baseline", baseline_name(comparison)),
        ("baseline, digest", baseline.sha256),
        ("policy, digest", comparison.policy_sha256),
    ]
    return [(name, plain(value, 400) or "not recorded") for name, value in rows]
