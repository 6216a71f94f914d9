"""The report's plots, drawn with matplotlib; each with its alt text, none with a window."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from taxiops.domain.comparison import Comparison, Slice
from taxiops.report.samples import Pair, Samples
from taxiops.report.svg import BASELINE, CANDIDATE, GRID, INK, MUTED, SURFACE, finished
from taxiops.report.wording import (
    NAMES,
    Gain,
    count,
    decimal,
    gain_of,
    percent,
    plain,
)

WIDTH_INCHES = 4.8
MOST_POINTS = 1_000
MOST_SLICES = 60
FARTHEST_PERCENT = 400.0
LEAST_DRAWN_PERCENT = 0.2
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.color": BASELINE,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Plot:
    """A drawing: name of its file, title above it, alt text, and the <svg> element."""

    name: str
    title: str
    alt: str
    svg: str


def draw_plots(comparison: Comparison, samples: Samples | None) -> dict[str, Plot]:
    """Every plot there is material for, by name."""
    found = [metrics_plot(comparison)]
    if comparison.slices:
        found.append(slices_plot(comparison))
    if samples and samples.histogram:
        found.append(errors_plot(samples.histogram))
    if samples and samples.points:
        found.append(predictions_plot(samples.points))
    return {plot.name: plot for plot in found}


def drawn(name: str, title: str, alt: str, inches: float, paint: Callable[[Figure], None]) -> Plot:
    """The painted figure as a Plot; the same input gives the same bytes."""
    style = {**STYLE, "svg.hashsalt": name}
    with mpl.rc_context(style), warnings.catch_warnings():
        # A letter that the measuring font lacks is drawn by the reader's own font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH_INCHES, inches), layout="constrained")
        paint(figure)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(name, title, alt, finished(content.getvalue().decode(), name, title, alt))


def metrics_plot(comparison: Comparison) -> Plot:
    """Gain and interval of every metric."""
    rows = [
        (f"{NAMES[name]} *" if name == comparison.primary_metric else NAMES[name], gain_of(metric))
        for name, metric in comparison.metrics.items()
    ]
    demanded = 100 * comparison.policy.min_relative_improvement
    alt = "Gain of the candidate over the baseline, right of zero is better. " + " ".join(
        f"{label.rstrip(' *')}: {spoken(gain)}." for label, gain in rows
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(demanded, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        axes.annotate(
            f"demanded of {NAMES[comparison.primary_metric]}: {demanded:.3g} %",
            (demanded, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize=8,
            color=MUTED,
        )
        forest(axes, rows, span_of([gain for _, gain in rows], demanded))

    return drawn("metrics", "Gain by metric", alt, 2.3, paint)


def slices_plot(comparison: Comparison) -> Plot:
    """Gain and interval of the primary metric in every slice."""
    slices = comparison.slices[:MOST_SLICES]
    rows = [
        (f"{plain(each.name, 40)} ({count(each.rows)})", gain_of(each.figures)) for each in slices
    ]
    name = NAMES[comparison.primary_metric]
    worse = [plain(each.name, 40) for each in slices if each.verdict == "not_improved"]
    alt = (
        f"Gain in {name} of the candidate in {len(slices)} parts of the test trips, right of zero "
        f"is better. {counted(slices, 'improved')} certainly better, {len(worse)} certainly worse"
        f"{': ' + ', '.join(worse[:5]) if worse else ''}, "
        f"{counted(slices, 'inconclusive')} inconclusive."
    )
    wide = [gain_of(each.figures) for each in slices if each.rows >= comparison.test_rows / 20]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        forest(axes, rows, span_of(wide or [gain for _, gain in rows]))

    title = f"Gain in {name} by slice (trips)"
    return drawn("slices", title, alt, 0.9 + 0.235 * len(rows), paint)


def counted(slices: Sequence[Slice], verdict: str) -> int:
    return sum(each.verdict == verdict for each in slices)


def spoken(gain: Gain) -> str:
    word = "better" if gain.percent >= 0 else "worse"
    ends = f"{percent(gain.low_percent)} to {percent(gain.high_percent)}"
    return f"{decimal(abs(gain.percent), 1)} % {word}, interval {ends}"


def span_of(gains: Sequence[Gain], demanded: float = 0.0) -> tuple[float, float]:
    """What the axis shows, in percent: all of the intervals, zero and the demand, within reason."""
    low = min([0.0, *(gain.low_percent for gain in gains)])
    high = max([0.0, demanded, *(gain.high_percent for gain in gains)])
    room = max(0.08 * (high - low), 0.5)
    return max(low - room, -FARTHEST_PERCENT), min(high + room, FARTHEST_PERCENT)


def forest(axes: Axes, rows: Sequence[tuple[str, Gain]], span: tuple[float, float]) -> None:
    """One line a row: interval, and a point, filled when the interval is clear of zero.

    What is beyond the axis ends in an arrow.
    """
    first, last = span
    axes.axvline(0, color=INK, linewidth=1.2)
    for at, (_, gain) in enumerate(rows):
        ends = [min(max(end, first), last) for end in (gain.low_percent, gain.high_percent)]
        axes.plot(ends, [at, at], color=CANDIDATE, linewidth=2, solid_capstyle="butt")
        if gain.low_percent < first:
            axes.plot([first], [at], "<", color=CANDIDATE, markersize=5, clip_on=False)
        if gain.high_percent > last:
            axes.plot([last], [at], ">", color=CANDIDATE, markersize=5, clip_on=False)
        if first <= gain.percent <= last:
            axes.plot(
                [gain.percent],
                [at],
                "o",
                markersize=6,
                markeredgecolor=CANDIDATE,
                markerfacecolor=CANDIDATE if gain.is_certain else SURFACE,
                markeredgewidth=1.5,
            )
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(first, last)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("gain, %  (right: better)")


def errors_plot(histogram: Pair) -> Plot:
    """How far predictions are from fares, both models over the same bins."""
    totals = [max(sum(counts), 1.0) for counts in (histogram.candidate, histogram.baseline)]
    shares = [
        [100 * each / total for each in counts]
        for counts, total in zip((histogram.candidate, histogram.baseline), totals, strict=True)
    ]
    near = [within(histogram.at, counts, 1.0) for counts in shares]
    first, last = visible(histogram.at, shares)
    beyond = [100 - between(histogram.at, counts, first, last) for counts in shares]
    title = "Errors"
    if max(beyond) >= 0.05:
        title += (
            f"; {beyond[0]:.1f} % of the candidate's and {beyond[1]:.1f} % of the baseline's lie "
            "beyond the axis"
        )
    alt = (
        "Share of trips by error, prediction minus fare, in USD. Within one dollar are "
        f"{near[0]:.0f} % of the candidate's predictions and {near[1]:.0f} % of the baseline's."
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        edges = list(histogram.at)
        axes.stairs(shares[0], edges, fill=True, color=CANDIDATE, alpha=0.55, label="candidate")
        axes.stairs(
            shares[1],
            edges,
            color=BASELINE,
            linewidth=1.6,
            linestyle=(0, (4, 1.5)),
            label="baseline",
        )
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlim(first, last)
        axes.set_xlabel("prediction minus fare, USD")
        axes.set_ylabel("% of trips")
        axes.legend(loc="upper right")

    return drawn("errors", title, alt, 2.9, paint)


def within(edges: Sequence[float], shares: Sequence[float], usd: float) -> float:
    """The share of the bins that lie within so many dollars of zero."""
    return between(edges, shares, -usd, usd)


def between(edges: Sequence[float], shares: Sequence[float], first: float, last: float) -> float:
    bins = zip(edges, edges[1:], shares, strict=False)
    return sum(share for low, high, share in bins if low >= first and high <= last)


def visible(edges: Sequence[float], shares: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The range with every bin of at least two thousandths of the trips, but for the outermost:
    they hold what is beyond them, and would stretch the axis for a few trips."""
    inner = range(1, len(edges) - 2)
    used = [at for at in inner if any(row[at] >= LEAST_DRAWN_PERCENT for row in shares)]
    first, last = (used[0], used[-1]) if used else (0, len(edges) - 2)
    return edges[first], edges[last + 1]


