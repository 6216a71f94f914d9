"""An outcome of every command, to be rendered; what the workflows do stands elsewhere."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_mock import MockerFixture
from typer.testing import Result

from taxiops.cloud.lease import Holder
from taxiops.domain.chain import Link
from taxiops.workflows.as_job.steps import StepOutcome
from taxiops.workflows.emulator import EmulatorResult
from taxiops.workflows.github.comment import CommentResult
from taxiops.workflows.github.deployment import DeploymentResult
from taxiops.workflows.github.merge import MergeResult
from taxiops.workflows.github.release import ReleaseResult
from taxiops.workflows.history import TEXTS, Happening, HistoryResult
from taxiops.workflows.rollouts.record import ModelReference
from taxiops.workflows.serving import Serving
from taxiops.workflows.status import EnvironmentStatus, StatusResult
from taxiops.workflows.trace import TraceResult

from .test_rendering import CASES, DIGEST, SLOT

NO_TARGET = ""
FAR = "Zoë's 出租车, ünïcode"
FAULT = {
    **{"name": "f1", "kind": "throttle", "on": "PUT onlineEndpoints", "target": "*"},
    **{"count": 1, "struck": 0},
}
EXPORT = {"format": "1", "exported_at": "now", "files": 2, "bytes": 3, "file": "f.tgz"}
TEXT = dict.fromkeys(TEXTS, "x") | {"at": "2026-01-02T03:04:05.123Z", "detail": FAR}
STEP = StepOutcome("deploy", "failed", 6, FAR, "why", "taxiops x", "code")
INSIDE = "--out out --settings x --environment dev"


@dataclass(frozen=True)
class Outcome:
    """A command line and what its workflow answers; without a target the real one answers."""

    line: str
    target: str = NO_TARGET
    result: Any = None

    @property
    def command(self) -> str:
        """The command's name, without options and arguments."""
        words = self.line.split()
        at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
        return " ".join(words[:at])


def emulator(name: str, function: str, **facts: Any) -> Outcome:
    result = EmulatorResult({"schema_version": 1, **facts}, "taxiops x")
    return Outcome(f"emulator {name}", f"emulator.{function}", result)


def step(name: str, options: str) -> Outcome:
    function = {"test": "check_step"}.get(name, f"{name}_step")
    return Outcome(f"pipeline-step {name} {options}", f"as_job.steps.{function}", STEP)


PUT = Happening(TEXT, {}, {"blue": 100}, 3)
MORE = [
    Outcome(
        "status",
        "status.read_status",
        StatusResult(
            (
                EnvironmentStatus(
                    "dev",
                    "w",
                    "e",
                    True,
                    {"blue": 70, "green": 30},
                    slots=(SLOT,),
                    phase="canary",
                    tested="passed",
                    holder=Holder("zoe", "h", "1", "", FAR, "2026-01-02T03:04:05Z"),
                    last_event=TEXT,
                    drift=(FAR,),
                ),
                EnvironmentStatus("prod", "w", "e"),
            ),
            datetime(2026, 1, 2, tzinfo=UTC),
        ),
    ),
    Outcome("explain"),
    Outcome("config show"),
    Outcome(
        "history",
        "history.read_history",
        HistoryResult("dev", "e", (PUT,), {"blue": PUT}, (), 3, "taxiops x"),
    ),
    Outcome(
        "trace",
        "trace.trace",
        TraceResult(
            ModelReference("r", "m", "4", DIGEST),
            {"branch": FAR, "commit": "c" * 40, "comparison_run": "j"},
            "Completed",
            (Link("commit", "not checked", "the object", FAR, FAR), Link("job", "holds", "j", "t")),
            (Serving("dev", "e", "blue", 100, DIGEST),),
            (("model.skops", "0" * 64),),
            Path("release-notes.md"),
            "taxiops x",
        ),
    ),
    Outcome(
        "github comment --pull-request 1 --file f.md",
        "github.comment.comment",
        CommentResult("o/r", 1, "report", 7, "https://x", "created"),
    ),
    Outcome(
        "github deployment --environment production --state success",
        "github.deployment.record_deployment",
        DeploymentResult("o/r", "production", "c" * 40, 7, "success", True, True),
    ),
    Outcome(
        "github merge --head integration --base main",
        "github.merge.merge",
        MergeResult("o/r", "integration", "main", "c" * 40, "d" * 40, "merge"),
    ),
    Outcome(
        "github release --tag v1 --sha abc --title t --notes n.md",
        "github.release.release",
        ReleaseResult("o/r", "v1", "c" * 40, 7, "https://x", "created"),
    ),
    emulator("start", "start", running=True, state="s", arm="https://x"),
    emulator("stop", "stop", running=False, state="s"),
    emulator("export -- f.tgz", "export", **EXPORT),
    emulator("import -- f.tgz", "import_file", **EXPORT),
    emulator("reset", "reset", running=True, state="s", arm="https://x"),
    Outcome(
        "emulator fault add --on x throttle",
        "emulator.add_fault",
        EmulatorResult({"schema_version": 1, "name": "f1"}, "taxiops x"),
    ),
    emulator("fault list", "list_faults", faults=[FAULT]),
    emulator("fault clear", "clear_faults", cleared=1),
    step("deploy", INSIDE),
    step("test", f"{INSIDE} --from came --report report"),
    step("traffic", f"{INSIDE} --from came"),
    step("rollback", f"{INSIDE} --from came"),
    Outcome("pipeline-step register --report r --out out --settings x", "as_job.steps.register"),
]
COMMANDS = [*(Outcome(case.line, case.target, case.result) for case in CASES), *MORE]


def played(outcome: Outcome, typed: Any, mocker: MockerFixture, *options: str) -> Result:
    """What the command line shows when its workflow answers so."""
    if outcome.target:
        mocker.patch(f"taxiops.workflows.{outcome.target}", return_value=outcome.result)
    if outcome.command.startswith("pipeline-step"):
        mocker.patch("taxiops.cli.pipeline_step.inside")
        mocker.patch("taxiops.workflows.as_job.steps.promoted_version", return_value="4")
    command = outcome.command.split()
    result: Result = typed(*command, *options, *outcome.line.split()[len(command) :])
    return result
