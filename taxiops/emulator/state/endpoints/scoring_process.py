"""Scoring servers as processes: forked from a template where that is right, else started."""

import atexit
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from taxiops.emulator.state.jobs.execution import step_environment
from taxiops.emulator.state.processes import Process

PROGRAM = Path(__file__).with_name("scoring_program.py")
# Read when the interpreter starts or a library is loaded, which the template has done by then.
READ_EARLY = ("PYTHON", "LD_", "MALLOC_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "NUMEXPR_")
# It takes longer to load than the server itself.
UNPACKERS = {".skops": "skops.io"}
# What a server's exit code is when nobody was left to tell it.
KILLED = 137


class ForkedServer:
    """A server forked from the template; it ends with the emulator, even on `kill -9`."""

    def __init__(self, lease: int, status: int) -> None:
        self._lease, self._status = lease, status
        self._lock = threading.RLock()
        self._code: int | None = None
        self._is_ended = False

    def exit_code(self) -> int | None:
        """None while it runs; 128 + N when signal N ended it."""
        with self._lock:
            if self._code is None and is_readable(self._status, 0):
                told = os.read(self._status, 16)
                os.close(self._status)
                self._code = int(told or KILLED)
            return self._code

    def end(self) -> int:
        """End the whole group: SIGTERM, then SIGKILL after the template's grace."""
        with self._lock:
            if not self._is_ended:
                self._is_ended = True
                os.close(self._lease)
            if self._code is None:
                is_readable(self._status, None)
            return self.exit_code() or 0


def is_readable(descriptor: int, timeout_ms: int | None) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(timeout_ms))


class Template:
    """The process that servers are forked from, started when the first one is wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """None before the first fork."""
        return self._process.pid if self._process else None

    def fork(self, request: Mapping[str, object], log: Path) -> ForkedServer:
        """Raises OSError when the template cannot be reached."""
        lease_end, lease = os.pipe()
        status, status_end = os.pipe()
        with log.open("ab") as output:
            given = [output.fileno(), lease_end, status_end]
            try:
                with self._lock:
                    socket.send_fds(self._reach(log), [json.dumps(request).encode()], given)
            except OSError:
                os.close(lease)
                os.close(status)
                raise
            finally:
                os.close(lease_end)
                os.close(status_end)
        return ForkedServer(lease, status)

    def _reach(self, log: Path) -> socket.socket:
        """The socket of the running template; a new one when it ended."""
        if self._process is None or self._process.poll() is not None or self._control is None:
            self._hang_up()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                # The path is for people: it says in a list of processes whose servers these are.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", str(PROGRAM), str(log.parent)],
                    stdin=theirs.fileno(),
                    env=step_environment({}),
                    start_new_session=True,
                )
        return self._control

    def _hang_up(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def close(self) -> None:
        """End it and all its servers."""
        with self._lock:
            self._hang_up()
            if self._process is not None:
                self._process.wait()
                self._process = None


TEMPLATE = Template()
atexit.register(TEMPLATE.close)


def can_fork() -> bool:
    """Whether a process with these libraries can be forked and watched; on macOS it cannot."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def is_as_started(environment: Mapping[str, str]) -> bool:
    """Whether the template was started with all that the environment has to be read early."""
    own = step_environment({})
    names = {name for name in {*own, *environment} if name.startswith(READ_EARLY)}
    return all(own.get(name) == environment.get(name) for name in names)


def unpackers(model: Path | None) -> list[str]:
    """The modules that load the files of a model."""
    suffixes = {path.suffix for path in model.rglob("*")} if model else set()
    return [module for suffix, module in UNPACKERS.items() if suffix in suffixes]


def start_server(
    arguments: Sequence[str], *, model: Path | None, cwd: Path, env: Mapping[str, str], log: Path
) -> "ForkedServer | Process":
    """A server with the arguments of scoring_program.py; output of both streams goes to `log`."""
    if can_fork() and is_as_started(env):
        log.parent.mkdir(parents=True, exist_ok=True)
        request = {
            "arguments": list(arguments),
            "folder": str(cwd),
            "environment": dict(env),
            "modules": unpackers(model),
        }
        with contextlib.suppress(OSError):
            return TEMPLATE.fork(request, log)
    command = [sys.executable, "-P", str(PROGRAM), *arguments]
    return Process(command, cwd=cwd, env=env, log=log)
