"""`taxiops gate`: parse, call the workflow, render."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from taxiops.cli.chart import gains_chart
from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.errors import ExitCode, UsageError

app = verb()

Report = Annotated[
    Path | None,
    typer.Argument(metavar="REPORT", help="comparison.json (default: the last compare's)."),
]
Override = Annotated[
    bool, typer.Option("--override", help="Pass a refused comparison; needs --reason.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why it is overridden; it is recorded.")]


@command(app, "gate")
def gate(
    session: Session, report: Report = None, override: Override = False, reason: Reason = ""
) -> Outcome:
    """Decide from a comparison report and the policy whether the candidate may be promoted.

    Needs no cloud. Exit code 3 when it is refused.
    """
    if override != bool(reason.strip()):
        raise UsageError(
            "--override and --reason go together.",
            hint='taxiops gate --override --reason "why this candidate may pass"',
            code="override-without-reason",
        )
    from taxiops.workflows.decide_gate import decide_gate

    result = decide_gate(session.settings, report, override, reason, actor(), session.progress)
    answer = "overridden" if result.overridden_by else "passed" if result.passed else "refused"
    headline = f"Gate {answer}: {result.verdict.replace('_', ' ')}"
    return Outcome(
        result,
        headline=headline,
        blocks=tuple(
            block
            for block in (
                gains_chart({name: asdict(metric) for name, metric in result.metrics.items()}),
                *(f"- {reason}" for reason in result.reasons),
            )
            if block
        ),
        exit_code=ExitCode.DONE if result.passed else ExitCode.GATE_REFUSED,
        failure="" if result.passed else f"{headline}. {' '.join(result.reasons)}",
        outputs={"passed": str(result.passed).lower()},
    )


def actor() -> str:
    """Who decides: the GitHub user of the workflow run, else the user of this machine."""
    import getpass

    if os.environ.get("GITHUB_ACTOR"):
        return os.environ["GITHUB_ACTOR"]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
