"""`taxiops deploy`: parse, call the workflow, render."""

from typing import Annotated

import typer

from taxiops.cli.compare import Suffix
from taxiops.cli.completion import commits, slots, versions
from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.errors import UsageError

app = verb()

ModelVersion = Annotated[
    str | None,
    typer.Option(
        "--model-version",
        metavar="N",
        help="Registry version (default: newest with evidence).",
        autocompletion=versions,
    ),
]
Commit = Annotated[
    str | None,
    typer.Option(
        "--commit",
        metavar="SHA",
        help="The version promoted from this commit.",
        autocompletion=commits,
    ),
]
Slot = Annotated[
    str | None,
    typer.Option(
        "--slot",
        help="Where to deploy (default: blue or green, whichever is idle).",
        autocompletion=slots,
    ),
]
TrafficPercent = Annotated[
    int | None,
    typer.Option("--traffic-percent", min=0, max=100, help="Canary share once it is tested."),
]
# Azure mirrors at most half of the traffic.
Mirror = Annotated[
    int | None,
    typer.Option("--mirror", min=0, max=50, help="Share of requests copied to the slot."),
]
Wait = Annotated[
    int,
    typer.Option(
        "--wait", min=0, metavar="MINUTES", help="Wait for another run's rollout to end first."
    ),
]
Steps = Annotated[
    str,
    typer.Option("--steps", metavar="5,30,100", help="Shares one after the other, each tested."),
]
Bake = Annotated[
    float | None,
    typer.Option("--bake", min=0, metavar="MINUTES", help="How long each share is watched."),
]
AsJob = Annotated[
    bool, typer.Option("--as-job", help="Act inside an Azure ML pipeline instead of from here.")
]


def parse_steps(text: str) -> tuple[int, ...]:
    """The shares in percent; raises UsageError for anything but whole numbers with commas."""
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError as error:
        raise UsageError(
            f"--steps {text}: must be whole percents with commas.", hint="--steps 5,30,100"
        ) from error


@command(app, "deploy")
def deploy(
    session: Session,
    model_version: ModelVersion = None,
    commit: Commit = None,
    slot: Slot = None,
    traffic_percent: TrafficPercent = None,
    mirror: Mirror = None,
    steps: Steps = "",
    bake: Bake = None,
    wait: Wait = 0,
    as_job: AsJob = False,
    artifact_suffix: Suffix = "",
) -> Outcome:
    """Deploy a promoted model to a slot: provision at 0 %, test it, give it the canary share.

    A first deployment gets all traffic. If it fails, the prior state is restored. With --steps the
    share grows, each step tested under it. With --as-job, a pipeline does this, the test, and the
    traffic or the rollback.
    """
    if as_job and (steps or bake is not None):
        raise UsageError("--steps and --bake are not for --as-job.", hint="Leave --as-job away.")
    if model_version and commit:
        raise UsageError("--model-version and --commit exclude each other.", hint="Give one.")
    from taxiops.cli.console import Facts
    from taxiops.cli.traffic import shares
    from taxiops.workflows.as_job.rollout import JobRolloutResult, deploy_in_job
    from taxiops.workflows.deploy import DeployOptions
    from taxiops.workflows.deploy import deploy as act_from_here
    from taxiops.workflows.evidence.ledger import own_run_id

    options = DeployOptions(
        # An empty option is one left away, as in a workflow whose input is empty.
        model_version=model_version or None,
        commit=commit or None,
        slot=slot,
        traffic_percent=traffic_percent,
        mirror_percent=mirror,
        run_id=own_run_id(),
        wait_min=wait,
        steps=parse_steps(steps),
        bake_min=bake,
    )
    result = (
        deploy_in_job(session.settings, options, artifact_suffix, session.progress)
        if as_job
        else act_from_here(session.settings, options, session.progress)
    )
    state = result.state
    model = state.get("model") or {}
    facts = [
        ("model", f"{model.get('name', '')} version {model.get('version', '')}"),
        ("phase", str(state.get("phase", ""))),
        ("first deployment", "yes" if result.first_deployment else "no"),
        ("state file", str(result.state_file)),
    ]
    if isinstance(result, JobRolloutResult):
        facts.insert(0, ("job", result.job_name))
    return Outcome(
        result,
        headline=f"Slot {result.slot} of {result.endpoint} serves "
        f"{state['traffic'].get(result.slot, 0)} %: {shares(state['traffic'])}",
        blocks=(Facts(tuple(facts)),),
        outputs={
            "endpoint": result.endpoint,
            "slot": result.slot,
            "first_deployment": str(result.first_deployment).lower(),
            "state_file": str(result.state_file),
        },
    )
