"""What people, scripts and GitHub get for each result; the fields of every --json are pinned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from taxiops.cloud.views import SlotView
from taxiops.domain.outcome_files import CleanedVersion, CleanupReport, GateVerdict
from taxiops.errors import ExitCode
from taxiops.workflows.checks.finding import Finding
from taxiops.workflows.clean_up_deployment import DeploymentCleanupResult
from taxiops.workflows.clean_up_models import CleanupResult
from taxiops.workflows.compare import CompareResult
from taxiops.workflows.decide_gate import GateResult
from taxiops.workflows.demo import DemoResult
from taxiops.workflows.deploy import DeployResult
from taxiops.workflows.diagnose import Diagnosis
from taxiops.workflows.emulator import EmulatorResult
from taxiops.workflows.endpoint_test import EndpointTestResult
from taxiops.workflows.promote import PromoteResult
from taxiops.workflows.release import ReleaseResult
from taxiops.workflows.roll_back import RollbackResult
from taxiops.workflows.rollouts.slot_tests import Check
from taxiops.workflows.shift_traffic import TrafficResult, TrafficView
from taxiops.workflows.unit_tests import UnitTestsResult

METRIC = {
    "unit": "USD",
    "direction": "lower_is_better",
    "candidate": 1.25,
    "baseline": 1.5,
    "change": -0.25,
    "relative_change": -0.1667,
    "ci_low": -0.3,
    "ci_high": -0.2,
}
REPORT = {"metrics": {"mae": METRIC}, "reasons": ["MAE is 16.7 % better."]}
DIGEST = "sha256:" + "a" * 64
STATE = {
    "traffic": {"blue": 70, "green": 30},
    "phase": "canary",
    "model": {"name": "taxi-class-dev", "version": "4"},
}
SLOT = SlotView(
    name="green",
    model="azureml://registries/r/models/m/versions/4",
    state="Succeeded",
    tags={"model": "m", "model_version": "4", "commit": "c" * 40, "deployed_at": "2024-01-02"},
    instance_type="Standard_DS3_v2",
    instance_count=1,
    created_at="2024-01-02",
)
GATE = GateVerdict(False, "inconclusive", ("It may be chance.",), DIGEST, DIGEST, "", "", "now")
CLEANED = (
    CleanedVersion("2", "kept", "newest"),
    CleanedVersion("1", "would_delete", "old"),
    CleanedVersion("1", "failed", "refused"),
)
CLEANUP_FIELDS = (
    *("schema_version", "dry_run", "retain_versions", "versions"),
    *("name", "place", "report", "plan", "next_command"),
)
FILE = Path("artifacts/deploy/deployment_state.json")


@dataclass(frozen=True)
class Case:
    """A command, the result its workflow gives, and what must come of it."""

    line: str
    target: str
    result: Any
    fields: Sequence[str]
    shown: Sequence[str]
    outputs: str = ""
    exit_code: int = 0


CASES = [
    Case(
        "compare",
        "compare.compare",
        CompareResult(
            "happy_tree", True, "improved", Path("c.json"), REPORT, "https://x", "taxiops gate"
        ),
        [
            "schema_version",
            "job_name",
            "improved",
            "verdict",
            "report",
            "metrics",
            "studio_url",
            "next_command",
        ],
        ["Candidate against baseline: improved", "1.25", "-0.25", "- MAE is 16.7 % better."],
        "job_name=happy_tree\nimproved=true\nreport=c.json\n",
    ),
    Case(
        "compare --no-wait",
        "compare.compare",
        CompareResult("happy_tree", None, "", None, None, "", "taxiops compare --job happy_tree"),
        [
            "schema_version",
            "job_name",
            "improved",
            "verdict",
            "report",
            "metrics",
            "studio_url",
            "next_command",
        ],
        ["Job happy_tree is submitted.", "Next: taxiops compare --job happy_tree"],
        "job_name=happy_tree\nimproved=\nreport=\n",
    ),
    Case(
        "gate",
        "decide_gate.decide_gate",
        GateResult(GATE, "taxiops compare"),
        [
            "schema_version",
            "passed",
            "verdict",
            "reasons",
            "report_sha256",
            "policy_sha256",
            "overridden_by",
            "override_reason",
            "created_at",
            "next_command",
        ],
        ["Gate refused: inconclusive", "- It may be chance."],
        "passed=false\n",
        3,
    ),
    Case(
        "promote",
        "promote.promote",
        PromoteResult("r", "m", "4", DIGEST, {"branch": "main"}, True),
        [
            "schema_version",
            "registry",
            "name",
            "version",
            "sha256",
            "tags",
            "already_promoted",
            "next_command",
        ],
        ["m version 4 is already promoted to registry r.", "branch   main"],
        "model_name=m\nmodel_version=4\n",
    ),
    Case(
        "deploy",
        "deploy.deploy",
        DeployResult("e", "green", False, FILE, STATE, "taxiops test endpoint"),
        [
            "schema_version",
            "endpoint",
            "slot",
            "first_deployment",
            "state_file",
            "state",
            "next_command",
        ],
        ["Slot green of e serves 30 %: blue 70 %, green 30 %", "canary"],
        f"endpoint=e\nslot=green\nfirst_deployment=false\nstate_file={FILE}\n",
    ),
    Case(
        "test endpoint",
        "endpoint_test.check_endpoint",
        EndpointTestResult(
            "e", "green", False, (Check("parity", False, "off by 3"),), FILE, "taxiops x"
        ),
        ["schema_version", "endpoint", "slot", "passed", "checks", "report", "next_command"],
        ["Slot green of e failed its test: parity", "FAILED", "off by 3"],
        "",
        1,
    ),
    Case(
        "test unit",
        "unit_tests.run_unit_tests",
        UnitTestsResult(("tests/domain",), ("pipelines/p.yaml",)),
        ["schema_version", "passed", "folders", "validated", "next_command"],
        ["Unit tests passed", "- pipelines/p.yaml"],
    ),
    Case(
        "traffic show",
        "shift_traffic.show_traffic",
        TrafficView("e", {"blue": 70, "green": 30}, {}, (SLOT,), "canary", "taxiops x"),
        [
            "schema_version",
            "endpoint",
            "traffic",
            "mirror_traffic",
            "phase",
            "slots",
            "next_command",
        ],
        ["e: blue 70 %, green 30 %", "cccccccccc", "30 %"],
    ),
    Case(
        "traffic promote",
        "shift_traffic.promote_traffic",
        TrafficResult("e", "green", {"blue": 0, "green": 100}, True, FILE, "taxiops x"),
        ["schema_version", "endpoint", "slot", "traffic", "changed", "state_file", "next_command"],
        ["e: green 100 %"],
    ),
    Case(
        "traffic rollback",
        "roll_back.roll_back",
        RollbackResult("e", True, {"blue": 100}, "green", "It is back.", "taxiops x"),
        [
            "schema_version",
            "endpoint",
            "changed",
            "traffic",
            "removed_slot",
            "note",
            "next_command",
        ],
        ["Rolled back: e serves blue 100 %", "It is back.", "Slot green is deleted."],
    ),
    Case(
        "release",
        "release.release",
        ReleaseResult(({"step": "test", "at": "now", "detail": "passed"},), "stopped", "taxiops x"),
        ["schema_version", "status", "steps", "next_command"],
        ["Release stopped: 1 of 10 steps are done."],
    ),
    Case(
        "demo",
        "demo.run_demo",
        DemoResult(
            ({"what": "it went well"},),
            {"dev": {"endpoint": "e", "traffic": {"blue": 100}, "versions": {"blue": "2"}}},
            Path("report.html"),
            ("taxiops compare",),
            "taxiops emulator stop",
        ),
        ["schema_version", "acts", "serving", "report", "try_next", "stop", "next_command"],
        ["Act 1: it went well", "blue 100 %", "Stop: taxiops emulator stop"],
    ),
    Case(
        "emulator status",
        "emulator.status",
        EmulatorResult({"schema_version": 1, "running": True, "arm": "https://x"}, "taxiops x"),
        ["schema_version", "running", "arm", "next_command"],
        ["The emulator runs.", "https://x"],
    ),
    Case(
        "emulator logs",
        "emulator.logs",
        EmulatorResult({"log": "emulator.log", "lines": ["one", "two"]}, "taxiops x"),
        ["schema_version", "log", "lines", "next_command"],
        ["one", "two"],
    ),
    Case(
        "cleanup models",
        "clean_up_models.clean_up_models",
        CleanupResult(
            "m", "registry r", CleanupReport(True, 5, CLEANED[:2]), FILE, FILE, "taxiops x"
        ),
        CLEANUP_FIELDS,
        ["m in registry r: 1 kept, 1 would delete", "1        would delete  old"],
    ),
    Case(
        "cleanup models --apply",
        "clean_up_models.clean_up_models",
        CleanupResult("m", "r", CleanupReport(False, 5, CLEANED[::2]), FILE, FILE, "taxiops x"),
        CLEANUP_FIELDS,
        ["m in r: 1 failed, 1 kept", "refused"],
        "",
        1,
    ),
    Case(
        "doctor",
        "diagnose.diagnose",
        Diagnosis(
            (
                ("disk", Finding("ok", "fine")),
                ("registry", Finding("error", "No.", "taxiops x", "c", ExitCode.NOT_FOUND)),
            )
        ),
        ["schema_version", "can_release", "findings", "next_command"],
        [
            "The next release cannot run: 1 ok, 1 error",
            "error     registry  No.",
            "To mend it:",
            "registry  taxiops x",
        ],
        "",
        5,
    ),
    Case(
        "cleanup deployment --slot blue",
        "clean_up_deployment.clean_up_deployment",
        DeploymentCleanupResult("e", "slot blue", True, {"green": 100}, "taxiops x"),
        ["schema_version", "endpoint", "removed", "dry_run", "traffic", "note", "next_command"],
        ["Slot blue would be deleted; e serves green 100 %"],
    ),
]
IDS = [case.line for case in CASES]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_people_see_place_answer_and_next_command(
    case: Case, typed, mocker: MockerFixture, github: Path
) -> None:
    mocker.patch(f"taxiops.workflows.{case.target}", return_value=case.result)
    result = typed(*case.line.split())
    assert result.exit_code == case.exit_code, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("local emulator: ")
    assert lines[-1] == f"Next: {case.result.next_command}"
    for text in case.shown:
        assert text in result.stdout
    output = github / "output"
    assert (output.read_text(encoding="utf-8") if output.exists() else "") == case.outputs
    assert (github / "summary").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_scripts_get_one_document_with_pinned_fields(
    case: Case, typed, mocker: MockerFixture
) -> None:
    mocker.patch(f"taxiops.workflows.{case.target}", return_value=case.result)
    result = typed(*case.line.split(), "--json")
    assert result.exit_code == case.exit_code
    document = json.loads(result.stdout)
    assert list(document) == list(case.fields)
    assert document["schema_version"] == 1


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_quiet_leaves_out_the_suggestion(case: Case, typed, mocker: MockerFixture) -> None:
    mocker.patch(f"taxiops.workflows.{case.target}", return_value=case.result)
    assert "Next:" not in typed(*case.line.split(), "--quiet").output


def test_the_summary_of_a_comparison_is_its_own_report(
    typed, mocker: MockerFixture, github: Path
) -> None:
    (github / "metrics").mkdir()
    (github / "report.md").write_text("# The report\n", encoding="utf-8")
    report = github / "metrics/comparison.json"
    found = CompareResult("j", True, "improved", report, REPORT, "", "taxiops gate")
    mocker.patch("taxiops.workflows.compare.compare", return_value=found)
    typed("compare")
    assert (github / "summary").read_text(encoding="utf-8") == "# The report\n"


@pytest.mark.parametrize("verbose", [False, True])
def test_what_a_library_prints_never_reaches_stdout(
    verbose: bool, typed, mocker: MockerFixture
) -> None:
    def chatty(*_: object) -> object:
        import logging
        import sys

        sys.stdout.write("dots ....")
        logging.getLogger("azure").warning("experimental")
        return CASES[0].result

    mocker.patch("taxiops.workflows.compare.compare", side_effect=chatty)
    result = typed("compare", "--json", *(["--verbose"] if verbose else []))
    assert json.loads(result.stdout)
    assert ("dots" in result.stderr) is verbose
    assert "experimental" not in result.stdout


def test_progress_goes_to_stderr_a_line_a_step(typed, mocker: MockerFixture) -> None:
    def run(settings: object, options: object, progress: Any) -> object:
        progress("submitted job happy_tree")
        return CASES[0].result

    mocker.patch("taxiops.workflows.compare.compare", side_effect=run)
    result = typed("compare")
    assert result.stderr == "submitted job happy_tree\n"
    assert "submitted" not in result.stdout


def test_a_command_is_spelt_by_the_path_that_called_us_when_it_is_not_on_path(
    process, tmp_path: Path
) -> None:
    done = process("gate", PATH="")
    hint = done.stderr.splitlines()[-1].strip().removeprefix("next: ")
    program, *rest = hint.split()
    assert Path(program).is_file()
    assert rest == ["compare"]
