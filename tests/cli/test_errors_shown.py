"""Every way to fail, as message, document, annotation and exit code."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from taxiops import errors
from taxiops.errors import ExitCode, TaxiopsError, UsageError

KINDS = sorted(TaxiopsError.__subclasses__(), key=lambda kind: kind.__name__)


def failing(mocker: MockerFixture, error: BaseException) -> None:
    mocker.patch("taxiops.cli.shared.read_settings", side_effect=error)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_error_ends_in_its_exit_code(kind, typed, mocker) -> None:
    failing(mocker, kind("It broke.", why="Because.", hint="taxiops doctor"))
    result = typed("config", "show")
    assert result.exit_code == int(kind.exit_code)
    assert result.stderr == "Error: It broke.\n  why:  Because.\n  next: taxiops doctor\n"
    assert result.stdout == ""


def test_with_json_an_error_is_the_one_document(typed, mocker) -> None:
    failing(mocker, errors.NotFound("No job.", hint="look", details={"request": "1"}))
    result = typed("config", "show", "--json")
    assert json.loads(result.stdout) == {
        "schema_version": 1,
        "error": {
            "code": "not-found",
            "what": "No job.",
            "why": "",
            "hint": "look",
            "exit_code": 5,
            "details": {"request": "1"},
        },
    }
    assert "No job." in result.stderr


def test_a_secret_in_a_message_is_masked_in_text_and_document(typed, mocker) -> None:
    failing(mocker, errors.StepFailed("GET https://x?sig=abc%3D failed"))
    result = typed("config", "show", "--json")
    assert "abc" not in result.output
    assert "sig=***" in result.stdout


def test_an_unexpected_exception_is_one_line_and_exit_1(typed, mocker) -> None:
    failing(mocker, KeyError("surprise"))
    result = typed("config", "show")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Unexpected KeyError: 'surprise'\n")
    assert "Traceback" not in result.stderr


def test_verbose_adds_traceback_details_and_code(typed, mocker) -> None:
    failing(mocker, errors.Conflict("Taken.", details={"holder": "ci"}))
    result = typed("config", "show", "--verbose")
    assert "Traceback" in result.stderr
    assert "holder: ci" in result.stderr
    assert "code: conflict (exit 9)" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("--nothing",),
        ("config",),
        ("config", "nothing"),
        ("config", "show", "--nothing"),
        ("config", "show", "more"),
        ("config", "show", "--env", "qa"),
        ("config", "show", "--config", "missing.toml"),
        ("emulator", "exec"),
        ("release", "--from", "lunch"),
        ("deploy", "--traffic-percent", "101"),
        ("deploy", "--traffic-percent", "half"),
        ("deploy", "--mirror", "51"),
        ("deploy", "--model-version", "1", "--commit", "abc"),
        ("traffic", "promote", "--percent", "0"),
        ("compare", "--set", "rows"),
        ("compare", "--set", "rows=1", "--set", "rows=2"),
        ("gate", "--override"),
        ("gate", "--reason", "because"),
        ("gate", "--override", "--reason", " "),
        ("cleanup", "models", "--registry", "a", "--workspace", "b"),
        ("cleanup", "models", "--retain-versions", "0"),
        ("cleanup", "models", "--apply", "--dry-run"),
        ("cleanup", "models", "--plan", "plan.json", "--retain_versions", "1"),
        ("cleanup", "deployment"),
        ("cleanup", "deployment", "--slot", "blue", "--endpoint"),
    ],
)
def test_a_usage_error_is_exit_2_and_says_what_to_type(arguments, typed) -> None:
    result = typed(*arguments)
    assert result.exit_code == int(ExitCode.USAGE), result.output
    assert result.stderr
    document = json.loads(typed(*arguments[:1], "--json", *arguments[1:]).stdout or "{}")
    assert not document or document["error"]["exit_code"] == 2


def test_a_usage_error_with_json_is_a_document_too(typed) -> None:
    result = typed("config", "show", "--json", "--nothing")
    assert json.loads(result.stdout)["error"]["code"] == "usage"
    assert "--nothing" in result.stderr


def test_a_misspelt_command_gets_a_suggestion(typed) -> None:
    assert "Did you mean 'release'?" in typed("relese").stderr


def test_in_github_actions_a_failure_is_annotated(typed, mocker, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    failing(mocker, UsageError("Wrong.", why="So."))
    assert "::error title=usage::Wrong. So.\n" in typed("config", "show").stderr


def test_an_error_text_cannot_start_a_workflow_command(typed, mocker, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    failing(mocker, UsageError("log:\n::add-mask::x"))
    assert "\n::add-mask" not in typed("config", "show").output


def test_ctrl_c_is_130_with_the_command_to_resume(typed, mocker) -> None:
    failing(mocker, KeyboardInterrupt())
    result = typed("config", "show")
    assert result.exit_code == 130
    assert "next: taxiops config show" in result.stderr


def test_without_arguments_the_help_is_shown(typed) -> None:
    result = typed()
    assert result.exit_code == 0
    assert "demo" in result.stdout


def test_the_version_is_the_packages(typed) -> None:
    from importlib.metadata import version

    assert typed("--version").stdout == f"taxiops {version('taxiops')}\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_is_130(sent: signal.Signals, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import pathlib, time, taxiops.cli.shared as shared\n"
        "def wait(options):\n"
        f"    pathlib.Path({str(ready)!r}).touch(); time.sleep(60)\n"
        "shared.read_settings = wait\n"
        "from taxiops.cli.app import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "config", "show"], stderr=subprocess.PIPE, text=True
    ) as child:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(sent)
        _, stderr = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Interrupted." in stderr
    assert "Traceback" not in stderr
