"""`taxiops release`: parse, call the workflow, render."""

from typing import Annotated, Literal, get_args

import typer

from taxiops.cli.compare import Data, Overrides, Suffix, parse_overrides
from taxiops.cli.deploy import AsJob
from taxiops.cli.shared import Outcome, Session, command, verb

app = verb()

Step = Literal[
    "test",
    "compare",
    "gate",
    "promote",
    "deploy-dev",
    "test-dev",
    "traffic-dev",
    "deploy-prod",
    "test-prod",
    "traffic-prod",
]
From = Annotated[
    Step | None,
    typer.Option("--from", metavar="STEP", help="First step (default: where it stopped)."),
]
Until = Annotated[
    Step | None, typer.Option("--until", metavar="STEP", help="Last step (default: traffic-prod).")
]


@command(app, "release", both=True, plain_progress=True)
def release(
    session: Session,
    from_step: From = None,
    until_step: Until = None,
    data: Data = None,
    overrides: Overrides = None,
    artifact_suffix: Suffix = "",
    as_job: AsJob = False,
) -> Outcome:
    """Do the whole chain: test, compare, gate, promote, then Dev and Prod with traffic.

    Started again, it resumes where it stopped. The steps: test, compare, gate, promote,
    deploy-dev, test-dev, traffic-dev, deploy-prod, test-prod, traffic-prod.
    """
    settable = parse_overrides(overrides)
    from taxiops.cli.console import Table
    from taxiops.workflows.release import ReleaseOptions
    from taxiops.workflows.release import release as run

    options = ReleaseOptions(
        from_step=from_step,
        until_step=until_step,
        data=data,
        overrides=settable,
        artifact_suffix=artifact_suffix,
        as_job=as_job,
    )
    result = run(session.settings, options, session.progress)
    rows = tuple((step["step"], step["at"], step["detail"]) for step in result.steps)
    return Outcome(
        result,
        headline=f"Release {result.status}: {len(rows)} of {len(get_args(Step))} steps are done.",
        blocks=(Table(("step", "done at", "what"), rows),),
    )
