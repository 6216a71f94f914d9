"""Signals: the first waits for a safe point, the second ends at once, and neither is swallowed."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

GRACE_S = 7.5
PROGRAM = """
import sys, time
from taxiops.cloud.interrupts import check_stop, stopping_safely
from taxiops.errors import Interrupted
try:
    with stopping_safely(lambda line: print(line, flush=True)):
        print("begun", flush=True)
        while True:
            time.sleep(0.01)
            if sys.argv[1] == "safe":
                check_stop()
except Interrupted:
    sys.exit(10)
except KeyboardInterrupt:
    sys.exit(11)
"""


@pytest.fixture(params=["safe", "stuck"])
def program(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """A program at work, with safe points or without any."""
    arguments = [sys.executable, "-c", PROGRAM, request.param]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", ["safe"], indirect=True)
def test_the_first_signal_takes_effect_at_a_safe_point(
    program: "subprocess.Popen[str]", number: int
) -> None:
    program.send_signal(number)
    output, _ = program.communicate(timeout=GRACE_S)
    assert (program.returncode, "next safe point" in output) == (10, True)


@pytest.mark.parametrize("program", ["stuck"], indirect=True)
def test_without_a_safe_point_the_first_signal_ends_in_time_all_the_same(
    program: "subprocess.Popen[str]",
) -> None:
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=GRACE_S)
    assert program.returncode == 11


@pytest.mark.parametrize("program", ["stuck"], indirect=True)
def test_the_second_signal_ends_at_once(program: "subprocess.Popen[str]") -> None:
    assert program.stdout is not None
    program.send_signal(signal.SIGTERM)
    assert "once more" in program.stdout.readline()
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=GRACE_S) == 11
