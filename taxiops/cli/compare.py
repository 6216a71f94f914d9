"""`taxiops compare`: parse, call the workflow, render."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taxiops.cli.chart import gains_chart
from taxiops.cli.completion import jobs
from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.errors import UsageError

if TYPE_CHECKING:
    from taxiops.cli.console import Block

app = verb()

PIPELINE = Path("pipelines/integration-compare-pipeline.yaml")

Pipeline = Annotated[
    Path, typer.Option("--pipeline", metavar="FILE", help="The pipeline to submit.")
]
StopAfter = Annotated[
    str | None,
    typer.Option("--stop-after", metavar="JOB", help="Run the pipeline only up to this job."),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH_OR_ASSET",
        help="Trips: a CSV or Parquet file, a folder, azureml:NAME:VERSION (default: generated).",
    ),
]
Compute = Annotated[
    str | None, typer.Option("--compute", help="Compute to run on (default: from configuration).")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="K=V", help="Set a pipeline input; may be repeated."),
]
Suffix = Annotated[
    str, typer.Option("--artifact-suffix", help="Kept apart in output names, such as a run number.")
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the job and fetch its report.")
]
Job = Annotated[
    str | None,
    typer.Option(
        "--job", metavar="NAME", help="Re-attach to a job already submitted.", autocompletion=jobs
    ),
]


@command(app, "compare")
def compare(
    session: Session,
    pipeline: Pipeline = PIPELINE,
    stop_after: StopAfter = None,
    data: Data = None,
    compute: Compute = None,
    overrides: Overrides = None,
    artifact_suffix: Suffix = "",
    wait: Wait = True,
    job: Job = None,
) -> Outcome:
    """Train a candidate, compare it with the baseline on the same trips, fetch the report.

    Registers nothing.
    """
    settable = parse_overrides(overrides)
    from taxiops.workflows.compare import CompareOptions
    from taxiops.workflows.compare import compare as run

    options = CompareOptions(
        pipeline=pipeline,
        stop_after=stop_after,
        data=data,
        compute=compute,
        overrides=settable,
        artifact_suffix=artifact_suffix,
        wait=wait,
        job=job,
    )
    result = run(session.settings, options, session.progress)
    return Outcome(
        result,
        headline=headline(result.job_name, result.verdict),
        blocks=blocks(
            result.report_document,
            result.report,
            # The emulator has no studio for the link to lead to.
            "" if session.settings.is_local else result.studio_url,
        ),
        outputs={
            "job_name": result.job_name,
            "improved": "" if result.improved is None else str(result.improved).lower(),
            "report": str(result.report or ""),
        },
        summary=report_markdown(result.report),
    )


def parse_overrides(texts: Sequence[str] | None) -> dict[str, str]:
    """`K=V` texts as a mapping; raises UsageError for a text without `=` or a key given twice."""
    overrides: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--set {text}: it must read KEY=VALUE.", hint="taxiops compare --set max_iter=200"
            )
        if key.strip() in overrides:
            raise UsageError(f"--set {key.strip()}: given twice.", hint="Give each input once.")
        overrides[key.strip()] = value
    return overrides


def headline(job_name: str, verdict: str) -> str:
    if not verdict:
        return f"Job {job_name} is submitted."
    return f"Candidate against baseline: {verdict.replace('_', ' ')}"


def blocks(
    document: Mapping[str, Any] | None, report: Path | None, studio_url: str
) -> "tuple[Block, ...]":
    from taxiops.cli.console import Facts

    shown: list[Block] = []
    if document:
        shown.append(metrics_table(document))
        shown.append(gains_chart(document.get("metrics", {})))
        shown += [f"- {reason}" for reason in document.get("reasons", ())]
    page = report.parent.parent / "report.html" if report else None
    shown = [block for block in shown if block]
    places = (
        ("report", str(page) if page and page.is_file() else ""),
        ("numbers", str(report or "")),
        ("studio", studio_url),
    )
    shown.append(Facts(tuple((name, value) for name, value in places if value)))
    return tuple(shown)


def metrics_table(document: Mapping[str, Any]) -> "Block":
    from taxiops.cli.console import Table

    rows = tuple(
        (
            name,
            figure(metric.get("candidate")),
            figure(metric.get("baseline")),
            figure(metric.get("change"), signed=True),
            f"{figure(metric.get('ci_low'), signed=True)} .. "
            f"{figure(metric.get('ci_high'), signed=True)}",
            str(metric.get("unit", "")),
        )
        for name, metric in document.get("metrics", {}).items()
    )
    columns = ("metric", "candidate", "baseline", "change", "interval of the change", "unit")
    return Table(columns, rows)


def figure(value: float | None, *, signed: bool = False) -> str:
    """A measured number for people; `-` when there is none."""
    if value is None:
        return "-"
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def report_markdown(report: Path | None) -> str:
    """The report's own Markdown, which stands beside or above its JSON."""
    for folder in (report.parent, report.parent.parent) if report else ():
        path = folder / "report.md"
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace")
    return ""
