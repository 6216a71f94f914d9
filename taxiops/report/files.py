"""The report's files beside comparison.json; the one module of this room that writes."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.domain.gate import decide, parse_comparison
from taxiops.errors import UsageError
from taxiops.report.plots import draw_plots
from taxiops.report.report_html import render_html
from taxiops.report.report_markdown import render_markdown
from taxiops.report.samples import parse_samples
from taxiops.report.svg import standalone


@dataclass(frozen=True)
class ReportFiles:
    """What was written: one self-contained page, its short form, and the plots as files."""

    html: Path
    markdown: Path
    plots: tuple[Path, ...]


def write_report(
    folder: Path, comparison: Mapping[str, Any], samples: Mapping[str, Any] | None
) -> ReportFiles:
    """Write report.html, report.md and plots/*.svg into the folder, made if it is missing.

    comparison and samples: the documents of the compare step; without samples the page has fewer
    plots. Raises EvidenceError when the comparison contradicts itself, for then there is no verdict
    to show; UsageError when samples are malformed or the folder cannot be written.
    """
    parsed = parse_comparison(comparison)
    verdict = decide(parsed, parsed.policy)
    drawn_from = parse_samples(samples) if samples is not None else None
    plots = draw_plots(parsed, drawn_from)
    files = ReportFiles(
        html=folder / "report.html",
        markdown=folder / "report.md",
        plots=tuple(folder / "plots" / f"{name}.svg" for name in plots),
    )
    for path, plot in zip(files.plots, plots.values(), strict=True):
        write_text(path, standalone(plot.svg))
    write_text(files.markdown, render_markdown(parsed, verdict))
    write_text(files.html, render_html(parsed, verdict, drawn_from, plots))
    return files


def write_text(path: Path, text: str) -> None:
    """Written beside and moved into place, so that no half file is ever found."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as draft:
            draft.write(text)
        Path(draft.name).chmod(0o644)
        Path(draft.name).replace(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}.",
            hint="Check TAXIOPS_OUTPUT and the folder's permissions.",
            code="output-unwritable",
        ) from error
