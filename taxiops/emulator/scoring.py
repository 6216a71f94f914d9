"""The proxy in front of all scoring servers: keys, weighted traffic, limits, mirrors."""

import asyncio
import json
import logging
import random
import socket
import ssl
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

from taxiops.emulator.identity import Identity, token_claims
from taxiops.emulator.state.deployments import Deployments, Row, Target

MOST_BODY_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
IDLE_S = 75.0
FORWARDED = frozenset({"content-type", "accept", "x-ms-client-request-id", "traceparent"})
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Payload Too Large",
    424: "Failed Dependency",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
logger = logging.getLogger(__name__)


@dataclass
class Incoming:
    """A request being read; the parser's callbacks fill it."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


class Reader:
    """Feeds bytes to the parser and collects whole requests in order."""

    def __init__(self) -> None:
        self.ready: list[Incoming] = []
        self._current = Incoming()
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._current = Incoming()

    def on_url(self, url: bytes) -> None:
        self._current.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._current.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        if len(self._current.body) <= MOST_BODY_BYTES:
            self._current.body += body

    def on_message_complete(self) -> None:
        self._current.method = self._parser.get_method().decode("latin-1")
        self._current.keep_alive = self._parser.should_keep_alive()
        self.ready.append(self._current)


class ScoringProxy:
    """Serves the scoring port in a thread and an event loop of its own."""

    def __init__(
        self,
        deployments: Deployments,
        identity: Identity,
        context: ssl.SSLContext,
        listening: socket.socket,
    ) -> None:
        self._deployments, self._identity = deployments, identity
        self._context, self._listening = context, listening
        self._loop = asyncio.new_event_loop()
        self._random = random.SystemRandom()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._serve, name="scoring", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = asyncio.start_server(
            self._connection, sock=self._listening, ssl=self._context, backlog=512
        )
        self._loop.run_until_complete(server)
        self._loop.run_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = Reader()
        try:
            keep_alive = True
            while keep_alive:
                data = await asyncio.wait_for(reader.read(CHUNK_BYTES), IDLE_S)
                if not data:
                    break
                requests.feed(data)
                while requests.ready and keep_alive:
                    incoming = requests.ready.pop(0)
                    answer = await self._answer(incoming)
                    keep_alive = incoming.keep_alive
                    writer.write(encoded(answer, keep_alive))
                    await writer.drain()
        except httptools.HttpParserError:
            writer.write(encoded(failure(400, "BadRequest", "Not an HTTP request."), False))
        except (OSError, TimeoutError, ssl.SSLError):
            logger.debug("a client went away")
        finally:
            writer.close()

    async def _answer(self, incoming: Incoming) -> Answer:
        path = urlsplit(incoming.path).path.rstrip("/")
        row = self._deployments.table.get(path.removesuffix("/score").lower())
        if row is None:
            return failure(404, "NotFound", "There is no such endpoint.")
        expected = "POST" if path.endswith("/score") else "GET"
        if incoming.method != expected:
            return failure(405, "MethodNotAllowed", f"This route takes {expected}.")
        if not self._is_authorised(row, incoming):
            return failure(401, "Unauthorized", "The key or token is wrong or missing.")
        if len(incoming.body) > MOST_BODY_BYTES:
            return failure(413, "PayloadTooLarge", "The request is too large.")
        target, problem = self._choose(row, incoming.headers.get("azureml-model-deployment", ""))
        if target is None:
            return failure(404, "DeploymentNotFound", problem)
        if incoming.method == "POST":
            self._mirror(row, target, incoming)
        return await self._score(target, incoming)

    def _is_authorised(self, row: Row, incoming: Incoming) -> bool:
        header = incoming.headers.get("authorization", "")
        token = header.partition(" ")[2].strip()
        return token in row.keys or token_claims(self._identity, header) is not None

    def _choose(self, row: Row, wanted: str) -> tuple[Target | None, str]:
        if wanted:
            return row.targets.get(wanted.lower()), f"There is no deployment {wanted!r}."
        live = [each for each in row.targets.values() if each.percent]
        if not live:
            return None, "No valid deployment with positive weight to route to."
        return self._random.choices(live, [each.percent for each in live])[0], ""

    def _mirror(self, row: Row, chosen: Target, incoming: Incoming) -> None:
        for name, percent in row.mirror.items():
            target = row.targets.get(name)
            if target and target is not chosen and self._random.random() * 100 < percent:
                task = self._loop.create_task(self._mirrored(target, incoming))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _mirrored(self, target: Target, incoming: Incoming) -> None:
        await self._score(target, incoming)

    async def _score(self, target: Target, incoming: Incoming) -> Answer:
        counts = self._deployments.in_flight
        who = {"azureml-model-deployment": target.name}
        if not target.sockets:
            return failure(503, "DeploymentNotReady", f"{target.name} has no ready instance.", who)
        if sum(counts.get(each, 0) for each in target.sockets) >= target.most_in_flight:
            return failure(429, "TooManyRequests", f"{target.name} is at its limit.", who)
        instance = min(target.sockets, key=lambda each: counts.get(each, 0))
        counts[instance] = counts.get(instance, 0) + 1
        try:
            status, headers, body = await asyncio.wait_for(
                exchange(instance, incoming), target.timeout_s
            )
        except TimeoutError:
            return failure(
                408,
                "RequestTimeout",
                f"{target.name} took longer than {target.timeout_s:g} s.",
                who,
            )
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            return failure(502, "BadGateway", f"{target.name}: {type(error).__name__}", who)
        finally:
            counts[instance] -= 1
        passed = {k: v for k, v in headers.items() if k in {"content-type", "x-ms-server-version"}}
        passed |= who
        if not 200 <= status < 300:
            passed |= {
                "ms-azureml-model-error-statuscode": str(status),
                "ms-azureml-model-error-reason": "model_error",
            }
            return Answer(424, body, passed)
        return Answer(status, body, passed)


async def exchange(path: str, incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
    """One HTTP/1.0 request to a scoring server; its worker closes after each answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        route = "/score" if incoming.method == "POST" else "/"
        head = [
            f"{incoming.method} {route} HTTP/1.0",
            "host: localhost",
            f"content-length: {len(incoming.body)}",
        ]
        head += [
            f"{name}: {value}" for name, value in incoming.headers.items() if name in FORWARDED
        ]
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + bytes(incoming.body))
        raw_head = await reader.readuntil(b"\r\n\r\n")
        lines = raw_head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if ":" in line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = headers.get("content-length")
        body = await (reader.readexactly(int(length)) if length else reader.read())
        return int(lines[0].split(" ")[1]), headers, body
    finally:
        writer.close()


def failure(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Answer(status, body, {"content-type": "application/json", **(headers or {})})


def encoded(answer: Answer, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}"]
    headers = {
        **answer.headers,
        "content-length": str(len(answer.body)),
        "x-request-id": str(uuid.uuid4()),
        "connection": "keep-alive" if keep_alive else "close",
    }
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + answer.body
