"""`taxiops emulator` as processes: start, look, run a program against it, reset, stop."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from taxiops.emulator import server


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder of these tests; an emulator that runs on it may be found by the next one."""
    folder = tmp_path_factory.mktemp("emulator") / "state"
    yield folder
    server.stop(folder)


@pytest.fixture
def emulator(process: Callable[..., Any], state: Path) -> Callable[..., Any]:
    """Runs `taxiops emulator ...` on the state folder."""
    return lambda *arguments: process("emulator", *arguments, TAXIOPS_EMULATOR_STATE=str(state))


def is_gone(pid: int) -> bool:
    """Whether the process has ended, reaped or not (a container may have nobody who reaps)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_start_is_idempotent_and_stop_ends_the_process(emulator) -> None:
    first = json.loads(emulator("start", "--json").stdout)
    second = json.loads(emulator("start", "--json").stdout)
    assert first["running"] is True
    assert (second["pid"], second["arm"]) == (first["pid"], first["arm"])
    assert emulator("stop").returncode == 0
    assert is_gone(first["pid"])
    assert json.loads(emulator("status", "--json").stdout)["running"] is False


def test_a_program_run_by_exec_sees_the_emulator_and_owns_stdout(emulator) -> None:
    code = "import os; print(os.environ['REQUESTS_CA_BUNDLE'])"
    done = emulator("exec", "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
    assert done.stderr.startswith("local emulator")


def test_exec_ends_with_the_programs_own_exit_code(emulator) -> None:
    code = "raise SystemExit(42)"
    assert emulator("exec", "--", sys.executable, "-c", code).returncode == 42


def test_a_program_that_does_not_exist_is_exit_5(emulator) -> None:
    done = emulator("exec", "--", "no-such-program-anywhere")
    assert done.returncode == 5
    assert "no-such-program-anywhere" in done.stderr


def test_the_secret_is_never_shown(emulator, state: Path) -> None:
    shown = emulator("start", "--json").stdout + emulator("status", "--verbose").stdout
    shown += emulator("logs").stdout
    secret = json.loads((state / "emulator.json").read_text(encoding="utf-8"))
    assert secret["client_secret"] not in shown
    assert (state / "emulator.json").stat().st_mode & 0o077 == 0


def test_reset_forgets_and_says_so(emulator) -> None:
    emulator("start")
    done = emulator("reset")
    assert done.returncode == 0, done.stderr
    assert "The emulator is empty." in done.stdout


def test_what_it_holds_is_a_file_and_comes_back(emulator, tmp_path: Path) -> None:
    file = str(tmp_path / "state.tar.gz")
    emulator("start")
    refused = emulator("export", file)
    assert refused.returncode == 1
    assert "emulator stop" in refused.stderr
    emulator("stop")
    assert json.loads(emulator("export", file, "--json").stdout)["file"] == file
    emulator("reset")
    done = emulator("import", file)
    assert (done.returncode, "The state is imported." in done.stdout) == (0, True), done.stderr
    assert emulator("import", str(tmp_path / "absent")).returncode == 5


def test_the_emulator_is_refused_with_cloud_azure(emulator) -> None:
    done = emulator("status", "--cloud", "azure")
    assert done.returncode == 2
    assert "--cloud local" in done.stderr


def test_hazards_are_switched_on_listed_and_off(emulator) -> None:
    added = emulator("fault", "add", "throttle", "--on", "PUT onlineEndpoints", "--count", "2")
    assert (added.returncode, "is switched on" in added.stdout) == (0, True), added.stderr
    (fault,) = json.loads(emulator("fault", "list", "--json").stdout)["faults"]
    assert (fault["kind"], fault["on"], fault["count"], fault["struck"]) == (
        "throttle",
        "PUT onlineEndpoints",
        2,
        0,
    )
    assert "1 switched off" in emulator("fault", "clear").stdout
    assert "No fault is switched on" in emulator("fault", "list").stdout


def test_a_hazard_that_cannot_be_is_a_usage_error_that_says_why(emulator) -> None:
    refused = emulator("fault", "add", "quota", "--on", "GET jobs")
    assert refused.returncode == 2
    assert "provision" in refused.stderr
    assert "next: " in refused.stderr
