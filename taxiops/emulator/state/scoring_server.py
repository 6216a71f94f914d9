"""One instance of a deployment: a real inference server behind a Unix socket."""

import http.client
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taxiops.emulator.state.execution import step_environment, tail
from taxiops.emulator.state.processes import Process

READY_DEADLINE_S = 120.0
POLL_S = 0.05
# Microsoft's inference server bound to a Unix socket; its own entry point binds every address.
SERVE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from azureml_inference_server_http.log_config import load_logging_config; "
    "from azureml_inference_server_http.constants import PACKAGE_ROOT; "
    "load_logging_config(PACKAGE_ROOT); "
    "import gunicorn.app.wsgiapp as app; "
    "sys.argv = ['scoring', '-b', 'unix:' + sys.argv[2], '-w', '1', '--timeout', sys.argv[3], "
    "'--error-logfile', '-', '--no-control-socket', "
    "'azureml_inference_server_http.server.entry:app']; "
    "app.WSGIApplication('%(prog)s').run()"
)


class ServerFailed(Exception):
    """The server did not become ready; the text says why, with the end of its log."""


@dataclass(frozen=True)
class ServerPlan:
    """What one instance runs. `code` is its own copy of the snapshot."""

    code: Path
    script: str
    model: Path | None
    environment: Mapping[str, str]
    log: Path
    timeout_s: float


class ScoringServer:
    """A guarded inference server process; `socket_path` is where it listens."""

    def __init__(self, plan: ServerPlan) -> None:
        self.plan = plan
        self._home = Path(tempfile.mkdtemp(prefix="aml-"))
        self.socket_path = str(self._home / "s")
        environment = step_environment(plan.environment)
        environment |= {
            "AML_APP_ROOT": str(plan.code),
            "AZUREML_ENTRY_SCRIPT": plan.script,
            "AML_APP_INSIGHTS_ENABLED": "false",
            "SCORING_TIMEOUT_MS": str(int(plan.timeout_s * 1000)),
        }
        if plan.model is not None:
            environment["AZUREML_MODEL_DIR"] = str(plan.model)
        command = [sys.executable, "-c", SERVE, str(plan.code), self.socket_path]
        command.append(str(int(plan.timeout_s) + 30))
        self._process = Process(command, cwd=plan.code, env=environment, log=plan.log)

    def is_alive(self) -> bool:
        return self._process.exit_code() is None

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Return when it answers its liveness route. Raises ServerFailed."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            if self.answers():
                return
            if not self.is_alive():
                raise ServerFailed(f"The container exited.\n{tail(self.plan.log)}")
            time.sleep(POLL_S)
        raise ServerFailed(
            f"The container was not ready in {deadline_s:.0f} s.\n{tail(self.plan.log)}"
        )

    def answers(self) -> bool:
        """Whether the liveness route answers 200."""
        if not Path(self.socket_path).exists():
            return False
        connection = http.client.HTTPConnection("127.0.0.1", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.settimeout(5)
            connection.sock.connect(self.socket_path)
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def end(self) -> None:
        self._process.end()
        shutil.rmtree(self._home, ignore_errors=True)
