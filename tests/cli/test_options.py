"""What each command line asks of its workflow; the workflows themselves are tested elsewhere."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from taxiops.errors import StepFailed
from taxiops.workflows.clean_up_models import CleanupOptions
from taxiops.workflows.compare import CompareOptions
from taxiops.workflows.deploy import DeployOptions
from taxiops.workflows.release import ReleaseOptions

COMPARE: Mapping[str, Any] = {
    "pipeline": Path("pipelines/integration-compare-pipeline.yaml"),
    "stop_after": None,
    "data": None,
    "compute": None,
    "overrides": {},
    "artifact_suffix": "",
    "wait": True,
    "job": None,
}
DEPLOY: Mapping[str, Any] = {
    "model_version": None,
    "commit": None,
    "slot": None,
    "traffic_percent": None,
    "mirror_percent": None,
    "run_id": "",
    "wait_min": 0,
}
RELEASE: Mapping[str, Any] = {
    "from_step": None,
    "until_step": None,
    "data": None,
    "overrides": {},
    "artifact_suffix": "",
    "as_job": False,
}
CLEANUP: Mapping[str, Any] = {
    "model_name": None,
    "registry": None,
    "workspace": None,
    "retain_versions": 5,
    "apply": False,
    "plan": None,
    "output_folder": None,
}


def compare(**changes: object) -> CompareOptions:
    return CompareOptions(**{**COMPARE, **changes})


def deploy(**changes: object) -> DeployOptions:
    return DeployOptions(**{**DEPLOY, **changes})


def release(**changes: object) -> ReleaseOptions:
    return ReleaseOptions(**{**RELEASE, **changes})


def cleanup(**changes: object) -> CleanupOptions:
    return CleanupOptions(**{**CLEANUP, **changes})


STATE = Path("state.json")
# Command line; the function it calls; its arguments between settings and progress.
CASES: list[tuple[str, str, Callable[[], list[object]]]] = [
    ("compare", "compare.compare", lambda: [compare()]),
    (
        "compare --pipeline p.yaml --stop-after compare_job --data trips.csv --compute big",
        "compare.compare",
        lambda: [
            compare(
                pipeline=Path("p.yaml"), stop_after="compare_job", data="trips.csv", compute="big"
            )
        ],
    ),
    (
        "compare --set rows=100 --set seed=a=b --artifact-suffix -7",
        "compare.compare",
        lambda: [compare(overrides={"rows": "100", "seed": "a=b"}, artifact_suffix="-7")],
    ),
    ("compare --no-wait", "compare.compare", lambda: [compare(wait=False)]),
    ("compare --job happy_tree", "compare.compare", lambda: [compare(job="happy_tree")]),
    ("gate", "decide_gate.decide_gate", lambda: [None, False, "", "somebody"]),
    ("gate r.json", "decide_gate.decide_gate", lambda: [Path("r.json"), False, "", "somebody"]),
    (
        "gate --override --reason because",
        "decide_gate.decide_gate",
        lambda: [None, True, "because", "somebody"],
    ),
    ("promote", "promote.promote", lambda: [None]),
    ("promote --report r.json", "promote.promote", lambda: [Path("r.json")]),
    ("deploy", "deploy.deploy", lambda: [deploy(run_id="77")]),
    (
        "deploy --model-version 4 --slot green --traffic-percent 0 --mirror 10",
        "deploy.deploy",
        lambda: [
            deploy(
                model_version="4", slot="green", traffic_percent=0, mirror_percent=10, run_id="77"
            )
        ],
    ),
    ("deploy --commit abc", "deploy.deploy", lambda: [deploy(commit="abc", run_id="77")]),
    ("traffic promote", "shift_traffic.promote_traffic", lambda: [None, 100]),
    (
        "traffic promote --state state.json --percent 50",
        "shift_traffic.promote_traffic",
        lambda: [STATE, 50],
    ),
    ("traffic rollback", "roll_back.roll_back", lambda: [None, ""]),
    ("traffic rollback --run-id 7", "roll_back.roll_back", lambda: [None, "7"]),
    ("traffic rollback --state state.json", "roll_back.roll_back", lambda: [STATE, ""]),
    ("test", "unit_tests.run_unit_tests", lambda: [[]]),
    ("test unit", "unit_tests.run_unit_tests", lambda: [[]]),
    ("test -k name -x", "unit_tests.run_unit_tests", lambda: [["-k", "name", "-x"]]),
    ("test unit tests/domain", "unit_tests.run_unit_tests", lambda: [["tests/domain"]]),
    ("test unit -- --env-file x", "unit_tests.run_unit_tests", lambda: [["--env-file", "x"]]),
    ("test endpoint", "endpoint_test.check_endpoint", lambda: [None, None]),
    (
        "test endpoint --state state.json --slot blue",
        "endpoint_test.check_endpoint",
        lambda: [STATE, "blue"],
    ),
    ("release", "release.release", lambda: [release()]),
    (
        "release --from gate --until test-dev --data d --set rows=1 --artifact-suffix s",
        "release.release",
        lambda: [
            release(
                from_step="gate",
                until_step="test-dev",
                data="d",
                overrides={"rows": "1"},
                artifact_suffix="s",
            )
        ],
    ),
    ("cleanup models", "clean_up_models.clean_up_models", lambda: [cleanup()]),
    (
        "cleanup models --model-name m --workspace w --retain-versions 2 --apply",
        "clean_up_models.clean_up_models",
        lambda: [cleanup(model_name="m", workspace="w", retain_versions=2, apply=True)],
    ),
    (
        "cleanup models --model_name m --registry r --retain_versions 1 --dry_run "
        "--output_folder out",
        "clean_up_models.clean_up_models",
        lambda: [
            cleanup(model_name="m", registry="r", retain_versions=1, output_folder=Path("out"))
        ],
    ),
    (
        "cleanup models --plan plan.json --apply",
        "clean_up_models.clean_up_models",
        lambda: [cleanup(plan=Path("plan.json"), apply=True)],
    ),
    (
        "cleanup deployment --slot blue",
        "clean_up_deployment.clean_up_deployment",
        lambda: ["blue", False, False],
    ),
    (
        "cleanup deployment --endpoint --apply",
        "clean_up_deployment.clean_up_deployment",
        lambda: [None, True, True],
    ),
    ("demo", "demo.run_demo", lambda: []),
]


@pytest.mark.parametrize(("line", "target", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_command_line_asks_its_workflow(
    line: str,
    target: str,
    expected: Callable[[], list[object]],
    typed,
    mocker: MockerFixture,
    monkeypatch,
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "somebody")
    monkeypatch.setenv("GITHUB_RUN_ID", "77")
    function = mocker.patch(f"taxiops.workflows.{target}", side_effect=StepFailed("Asked."))
    result = typed(*line.split())
    assert result.stderr.endswith("Error: Asked.\n")
    (settings, *asked, _progress), named = function.call_args
    assert [*asked, *named.values()] == expected()
    assert settings.cloud == "local"


@pytest.mark.parametrize("line", ["traffic show", "compare", "promote", "deploy", "test endpoint"])
def test_the_environment_reaches_the_workflow(line: str, typed, mocker: MockerFixture) -> None:
    targets = {
        "traffic show": "shift_traffic.show_traffic",
        "compare": "compare.compare",
        "promote": "promote.promote",
        "deploy": "deploy.deploy",
        "test endpoint": "endpoint_test.check_endpoint",
    }
    function = mocker.patch(f"taxiops.workflows.{targets[line]}", side_effect=StepFailed("Asked."))
    result = typed(*line.split(), "--env", "prod", "--cloud", "azure")
    settings = function.call_args[0][0]
    assert (settings.env, settings.cloud) == ("prod", "azure")
    assert result.stdout.startswith("Azure subscription (not set): prod workspace mlwprodcc01")


@pytest.mark.parametrize("verb", ["start", "stop", "status", "logs", "reset"])
def test_the_emulators_verbs_reach_it(verb: str, typed, mocker: MockerFixture) -> None:
    function = mocker.patch(f"taxiops.workflows.emulator.{verb}", side_effect=StepFailed("Asked."))
    assert typed("emulator", verb).exit_code == 1
    function.assert_called_once()


@pytest.mark.parametrize(
    "arguments", [("--", "echo", "--json", "-x"), ("echo", "--json", "-x")], ids=" ".join
)
def test_exec_hands_everything_after_it_to_the_program(
    arguments: tuple[str, ...], typed, mocker: MockerFixture
) -> None:
    mocker.patch("taxiops.workflows.emulator.exec_environment", return_value={"A": "1"})
    replaced = mocker.patch("os.execvpe", side_effect=FileNotFoundError())
    result = typed("emulator", "exec", *arguments)
    name, words, environment = replaced.call_args[0]
    assert (name, words) == ("echo", ["echo", "--json", "-x"])
    assert environment["A"] == "1"
    assert result.exit_code == 5
    assert "local emulator" not in result.stdout
