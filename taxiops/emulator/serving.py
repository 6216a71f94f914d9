"""The emulator's own process: listen, serve, watch for reasons to stop, take everything down."""

import asyncio
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from taxiops.emulator.identity import Identity, ensure_identity
from taxiops.emulator.server import IDLE_MINUTES, check_format
from taxiops.emulator.tls import ensure_certificates, server_context, write_private

if TYPE_CHECKING:
    import uvicorn

    from taxiops.emulator.context import Emulator

HOST = "127.0.0.1"
IDLE_POLL_S = 5.0
logger = logging.getLogger(__name__)


def run(
    state: Path,
    owner_pid: int | None = None,
    environments: str | None = None,
    idle_minutes: float = IDLE_MINUTES,
) -> int:
    """Serve until SIGTERM, SIGINT, the end of the owner, or long idleness (0: for ever).

    Idle is an emulator without requests, jobs and operations; what is deployed does not count,
    and comes back with the next start. Returns the exit code.
    """
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
    asyncio.run(serve(state, owner_pid, environments or "current", idle_minutes * 60))
    return 0


async def serve(state: Path, owner_pid: int | None, environments: str, idle_s: float) -> None:
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
    watchers = [asyncio.create_task(watch_owner(server, owner_pid))] if owner_pid else []
    watchers += [asyncio.create_task(watch_idleness(server, emulator, idle_s))] if idle_s else []
    # uvicorn raises the signal that stopped it again; there is still to clean up then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        await server.serve(sockets=sockets[:2])
    finally:
        for watcher in watchers:
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


async def watch_idleness(server: "uvicorn.Server", emulator: "Emulator", idle_s: float) -> None:
    """Stop serving after so long without a request, while nothing is in progress."""
    while True:
        await asyncio.sleep(min(IDLE_POLL_S, idle_s / 4))
        if await asyncio.to_thread(emulator.is_busy):
            emulator.activity.touch()
        elif emulator.activity.idle_s() > idle_s:
            logger.info("Nobody asked anything for %g s; stopping.", idle_s)
            server.should_exit = True
            return
