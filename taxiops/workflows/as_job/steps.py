"""A rollout's steps inside Azure ML jobs: the same workflows, the outcome handed on in a folder.

A step that fails ends well as a process, because Azure ML would start nothing after it: the last
step, which rolls back, reads what went before and ends with that exit code.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.config import Settings
from taxiops.domain.fields import Fields
from taxiops.domain.outcome_files import parse_promotion
from taxiops.errors import EvidenceError, ExitCode, TaxiopsError, UsageError
from taxiops.workflows.decide_gate import VERDICT, decide_gate
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    Progress,
    now,
    read_document,
    write_document,
)
from taxiops.workflows.endpoint_test import check_endpoint
from taxiops.workflows.evidence.ledger import STATE_NAME
from taxiops.workflows.evidence.model_events import note_verdict
from taxiops.workflows.promote import PROMOTION, promote
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.shift_traffic import promote_traffic

STATUS_NAME, OUTCOME_NAME, REPORT_NAME = "deployment_status", "outcome.json", "endpoint_report.json"
DEPLOYED, TESTED, PROMOTED = "deployed", "tested", "promoted"
ROLLED_BACK, FAILED = "rolled_back", "failed"
TEXTS = ("what", "why", "hint", "code", "at", "artifact_suffix")
STATUSES = (DEPLOYED, TESTED, PROMOTED, ROLLED_BACK, FAILED)


@dataclass(frozen=True)
class StepOutcome:
    """How far the rollout came and, when it failed, in which step and why.

    status: one of STATUSES. exit_code: what the pipeline is to end with.
    """

    step: str
    status: str
    exit_code: int = 0
    what: str = ""
    why: str = ""
    hint: str = ""
    code: str = ""
    at: str = ""
    artifact_suffix: str = ""

    @property
    def failed(self) -> bool:
        return self.exit_code != 0

    @property
    def next_command(self) -> str:
        return self.hint if self.failed else ""

    def document(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


@dataclass(frozen=True)
class StepFolders:
    """came_from: the former step's folder; None for the first. out: this step's, handed on.

    suffix: the artifact suffix, told to the first step and handed on.
    """

    came_from: Path | None
    out: Path
    suffix: str = ""


def read_outcome(folder: Path) -> StepOutcome:
    """What the former step wrote; raises NotFound or UsageError naming the field."""
    path = folder / OUTCOME_NAME
    document = read_document(path, "step outcome", "taxiops deploy --as-job")
    fields = Fields(document, str(path), UsageError)
    codes = [int(code) for code in ExitCode]
    outcome = StepOutcome(
        step=fields.text("step"),
        status=fields.choice("status", STATUSES),
        exit_code=fields.whole("exit_code"),
        **{name: str(document.get(name, "")) for name in TEXTS},
    )
    if outcome.exit_code not in codes:
        raise UsageError(f"{path}: exit_code is {outcome.exit_code}.", code="file-broken")
    return outcome


def register(settings: Settings, report: Path, out: Path, progress: Progress) -> None:
    """Gate and promote inside the pipeline; raises EvidenceError when the gate refuses."""
    path = report / "metrics" / "comparison.json"
    result = decide_gate(settings, path, False, "", "", progress)
    if not result.passed:
        note_verdict(connect_to(settings), result.written, progress)
        raise EvidenceError(
            f"The gate refused the candidate: {result.verdict}.",
            why=" ".join(result.reasons),
            hint="Nothing was registered. taxiops compare, with more data or other inputs",
            code="gate-refused",
        )
    promote(settings, path, progress)
    hand_on(settings.output / PROMOTION, out)
    hand_on(settings.output / VERDICT, out)


def promoted_version(folder: Path) -> str:
    """The version that the register step promoted; raises what a broken file raises."""
    path = folder / "promotion.json"
    return parse_promotion(read_document(path, "promotion", "taxiops promote"), str(path)).version


def deploy_step(
    settings: Settings, folders: StepFolders, options: DeployOptions, progress: Progress
) -> StepOutcome:
    """Deploy to the canary share; a failure is an outcome."""

    def act() -> str:
        result = deploy(settings, options, progress)
        progress(f"slot {result.slot} of {result.endpoint}: {result.state['traffic']}")
        return DEPLOYED

    return carried_out("deploy", settings, folders, act, progress)


def check_step(
    settings: Settings, folders: StepFolders, report: Path, progress: Progress
) -> StepOutcome:
    """Test the slot that was deployed; a failed check is an outcome."""

    def act() -> str:
        result = check_endpoint(settings, state_of(settings, folders), None, progress)
        hand_on(settings.output / "test" / REPORT_NAME, report)
        bad = [check for check in result.checks if not check.passed]
        if bad:
            raise TaxiopsError(
                f"Slot {result.slot} of {result.endpoint} failed its test: "
                f"{bad[0].name}: {bad[0].detail}.",
                why=f"To blame: {bad[0].blame.value}.",
                hint=result.next_command,
                code="slot-test-failed",
            )
        return TESTED

    return following("test", settings, folders, act, progress)


def traffic_step(settings: Settings, folders: StepFolders, progress: Progress) -> StepOutcome:
    """Move the tested slot to all of the traffic, only after its test passed."""

    def act() -> str:
        promote_traffic(settings, state_of(settings, folders), 100, progress)
        return PROMOTED

    return following("traffic", settings, folders, act, progress)


def rollback_step(settings: Settings, folders: StepFolders, progress: Progress) -> StepOutcome:
    """Put back what was before when a step failed; the outcome's exit code is the pipeline's.

    Touches nothing when all went well, or when the rollout never began.
    """
    came_from = folders.came_from or folders.out
    former = read_outcome(came_from)
    if not former.failed:
        progress("every step passed; nothing to roll back")
        return written(settings, folders, former, progress)
    if not (came_from / STATE_NAME).is_file():
        progress(f"{former.step} failed before it changed anything; nothing to roll back")
        return written(settings, folders, former, progress)

    def act() -> str:
        result = roll_back(settings, state_of(settings, folders), progress)
        progress(result.note)
        return ROLLED_BACK

    undone = carried_out("rollback", settings, folders, act, progress)
    if undone.failed:
        return undone
    told = (former.what, former.why, former.hint, former.code)
    code = int(ExitCode.RESTORED)
    outcome = StepOutcome(former.step, ROLLED_BACK, code, *told, at=now())
    return written(settings, folders, outcome, progress)


def following(
    step: str,
    settings: Settings,
    folders: StepFolders,
    act: Callable[[], str],
    progress: Progress,
) -> StepOutcome:
    """A step that acts only when the former one did not fail."""
    former = read_outcome(folders.came_from or folders.out)
    if former.failed:
        progress(f"not done, because {former.step} failed: {former.what}")
        return written(settings, folders, former, progress)
    return carried_out(step, settings, folders, act, progress)


def carried_out(
    step: str,
    settings: Settings,
    folders: StepFolders,
    act: Callable[[], str],
    progress: Progress,
) -> StepOutcome:
    """Act and write the outcome, whatever it is; state and events go on from the former step's."""
    begin_from_former(settings, folders)
    try:
        outcome = StepOutcome(step, act(), at=now())
    except TaxiopsError as error:
        outcome = StepOutcome(
            step, FAILED, int(error.exit_code), error.what, error.why, error.hint, error.code, now()
        )
    # The rollback that follows must run whatever went wrong here.
    except Exception as error:
        what = f"Unexpected {type(error).__name__}: {error}"
        outcome = StepOutcome(step, FAILED, 1, what, code="unexpected", at=now())
    if outcome.failed:
        progress(f"failed: {outcome.what} {outcome.why}".rstrip())
    return written(settings, folders, outcome, progress)


