"""Forking scoring servers: an end in every case, and what is told of it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from taxiops.emulator.state.endpoints.scoring_process import (
    ForkedServer,
    Template,
    can_fork,
    is_as_started,
    unpackers,
)
from taxiops.emulator.state.jobs.execution import step_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks servers")


@pytest.fixture
def template() -> Iterator[Template]:
    made = Template()
    yield made
    made.close()


@pytest.fixture
def server(template: Template, tmp_path: Path) -> Callable[[str], ForkedServer]:
    """A server whose code is this text: it takes the place of Microsoft's own."""

    def fork(code: str) -> ForkedServer:
        package = tmp_path / "azureml_inference_server_http"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(code, encoding="utf-8")
        request = {
            "arguments": [str(tmp_path), "socket", "1", "300"],
            "folder": str(tmp_path),
            "environment": {"HOME": str(tmp_path), "TZ": "UTC"},
            "modules": ["no_such_module"],
        }
        return template.fork(request, tmp_path / "server.log")

    return fork


SLEEPER = """
import os, pathlib, time
pathlib.Path("pid.draft").write_text(str(os.getpid()))
os.rename("pid.draft", "pid")
time.sleep(600)
"""
STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pids.draft").write_text(f"{os.getpid()} {child.pid}")
os.rename("pids.draft", "pids")
time.sleep(600)
"""


def test_a_server_has_its_own_surroundings_and_its_exit_code_is_told(
    server: Callable[[str], ForkedServer], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    code = "import os, sys\nprint(os.getcwd(), dict(os.environ), os.listdir('/proc/self/fd'))\n"
    found = server(code + "sys.exit(3)")
    eventually(lambda: found.exit_code() is not None)
    assert (found.exit_code(), found.end()) == (3, 3)
    log = (tmp_path / "server.log").read_text(encoding="utf-8")
    assert f"{tmp_path} {{'HOME': '{tmp_path}', 'TZ': 'UTC'}} ['0', '1', '2', '3']" in log


def test_the_end_of_a_server_takes_its_whole_group_even_one_that_will_not_hear(
    server: Callable[[str], ForkedServer], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    found = server(STUBBORN)
    eventually((tmp_path / "pids").is_file)
    assert found.exit_code() is None
    assert found.end() == 128 + signal.SIGKILL
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_servers_end_with_the_emulator_and_a_template_that_died_is_replaced(
    server: Callable[[str], ForkedServer],
    template: Template,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    first = server(SLEEPER)
    eventually((tmp_path / "pid").is_file)
    orphan = psutil.Process(int((tmp_path / "pid").read_text()))
    assert template.pid is not None
    os.kill(template.pid, signal.SIGKILL)
    eventually(lambda: first.exit_code() is not None)
    eventually(lambda: not orphan.is_running())
    second = server(SLEEPER)
    template.close()
    assert second.exit_code() == 128 + signal.SIGTERM


def test_only_what_the_template_was_started_with_is_forked(tmp_path: Path) -> None:
    own = step_environment({})
    assert can_fork()
    assert is_as_started({**own, "WHO": "blue"})
    assert not is_as_started({**own, "OMP_NUM_THREADS": "17"})
    assert not is_as_started({k: v for k, v in own.items() if k != "PYTHONUNBUFFERED"})
    (tmp_path / "model.skops").touch()
    assert (unpackers(tmp_path), unpackers(None)) == (["skops.io"], [])
