"""What a scoring server runs, and the process that servers are forked from.

`python -P scoring_program.py CODE SOCKET WORKERS TIMEOUT` is one server. Without these arguments it
is the template: it loads once what every server would load, and forks a server at each request. Its
standard input is a Unix socket whose other end only the emulator holds: end of file means that the
emulator is gone, however it went, and ends all servers. A request is a JSON document with three
descriptors: the server's log, a pipe whose end of file ends the server, a pipe for its exit code.
It names the modules that unpack the server's model, which are loaded when they are first named.
Nothing of taxiops is loaded here, because the deployed code brings its own.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# What Microsoft's server loads; it reads its settings as it is loaded itself.
PRELOADED = (
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.sync",
    "flask",
    "pydantic_settings",
    "azure.monitor.opentelemetry.exporter",
)
MOST_BYTES = 1024 * 1024
# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
GRACE_S = 5.0


@dataclass(frozen=True)
class Request:
    """A server to become: arguments of `serve`, its surroundings, and where it writes."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    modules: list[str]
    log: int


@dataclass(eq=False)
class Server:
    """A forked server. kill_at: when what is left of its group is killed (monotonic seconds)."""

    pid: int
    pidfd: int
    lease: int
    status: int
    kill_at: float | None = None
    is_ending: bool = False

    def signal(self, number: signal.Signals) -> None:
        """To the whole group, or to the process when it has not made its group yet."""
        with contextlib.suppress(ProcessLookupError):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                os.kill(self.pid, number)


class Template:
    """Forks servers and looks after them until the emulator is gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._hear)
        self._servers: set[Server] = set()
        self._is_over = False
        self._becoming: Request | None = None

    def run(self) -> Request | None:
        """In a forked server: what it is to become. In the template: None, once all is over."""
        while not self._is_over or self._servers:
            for key, _ in self._selector.select(self._timeout_s()):
                key.data()
                if self._becoming is not None:
                    self._forget()
                    return self._becoming
            self._kill_overdue()
        return None

    def _hear(self) -> None:
        content, descriptors, *_ = socket.recv_fds(self._control, MOST_BYTES, 3)
        if not content:
            self._is_over = True
            self._selector.unregister(self._control)
            for server in self._servers:
                self._end(server)
            return
        log, lease, status = descriptors
        request = Request(**json.loads(content), log=log)
        load(request.modules)
        pid = fork()
        if pid == 0:
            os.close(lease)
            os.close(status)
            self._becoming = request
            return
        os.close(log)
        server = Server(pid, os.pidfd_open(pid), lease, status)
        self._servers.add(server)
        self._selector.register(server.pidfd, selectors.EVENT_READ, lambda: self._reap(server))
        self._selector.register(lease, selectors.EVENT_READ, lambda: self._end(server))

    def _end(self, server: Server) -> None:
        if server.is_ending or server not in self._servers:
            return
        server.is_ending, server.kill_at = True, time.monotonic() + GRACE_S
        self._selector.unregister(server.lease)
        server.signal(signal.SIGTERM)

    def _kill_overdue(self) -> None:
        for server in self._servers:
            if server.kill_at is not None and server.kill_at <= time.monotonic():
                server.kill_at = None
                server.signal(signal.SIGKILL)

    def _timeout_s(self) -> float | None:
        ends = [each.kill_at for each in self._servers if each.kill_at is not None]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _reap(self, server: Server) -> None:
        _, status = os.waitpid(server.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        self._selector.unregister(server.pidfd)
        if not server.is_ending:
            self._selector.unregister(server.lease)
        with contextlib.suppress(BrokenPipeError):
            os.write(server.status, str(code if code >= 0 else 128 - code).encode())
        self._close(server)
        self._servers.discard(server)

    def _close(self, server: Server) -> None:
        for descriptor in (server.pidfd, server.lease, server.status):
            os.close(descriptor)

    def _forget(self) -> None:
        """A forked server holds nothing of its sisters and has no say in them."""
        self._selector.close()
        for server in self._servers:
            self._close(server)
        self._servers.clear()


def load(names: Iterable[str]) -> None:
    """Load what is installed of the modules, for all servers to come."""
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
            # No collection in a server then writes to the pages that it shares with its sisters.
            gc.freeze()


def fork() -> int:
    """As os.fork. The only threads here wait for work of BLAS, which makes new ones in a child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def become(request: Request) -> None:
    """Make the forked process what a started one would be; it ends with the template at least."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, stream in ((nothing, 0), (request.log, 1), (request.log, 2)):
        os.dup2(source, stream)
    os.close(nothing)
    os.close(request.log)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def serve(code: str, address: str, workers: str, timeout_s: str) -> None:
    """Microsoft's inference server bound to a Unix socket; its own entry point binds every address.

    code: the folder of the scoring script; what lies in the working directory comes first.
    """
    sys.path.insert(0, "")
    sys.path.append(code)
    constants: Any = importlib.import_module("azureml_inference_server_http.constants")
    logs: Any = importlib.import_module("azureml_inference_server_http.log_config")
    logs.load_logging_config(constants.PACKAGE_ROOT)
    gunicorn: Any = importlib.import_module("gunicorn.app.wsgiapp")
    sys.argv = ["scoring", "-b", f"unix:{address}", "-w", workers, "--timeout", timeout_s]
    sys.argv += ["--error-logfile", "-", "--no-control-socket"]
    sys.argv += ["azureml_inference_server_http.server.entry:app"]
    gunicorn.WSGIApplication("%(prog)s").run()


def main(arguments: list[str]) -> None:
    if len(arguments) == 4:
        serve(*arguments)
        return
    load(PRELOADED)
    with socket.socket(fileno=os.dup(0)) as control:
        request = Template(control).run()
    if request is not None:
        become(request)
        serve(*request.arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