def predictions_plot(points: Pair) -> Plot:
    """Predicted against actual fares, a panel for each model."""
    every = max(1, -(-len(points.at) // MOST_POINTS))
    actual = points.at[::every]
    top = sorted(points.at)[int(0.995 * (len(points.at) - 1))] * 1.1
    top = max(top, 1.0)
    alt = (
        f"Predicted against actual fares of {count(len(actual))} test trips up to "
        f"{top:.0f} USD; on the diagonal a prediction is exact. Left the candidate, right the "
        "baseline."
    )

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        series = (("candidate", CANDIDATE, "o"), ("baseline", BASELINE, "x"))
        for axes, (name, colour, mark) in zip(panels, series, strict=True):
            predicted = getattr(points, name)[::every]
            axes.plot([0, top], [0, top], color=INK, linewidth=1)
            axes.plot(actual, predicted, mark, **dot(colour, mark))
            axes.set_xlim(0, top)
            axes.set_ylim(0, top)
            axes.set_aspect("equal")
            axes.set_title(name, fontsize=9.5)
            axes.set_xlabel("fare, USD")
        panels[0].set_ylabel("prediction, USD")

    return drawn("predictions", "Predicted against actual", alt, 3.1, paint)


def dot(colour: str, mark: str) -> dict[str, Any]:
    if mark == "o":
        return {"markersize": 2.6, "markerfacecolor": colour, "markeredgewidth": 0, "alpha": 0.5}
    return {"markersize": 3, "markeredgecolor": colour, "markeredgewidth": 0.7, "alpha": 0.6}
