"""`taxiops pipeline-step`: parse, call the workflows, render; what the components' commands run."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from taxiops.cli.shared import Outcome, Session, command, noun, place
from taxiops.errors import ExitCode

if TYPE_CHECKING:
    from taxiops.config import Settings
    from taxiops.workflows.as_job.steps import StepFolders, StepOutcome

app = noun("Do one step of a rollout inside an Azure ML job; the pipelines' components call it.")

AUTOMATIC, NEWEST, NO_SUFFIX = "automatic", "newest", "none"

Environment = Annotated[
    Literal["dev", "prod"], typer.Option("--environment", help="The workspace that the job is in.")
]
Told = Annotated[
    str, typer.Option("--settings", metavar="TEXT", help="Settings, as --as-job encodes them.")
]
From = Annotated[
    Path, typer.Option("--from", metavar="FOLDER", help="What the former step handed on.")
]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="What this step hands on.")]


@dataclass(frozen=True)
class Registered:
    """The register step's answer."""

    version: str
    next_command: str = ""

    def document(self) -> dict[str, object]:
        return {"schema_version": 1, "model_version": self.version}


@contextmanager
def inside(session: Session, told: str, environment: str) -> "Iterator[Settings]":
    """The settings of this job, whose output is a folder of its own, gone after the block."""
    from taxiops.workflows.as_job.settings import settings_in_job

    with tempfile.TemporaryDirectory(prefix="taxiops-step-") as scratch:
        settings = settings_in_job(told, environment, os.environ, Path.cwd(), Path(scratch))
        session.progress(place(settings, both=False))
        yield settings


def folders(came_from: Path | None, out: Path, suffix: str = "") -> "StepFolders":
    from taxiops.workflows.as_job.steps import StepFolders

    return StepFolders(came_from, out, suffix)


def ended(outcome: "StepOutcome", *, last: bool = False) -> Outcome:
    """A step that failed ends well as a process; the last one ends with what went wrong."""
    from taxiops.cli.console import Facts

    failed = f"{outcome.step} failed: {outcome.what}" if outcome.failed else ""
    rows = (("status", outcome.status), ("failed step", outcome.step), ("why", outcome.why))
    shown = rows if failed else rows[:1]
    return Outcome(
        outcome,
        headline=failed or f"The {outcome.step} step is done.",
        blocks=(Facts(tuple(row for row in shown if row[1])),),
        exit_code=ExitCode(outcome.exit_code) if last else ExitCode.DONE,
        failure=failed if last else "",
    )


@command(app, "register", places_itself=True)
def register(
    session: Session,
    report: Annotated[
        Path, typer.Option("--report", metavar="FOLDER", help="Output of the compare step.")
    ],
    out: Out,
    told: Told,
) -> Outcome:
    """Gate and promote: put the compared model into the registry. Exit code 3 when refused."""
    from taxiops.workflows.as_job import steps as job_steps

    with inside(session, told, "dev") as settings:
        job_steps.register(settings, report, out, session.progress)
    version = job_steps.promoted_version(out)
    return Outcome(Registered(version), headline=f"Version {version} is in the registry.")


@command(app, "deploy", places_itself=True)
def deploy(
    session: Session,
    environment: Environment,
    out: Out,
    told: Told,
    promotion: Annotated[
        Path | None,
        typer.Option("--promotion", metavar="FOLDER", help="Output of the register step."),
    ] = None,
    model_version: Annotated[
        str, typer.Option("--model-version", metavar="N", help="Registry version.")
    ] = NEWEST,
    deployment_name: Annotated[
        str, typer.Option("--deployment-name", metavar="SLOT", help="Slot to deploy to.")
    ] = AUTOMATIC,
    traffic_percent: Annotated[
        int, typer.Option("--traffic-percent", min=0, max=100, help="Canary share.")
    ] = 30,
    artifact_suffix: Annotated[
        str, typer.Option("--artifact-suffix", help="Recorded with the outcome.")
    ] = NO_SUFFIX,
) -> Outcome:
    """Deploy a promoted version: provision at 0 %, test it, give it the canary share."""
    from taxiops.workflows.as_job import steps as job_steps
    from taxiops.workflows.as_job.settings import ROOT_RUN
    from taxiops.workflows.deploy import DeployOptions

    version = job_steps.promoted_version(promotion) if promotion else model_version
    options = DeployOptions(
        model_version=None if version == NEWEST else version,
        slot=None if deployment_name == AUTOMATIC else deployment_name,
        traffic_percent=traffic_percent,
        run_id=os.environ.get(ROOT_RUN, ""),
    )
    with inside(session, told, environment) as settings:
        at = folders(None, out, artifact_suffix)
        return ended(job_steps.deploy_step(settings, at, options, session.progress))


@command(app, "test", places_itself=True)
def test(
    session: Session,
    environment: Environment,
    came_from: From,
    out: Out,
    report: Annotated[
        Path, typer.Option("--report", metavar="FOLDER", help="Where the test report goes.")
    ],
    told: Told,
) -> Outcome:
    """Test the slot that was deployed, when it was."""
    from taxiops.workflows.as_job import steps as job_steps

    with inside(session, told, environment) as settings:
        at = folders(came_from, out)
        return ended(job_steps.check_step(settings, at, report, session.progress))


@command(app, "traffic", places_itself=True)
def traffic(
    session: Session, environment: Environment, came_from: From, out: Out, told: Told
) -> Outcome:
    """Move the tested slot to all of the traffic, when its test passed."""
    from taxiops.workflows.as_job import steps as job_steps

    with inside(session, told, environment) as settings:
        at = folders(came_from, out)
        return ended(job_steps.traffic_step(settings, at, session.progress))


@command(app, "rollback", places_itself=True)
def rollback(
    session: Session, environment: Environment, came_from: From, out: Out, told: Told
) -> Outcome:
    """Put back what was before when a step failed, and end as that step would have."""
    from taxiops.workflows.as_job import steps as job_steps

    with inside(session, told, environment) as settings:
        at = folders(came_from, out)
        return ended(job_steps.rollback_step(settings, at, session.progress), last=True)
