"""An emulator within this process: every part of it but the ports and the scoring proxy."""

import asyncio
import json
import socket
import sqlite3
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import certifi
import pytest

from taxiops.emulator.api.app import App
from taxiops.emulator.api.wire import Route
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import ensure_identity, issue_token, now_s
from taxiops.emulator.wiring import build

from .bodies import NAMES, SEEDING

VERSION = "api-version=2023-10-01"
ARM_PORT, BLOB_PORT = 1, 2
SETTLED_S = 60.0
UNFINISHED = """
SELECT 1 FROM documents WHERE kind = 'operation' AND json_extract(body, '$.status') = 'InProgress'
UNION ALL SELECT 1 FROM documents WHERE kind = 'job'
AND json_extract(body, '$.status') NOT IN ('Completed', 'Failed', 'Canceled') LIMIT 1
"""
ADDRESSES = ["https://127.0.0.1:1", "https://127.0.0.1:2", "https://127.0.0.1:3"]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """The `error` member that every refusal of Azure's has."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


@dataclass
class InProcess:
    """Sends requests to the application as a server would, without any socket."""

    emulator: Emulator
    folder: Path
    app: App
    reader: sqlite3.Connection
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        port: int = ARM_PORT,
    ) -> Reply:
        """`path` is sent as it is, with what follows its question mark as the query.

        Without one it is sent with the version of the API that Azure asks for.
        """
        raw, _, query = path.partition("?")
        query = query or VERSION
        sent = {"authorization": f"Bearer {self.token()}", "x-emulator-key": self.secret}
        sent |= dict(headers or {})
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode("latin-1", "replace"),
            "query_string": query.encode("latin-1", "replace"),
            "headers": [
                (key.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                for key, value in sent.items()
            ],
            "server": ("127.0.0.1", port),
        }
        answered: list[dict[str, Any]] = []
        self.loop.run_until_complete(self._call(scope, body, answered))
        start, content = answered
        found = {key.decode(): value.decode("latin-1") for key, value in start["headers"]}
        return Reply(start["status"], found, content["body"])

    async def _call(self, scope: dict[str, Any], body: bytes, answered: list[Any]) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answered.append(message)

        await self.app(scope, receive, send)

    @property
    def secret(self) -> str:
        return self.emulator.identity.client_secret

    def token(self) -> str:
        identity = self.emulator.identity
        return issue_token(identity, ADDRESSES[0], ADDRESSES[0], now_s())

    def settle(self) -> None:
        """Wait for what goes on behind the requests."""
        deadline = time.monotonic() + SETTLED_S
        while self.reader.execute(UNFINISHED).fetchone():
            assert time.monotonic() < deadline, "something never came to its end"
            self.loop.run_until_complete(asyncio.sleep(0.002))

    def mark(self) -> object:
        """Changes with every write: SQLite's count of commits, and the names of folders."""
        state = self.folder / "state"
        commits = self.reader.execute("PRAGMA data_version").fetchone()
        folders = [self.folder, state, state / "blobs", state / "jobs", state / "deployments"]
        return commits, [names(each) for each in folders if each.exists()]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def address(route: Route, values: Mapping[str, str], *, is_quoted: bool = True) -> str:
    """The path of a route with its parameters filled in."""
    path = route.template
    for name in [part.partition("}")[0] for part in path.split("{")[1:]]:
        plain = name.partition(":")[0]
        value = {**NAMES, **values}.get(plain, plain)
        path = path.replace("{" + name + "}", quote(value, safe="") if is_quoted else value)
    return path


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A seeded emulator with something behind each of NAMES."""
    home = tmp_path_factory.mktemp("hostile")
    folder = home / "state"
    (folder / "tls").mkdir(parents=True)
    (folder / "tls" / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    identity = ensure_identity(folder / "identity.json")
    with socket.socket() as unused:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        emulator, _ = build(folder, identity, ADDRESSES, unused, context, "current")
        reader = sqlite3.connect(folder / "emulator.db")
        found = InProcess(emulator, home, App(emulator, BLOB_PORT), reader)
        for route, body in SEEDING:
            reply = found.send(*route.split(" ", 1), json.dumps(body).encode())
            assert reply.status < 300, reply
        found.settle()
        yield found
        emulator.close()
        reader.close()
        found.loop.close()