def begin_from_former(settings: Settings, folders: StepFolders) -> None:
    """The former step's state file where the workflows look for it, so that its events go on."""
    if folders.came_from is None or not (folders.came_from / STATE_NAME).is_file():
        return
    for folder in (settings.output / "deploy", settings.output / "deploy" / settings.env):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folders.came_from / STATE_NAME, folder / STATE_NAME)


def state_of(settings: Settings, folders: StepFolders) -> Path | None:
    """A copy of the former step's state file to check against; None when there is none."""
    former = (folders.came_from or folders.out) / STATE_NAME
    if not former.is_file():
        return None
    place = settings.output / "former"
    place.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(former, place / STATE_NAME))


def written(
    settings: Settings, folders: StepFolders, outcome: StepOutcome, progress: Progress
) -> StepOutcome:
    """State, status and outcome in this step's folder."""
    suffix = folders.suffix or (
        read_outcome(folders.came_from).artifact_suffix if folders.came_from else ""
    )
    outcome = replace(outcome, artifact_suffix=suffix)
    write_document(settings.output / OUTCOME_NAME, outcome.document())
    (settings.output / STATUS_NAME).write_text(f"{outcome.status}\n", encoding="ascii")
    own = settings.output / "deploy" / STATE_NAME
    former = (folders.came_from or folders.out) / STATE_NAME
    for source in (own if own.is_file() else former, *files_of(settings)):
        if source.is_file():
            hand_on(source, folders.out)
    progress(f"deployment status: {outcome.status}")
    return outcome


def files_of(settings: Settings) -> tuple[Path, Path]:
    return settings.output / OUTCOME_NAME, settings.output / STATUS_NAME


def hand_on(source: Path, folder: Path) -> None:
    """A file into a folder that Azure ML keeps: a mount, which knows no rename and no sync.

    Raises UsageError when it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if source.resolve() != (folder / source.name).resolve():
            shutil.copyfile(source, folder / source.name)
    except OSError as error:
        raise UsageError(
            f"{folder}: {source.name} cannot be written: {error.strerror}.",
            code="output-unwritable",
        ) from error
