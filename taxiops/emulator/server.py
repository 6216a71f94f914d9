"""The emulator as a process seen from outside: start it, ask it, stop it, reset its state."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taxiops.emulator.tls import write_private

Json = dict[str, Any]
# Raised whenever stored documents change in a way that older state does not follow.
STATE_FORMAT = "1"
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 20.0
IDLE_MINUTES = 60.0


class EmulatorError(Exception):
    """The emulator could not be started, stopped or reset; the text says why."""


def read_state(state: Path) -> Json:
    """emulator.json, or an empty document when it is missing or broken."""
    try:
        document = json.loads((state / "emulator.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def is_running(state: Path) -> bool:
    """The daemon holds a lock on its state folder for as long as it lives, however it ends."""
    try:
        descriptor = os.open(state / "emulator.lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def status(state: Path) -> Json:
    """What is known of the emulator of this state folder; no secret."""
    document = read_state(state)
    document.pop("client_secret", None)
    return {**document, "running": is_running(state), "state": str(state)}


def start(
    state: Path,
    seed: Json | None = None,
    owner_pid: int | None = None,
    environments: str | None = None,
    idle_minutes: float = IDLE_MINUTES,
) -> Json:
    """Start the daemon, or find the running one; seed it. Raises EmulatorError.

    environments: `current` or `isolated`, what steps run in; None takes the running one as it is.
    idle_minutes: see `serving.run`. Two concurrent starts end with one daemon.
    """
    state = state.absolute()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with start_lock(state):
        await_ready(state, lambda: launch(state, owner_pid, environments, idle_minutes))
        check_environments(state, environments)
        if seed:
            call(state, "POST", "/_emulator/seed", seed)
    return status(state)


@contextlib.contextmanager
def start_lock(state: Path) -> Iterator[None]:
    with (state / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_environments(state: Path, wanted: str | None) -> None:
    """Raises EmulatorError when the running daemon gives steps other environments than wanted."""
    runs = read_state(state).get("environments")
    if wanted and runs != wanted:
        raise EmulatorError(
            f"The emulator runs with {runs} environments, not {wanted}. "
            "Stop it first: taxiops emulator stop."
        )


def launch(
    state: Path, owner_pid: int | None, environments: str | None, idle_minutes: float
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "taxiops.emulator", "run", "--state", str(state)]
    command += ["--idle-minutes", str(idle_minutes)]
    if owner_pid:
        command += ["--owner-pid", str(owner_pid)]
    if environments:
        command += ["--environments", environments]
    (state / "emulator.json").unlink(missing_ok=True)
    with (state / "emulator.log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=state,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def await_ready(state: Path, begin: Callable[[], "subprocess.Popen[bytes]"]) -> None:
    """Wait until it answers; begin one when none runs, or the one that ran is gone meanwhile.

    Raises EmulatorError when it ends instead, or does not answer in time.
    """
    log = state / "emulator.log"
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        # One that was killed holds its lock until the kernel has taken it down.
        if process is None and not is_running(state):
            process = begin()
        if read_state(state):
            try:
                call(state, "GET", "/_emulator/health")
            except EmulatorError:
                pass
            else:
                return
        if process is not None and process.poll() is not None:
            raise EmulatorError(f"The emulator ended at once: {last_line(log)} (log: {log})")
        time.sleep(0.05)
    raise EmulatorError(f"The emulator did not answer in time; see {log}.")


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def check_format(state: Path) -> str:
    """Mark a new state folder with our format; what is wrong with an older one, or nothing."""
    marker = state / "format"
    if not (state / "emulator.db").exists():
        write_private(marker, STATE_FORMAT.encode())
    found = marker.read_text(encoding="ascii").strip() if marker.exists() else "none"
    if found == STATE_FORMAT:
        return ""
    return (
        f"{state} was written in another format ({found}, not {STATE_FORMAT}); "
        "taxiops emulator reset makes a new one."
    )


def call(state: Path, method: str, path: str, body: Json | None = None) -> Json:
    """A control request to the running emulator. Raises EmulatorError."""
    import ssl

    document = read_state(state)
    if not document:
        raise EmulatorError("The emulator is not running.")
    context = ssl.create_default_context(cafile=str(state / "tls" / "ca.pem"))
    request = urllib.request.Request(document["arm"] + path, method=method)
    request.add_header("x-emulator-key", document["client_secret"])
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=30) as response:
            answer = json.loads(response.read() or b"{}")
            return answer if isinstance(answer, dict) else {}
    except urllib.error.HTTPError as error:
        raise EmulatorError(told(error.read())) from error
    except OSError as error:
        raise EmulatorError(f"{path}: {error}") from error


def told(content: bytes) -> str:
    """What an error answer says, in its own words."""
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:500]


def fault(state: Path, added: Json | None, *, is_clearing: bool) -> Json:
    """Switch a fault on, or all off, or tell which there are. Raises EmulatorError."""
    path = "/_emulator/faults"
    if added is not None:
        return call(state, "POST", path, added)
    return call(state, "DELETE" if is_clearing else "GET", path)


def expire_leases(state: Path) -> Json:
    """Let every lease of the blob service end now. Raises EmulatorError."""
    return call(state, "POST", "/_emulator/leases/expire", {})


def set_quota(state: Path, family: str, limit: int) -> Json:
    """How many cores there are of a family of sizes. Raises EmulatorError."""
    return call(state, "POST", "/_emulator/quota", {"family": family, "limit": limit})


def stop(state: Path) -> Json:
    """End the daemon and everything it started. Idempotent. Raises EmulatorError."""
    pid = read_state(state).get("pid")
    if is_running(state) and isinstance(pid, int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_DEADLINE_S
        while is_running(state):
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                deadline = time.monotonic() + STOP_DEADLINE_S
            time.sleep(0.05)
    return status(state)


def reset(state: Path) -> Json:
    """Stop it and remove its state folder. Raises EmulatorError for a folder that is not ours."""
    from taxiops.emulator.state.endpoints.deployment_files import remove_sockets

    stop(state)
    if state.exists():
        if any(state.iterdir()) and not (state / "emulator.lock").exists():
            raise EmulatorError(f"{state} holds no emulator; it was left alone.")
        remove_sockets(state / "deployments" / "sockets")
        shutil.rmtree(state)
    return status(state)
