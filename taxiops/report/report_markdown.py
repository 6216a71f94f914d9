"""report.md: what a pull request's comment and a step summary show; nothing in it is markup."""

import re
from collections.abc import Sequence

from taxiops.domain.comparison import Comparison
from taxiops.domain.gate import Verdict
from taxiops.report.wording import (
    NAMES,
    SHORT,
    VERDICTS,
    baseline_name,
    count,
    figure,
    gain_of,
    percent,
    plain,
    uncompared_slices,
)

EMOJI = {
    "improved": ":white_check_mark:",
    "not_improved": ":x:",
    "inconclusive": ":grey_question:",
    "no_baseline": ":grey_question:",
}
MARKUP = re.compile(r"([\\`*_{}\[\]#!|~$])")
# What GitHub makes a link or a mention of, even in plain text.
LINK = re.compile(r"@|:(?=//)|\bwww(?=\.)", re.IGNORECASE)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, HTML, table cell, link or mention in it."""
    shown = MARKUP.sub(r"\\\1", plain(text))
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return LINK.sub("\\g<0>\N{WORD JOINER}", shown)


def code(text: str) -> str:
    """Text in a code span that it cannot leave, not even in a table."""
    return f"`{plain(text).replace('`', chr(39)).replace('|', '¦') or ' '}`"


def render_markdown(comparison: Comparison, verdict: Verdict) -> str:
    """The report in brief: verdict, metrics, the slices that stand out, provenance."""
    parts = [
        f"## {EMOJI[verdict.verdict]} {VERDICTS[verdict.verdict]}",
        f"The gate **{'passes' if verdict.passed else 'refuses'}** this candidate, measured "
        f"against {escaped(baseline_name(comparison))} on the same {count(comparison.test_rows)} "
        "test trips.",
        "\n".join(f"- {escaped(reason)}" for reason in verdict.reasons),
        metrics_table(comparison),
        slices_part(comparison),
        provenance(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("---:",) * (len(head) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def metrics_table(comparison: Comparison) -> str:
    interval = f"{100 * comparison.confidence:.4g} % interval"
    rows = []
    for name, metric in comparison.metrics.items():
        label = f"**{NAMES[name]}**" if name == comparison.primary_metric else NAMES[name]
        low, high = (
            figure(metric, name, end, is_signed=True) for end in (metric.ci_low, metric.ci_high)
        )
        rows.append(
            (
                label,
                figure(metric, name, metric.candidate),
                figure(metric, name, metric.baseline),
                figure(metric, name, metric.change, is_signed=True),
                f"{low} to {high}",
                percent(gain_of(metric).percent),
            )
        )
    return table(("Metric", "Candidate", "Baseline", "Change", interval, "Gain"), rows)


def slices_part(comparison: Comparison) -> str:
    """How many slices gain and lose, and all of them folded away."""
    if not comparison.slices:
        return ""
    name = NAMES[comparison.primary_metric]
    words = [SHORT[each.verdict] for each in comparison.slices]
    said = ", ".join(f"{words.count(word)} {word}" for word in SHORT.values() if words.count(word))
    rows = [
        (
            escaped(plain(each.name, 60)),
            count(each.rows),
            percent(gain_of(each.figures).percent),
            f"{percent(gain_of(each.figures).low_percent)} to "
            f"{percent(gain_of(each.figures).high_percent)}",
            SHORT[each.verdict],
        )
        for each in comparison.slices
    ]
    interval = f"{100 * comparison.slice_confidence:.4g} % interval"
    folded = table(("Slice", "Trips", f"Gain in {name}", interval, "So it is"), rows)
    apart = escaped(uncompared_slices(comparison))
    if apart:
        folded += f"\n\nNot compared, for want of test trips: {apart}."
    return f"<details><summary>Slices: {said}</summary>\n\n{folded}\n\n</details>"


def provenance(comparison: Comparison) -> str:
    facts = (
        ("commit", comparison.commit),
        ("branch", comparison.branch),
        ("job", comparison.job_name),
        ("model", comparison.candidate_sha256),
        ("test trips", comparison.test_sha256),
        ("policy", comparison.policy_sha256),
        ("compared at", comparison.created_at),
    )
    return (
        "<sub>" + " · ".join(f"{name} {code(value)}" for name, value in facts if value) + "</sub>"
    )
