"""The emulator as a process: run it, start it in the background, stop it, reset its state."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taxiops.emulator.identity import Identity, ensure_identity
from taxiops.emulator.tls import ensure_certificates, server_context, write_private

if TYPE_CHECKING:
    import uvicorn

Json = dict[str, Any]
# Raised whenever stored documents change in a way that older state does not follow.
STATE_FORMAT = "1"
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 20.0
HOST = "127.0.0.1"
logger = logging.getLogger(__name__)


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
) -> Json:
    """Start the daemon, or find the running one; seed it. Raises EmulatorError.

    environments: `current` or `isolated`, what steps run in; None takes the running one as it is.
    Two concurrent starts end with one daemon.
    """
    state = state.absolute()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with start_lock(state):
        process = None if is_running(state) else launch(state, owner_pid, environments)
        await_ready(state, process)
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
    state: Path, owner_pid: int | None, environments: str | None
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "taxiops.emulator", "run", "--state", str(state)]
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


def await_ready(state: Path, process: "subprocess.Popen[bytes] | None") -> None:
    """Wait until it answers. Raises EmulatorError when it ends instead, or does not in time."""
    log = state / "emulator.log"
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
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
    from taxiops.emulator.state.deployment_files import remove_sockets

    stop(state)
    if state.exists():
        if any(state.iterdir()) and not (state / "emulator.lock").exists():
            raise EmulatorError(f"{state} holds no emulator; it was left alone.")
        remove_sockets(state / "deployments" / "sockets")
        shutil.rmtree(state)
    return status(state)


def run(state: Path, owner_pid: int | None = None, environments: str = "current") -> int:
    """Serve until SIGTERM, SIGINT or the end of the owner. Returns the exit code."""
    os.umask(0o077)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(state / "emulator.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"An emulator already runs on {state}.\n")
        return 1
    if problem := check_format(state):
        sys.stderr.write(f"{problem}\n")
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve(state, owner_pid, environments))
    return 0


async def serve(state: Path, owner_pid: int | None, environments: str) -> None:
    """Wire the parts, listen, wait, and take everything down in the reverse order."""
    import uvicorn

    from taxiops.emulator.api.app import App
    from taxiops.emulator.protocol import Protocol
    from taxiops.emulator.wiring import build

    identity = ensure_identity(state / "identity.json")
    authority = ensure_certificates(state / "tls")
    ports = read_ports(state)
    sockets = [listen(ports.get(name, 0)) for name in ("arm", "blobs", "scoring")]
    addresses = [f"https://{HOST}:{each.getsockname()[1]}" for each in sockets]
    context = server_context(state / "tls")
    emulator, proxy = build(state, identity, addresses, sockets[2], context, environments)
    app = App(emulator, sockets[1].getsockname()[1])
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="off",
        ssl_certfile=str(state / "tls" / "server.pem"),
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    server = uvicorn.Server(config)
    proxy.start()
    emulator.recover()
    write_ports(state, sockets)
    write_state(state, identity, addresses, authority, environments)
    watcher = asyncio.create_task(watch_owner(server, owner_pid)) if owner_pid else None
    # uvicorn raises the signal that stopped it again; there is still to clean up then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        await server.serve(sockets=sockets[:2])
    finally:
        if watcher:
            watcher.cancel()
        await asyncio.to_thread(emulator.close)
        proxy.close()


def listen(port: int) -> socket.socket:
    """A listening socket on loopback, on the port of last time when it is free."""
    # asyncio switches Nagle's delay off only where it sees that the protocol is TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError:
        listening.bind((HOST, 0))
    listening.listen(512)
    listening.setblocking(False)
    return listening


def read_ports(state: Path) -> dict[str, int]:
    try:
        document = json.loads((state / "ports.json").read_text(encoding="utf-8"))
        return {name: int(port) for name, port in document.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def write_ports(state: Path, sockets: list[socket.socket]) -> None:
    names = ("arm", "blobs", "scoring")
    ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    write_private(state / "ports.json", json.dumps(ports).encode())


def write_state(
    state: Path, identity: Identity, addresses: list[str], authority: Path, environments: str
) -> None:
    document = {
        "schema_version": 1,
        "pid": os.getpid(),
        "arm": addresses[0],
        "blobs": addresses[1],
        "scoring": addresses[2],
        "ca_file": str(authority),
        "tenant_id": identity.tenant_id,
        "client_id": identity.client_id,
        "client_secret": identity.client_secret,
        "environments": environments,
        "started_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    write_private(state / "emulator.json", json.dumps(document, indent=2).encode())


async def watch_owner(server: "uvicorn.Server", owner_pid: int) -> None:
    """Stop serving when the owning process is gone."""
    while True:
        try:
            os.kill(owner_pid, 0)
        except ProcessLookupError:
            server.should_exit = True
            return
        await asyncio.sleep(0.5)
