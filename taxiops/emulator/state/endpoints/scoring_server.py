"""One instance of a deployment: a real inference server behind a Unix socket."""

import http.client
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taxiops.emulator.state.endpoints.routing import Instance
from taxiops.emulator.state.endpoints.scoring_process import start_server
from taxiops.emulator.state.jobs.execution import step_environment, tail

PROBE_TIMEOUT_S = 2.0
# The proxy answers 408 at the request timeout; the container frees its worker just after.
CONTAINER_MARGIN_MS = 1000
# Defaults of the inference server (its constants.py).
WORKERS, WORKER_TIMEOUT_S = "1", "300"


class ServerFailed(Exception):
    """The server did not become ready; the text says why, with the end of its log."""


@dataclass(frozen=True)
class Probe:
    """How often a container is asked whether it lives; the defaults are Azure's. Seconds."""

    delay_s: float = 10.0
    period_s: float = 10.0
    timeout_s: float = 2.0
    failures: int = 30


@dataclass(frozen=True)
class ServerPlan:
    """What one instance runs. `code` and `model_folder` are the deployment's own copies.

    sockets: the folder in which instances listen; addresses of Unix sockets have about 100 bytes.
    """

    sockets: Path
    code: Path
    script: str
    model_folder: Path | None
    environment: Mapping[str, str]
    log: Path
    timeout_s: float
    ready_deadline_s: float
    liveness: Probe = Probe()


class ScoringServer:
    """A guarded inference server process; `instance` is where requests go."""

    def __init__(self, plan: ServerPlan) -> None:
        self.plan = plan
        self.instance = Instance(str(plan.sockets / secrets.token_hex(4)))
        environment = server_environment(plan)
        arguments = [str(plan.code), self.instance.socket_path]
        arguments += [
            environment.get("WORKER_COUNT", WORKERS),
            environment.get("WORKER_TIMEOUT", WORKER_TIMEOUT_S),
        ]
        self._process = start_server(
            arguments, model=plan.model_folder, cwd=plan.code, env=environment, log=plan.log
        )

    def is_alive(self) -> bool:
        return self._process.exit_code() is None

    def exit_code(self) -> int | None:
        return self._process.exit_code()

    def answers(self, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
        """Whether the liveness route answers 200."""
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.settimeout(timeout_s)
            connection.sock.connect(self.instance.socket_path)
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def log_tail(self) -> str:
        return tail(self.plan.log)

    def end(self) -> None:
        self._process.end()
        Path(self.instance.socket_path).unlink(missing_ok=True)


def server_environment(plan: ServerPlan) -> dict[str, str]:
    """As Azure sets it in the container; the deployment's own variables win where they may."""
    environment = step_environment(plan.environment)
    environment |= {
        "AML_APP_ROOT": str(plan.code),
        "AZUREML_ENTRY_SCRIPT": plan.script,
        "AML_APP_INSIGHTS_ENABLED": "false",
    }
    environment.setdefault(
        "SCORING_TIMEOUT_MS", str(int(plan.timeout_s * 1000) + CONTAINER_MARGIN_MS)
    )
    if plan.model_folder is not None:
        environment["AZUREML_MODEL_DIR"] = str(plan.model_folder)
    return environment
