"""The proxy in front of all scoring servers: keys, weighted traffic, limits, mirrors."""

import asyncio
import contextlib
import hmac
import logging
import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any

from taxiops.emulator.identity import Identity, token_claims
from taxiops.emulator.scoring_http import (
    CONTINUE,
    Answer,
    BadRequest,
    Incoming,
    RequestReader,
    answer_bytes,
    answer_of,
    failure,
    request_bytes,
    whole_bytes,
)
from taxiops.emulator.state.deployments import Deployments
from taxiops.emulator.state.faults import REFUSALS, SCORE, Fault, Faults
from taxiops.emulator.state.routing import Instance, Row, Target, token_audience

CHUNK_BYTES = 256 * 1024
IDLE_S, SWEEP_S = 75.0, 5.0
HANDSHAKE_S, LINGER_S = 10.0, 2.0
RECOVERY_S, RECOVERY_POLL_S = 30.0, 0.02
FENCE_S = 5.0
AAD_AUDIENCE = "https://ml.azure.com"
DEPLOYMENT_HEADER = "azureml-model-deployment"
# Routes of the inference server, by what follows the endpoint's path.
ROUTES = {"/score": ("GET", "POST", "OPTIONS"), "/swagger.json": ("GET",), "": ("GET",)}
logger = logging.getLogger(__name__)


class Unreachable(Exception):
    """Nothing was sent: the instance does not listen."""


class ConnectionLost(Exception):
    """A fault breaks the client's connection in place of an answer."""


class Connection(asyncio.Protocol):
    """One client's connection; answers its requests one after the other."""

    def __init__(self, proxy: "ScoringProxy") -> None:
        self._proxy = proxy
        self._waiting: deque[Incoming] = deque()
        self._reader = RequestReader(self._take, lambda: self._transport.write(CONTINUE))
        self._transport: asyncio.Transport
        self._is_serving = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._problem: BadRequest | None = None
        self.active_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._proxy.connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._proxy.connections.discard(self)
        self._may_write.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self.active_at = time.monotonic()
        if self._problem:
            return
        try:
            self._reader.feed(data)
        except BadRequest as problem:
            self._problem = problem
            if not self._is_serving:
                self._refuse(problem)

    def _refuse(self, problem: BadRequest) -> None:
        answer = failure(problem.status, "BadRequest", problem.message)
        self._transport.write(answer_bytes(answer, Incoming().request_id, keep_alive=False))
        # A client that still sends would see a broken pipe rather than the answer.
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)

    def _take(self, incoming: Incoming) -> None:
        self._waiting.append(incoming)
        if self._is_serving:
            # Pipelined: nothing more is read until this one's turn has come.
            self._transport.pause_reading()
        else:
            self._is_serving = True
            self._proxy.spawn(self._serve())

    async def _serve(self) -> None:
        while self._waiting:
            incoming = self._waiting.popleft()
            try:
                answer = await self._proxy.answer(incoming)
            except ConnectionLost:
                self._transport.abort()
                return
            if self._transport.is_closing():
                return
            self._transport.write(
                answer_bytes(answer, incoming.request_id, keep_alive=incoming.keep_alive)
            )
            self.active_at = time.monotonic()
            if not incoming.keep_alive:
                self._transport.close()
                return
            await self._may_write.wait()
            if not self._waiting:
                self._transport.resume_reading()
        self._is_serving = False
        if self._problem:
            self._refuse(self._problem)

    def close_if_idle(self, since: float) -> None:
        if not self._is_serving and self.active_at < since:
            self._transport.abort()


class ScoringProxy:
    """Serves the scoring port in a thread and an event loop of its own."""

    def __init__(
        self,
        deployments: Deployments,
        faults: Faults,
        identity: Identity,
        context: ssl.SSLContext,
        listening: socket.socket,
    ) -> None:
        self._deployments, self._faults, self._identity = deployments, faults, identity
        self._context, self._listening = context, listening
        self._loop = asyncio.new_event_loop()
        self._random = random.SystemRandom()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="scoring", daemon=True)
        self.connections: set[Connection] = set()

    def start(self) -> None:
        self._thread.start()
        self._deployments.fence = self.fence

    def close(self) -> None:
        """Stop listening and drop what is still in progress."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._is_closed.set)
        self._thread.join(timeout=5)

    def fence(self) -> None:
        """Return once every request that was routed by an older table is counted.

        Routing and counting happen in one turn of the loop, so any later turn comes after.
        """
        passed = threading.Event()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(passed.set)
            passed.wait(FENCE_S)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.close()

    async def _listen(self) -> None:
        server = await self._loop.create_server(
            lambda: Connection(self),
            sock=self._listening,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            backlog=512,
        )
        sweeper = self._loop.create_task(self._sweep())
        await self._is_closed.wait()
        server.close()
        for task in [sweeper, *self._tasks]:
            task.cancel()
        await asyncio.gather(sweeper, *self._tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        """Drop clients that send nothing."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for connection in list(self.connections):
                connection.close_if_idle(time.monotonic() - IDLE_S)

    # -- one request -------------------------------------------------------------------------

    async def answer(self, incoming: Incoming) -> Answer:
        """The answer to a request. Raises ConnectionLost, and when cancelled."""
        try:
            answer = await self._routed(incoming)
        except ConnectionLost:
            raise
        except Exception:
            logger.exception("scoring")
            answer = failure(500, "InternalServerError", "The emulator failed; see its log.")
        client_id = incoming.headers.get("x-ms-client-request-id")
        if client_id and "x-ms-client-request-id" not in answer.headers:
            return Answer(
                answer.status,
                answer.body,
                {**answer.headers, "x-ms-client-request-id": client_id},
            )
        return answer

    async def _routed(self, incoming: Incoming) -> Answer:
        path, _, query = incoming.target.partition("?")
        base, suffix = split_path(path)
        row = self._deployments.table.get(base)
        if row is None:
            return failure(404, "NotFound", "There is no such endpoint.")
        if incoming.method not in ROUTES[suffix]:
            return failure(405, "MethodNotAllowed", f"{incoming.method} is not taken here.")
        if not self._is_authorised(row, incoming):
            return failure(401, "Unauthorized", "The key or token is wrong or missing.")
        wanted = incoming.headers.get(DEPLOYMENT_HEADER, "").lower()
        route = (suffix or "/") + (f"?{query}" if query else "")
        target = await self._target(row, wanted)
        if isinstance(target, Answer):
            return target
        if incoming.method == "POST" and not wanted:
            self._mirror(row, target, incoming, route)
        is_score = incoming.method == "POST"
        fault = is_score and self._faults.take(SCORE, target.name, is_live=not wanted)
        return await self._score(target, incoming, route, fault or None)

    def _is_authorised(self, row: Row, incoming: Incoming) -> bool:
        header = incoming.headers.get("authorization", "")
        if row.auth_mode == "key":
            scheme, _, key = header.partition(" ")
            given = key.strip().encode()
            same = [hmac.compare_digest(given, each.encode()) for each in row.keys]
            return scheme.lower() == "bearer" and any(same)
        claims = token_claims(self._identity, header)
        audience = AAD_AUDIENCE if row.auth_mode == "aadtoken" else token_audience(row.path)
        return claims is not None and claims.get("aud") == audience

    async def _target(self, row: Row, wanted: str) -> Target | Answer:
        """Where the request goes. Just after a restart it waits for a server to be ready."""
        deadline = time.monotonic() + RECOVERY_S
        while True:
            target = self._choose(row, wanted)
            is_waiting = isinstance(target, Target) and target.is_recovering
            if not is_waiting or time.monotonic() > deadline:
                return target
            await asyncio.sleep(RECOVERY_POLL_S)
            row = self._deployments.table.get(row.path.lower(), row)

    def _choose(self, row: Row, wanted: str) -> Target | Answer:
        if wanted:
            message = f"There is no deployment {wanted!r} at this endpoint."
            return row.targets.get(wanted) or failure(404, "DeploymentNotFound", message)
        if not row.live:
            message = "No valid deployment with positive weight to route to."
            return failure(404, "DeploymentNotFound", message)
        return self._random.choices(row.live, row.percents)[0]

    def _mirror(self, row: Row, chosen: Target, incoming: Incoming, route: str) -> None:
        for name, percent in row.mirror.items():
            target = row.targets.get(name)
            if target and target is not chosen and self._random.random() * 100 < percent:
                self.spawn(self._mirrored(target, incoming, route))

    async def _mirrored(self, target: Target, incoming: Incoming, route: str) -> None:
        """The same request once more; nobody sees the answer."""
        await self._score(target, incoming, route)

    async def _score(
        self, target: Target, incoming: Incoming, route: str, fault: Fault | None = None
    ) -> Answer:
        who = {DEPLOYMENT_HEADER: target.name}
        if fault and fault.kind in REFUSALS:
            refusal = REFUSALS[fault.kind]
            return failure(refusal.status, refusal.code, refusal.message, who)
        if fault and fault.kind == "lost-request":
            raise ConnectionLost
        if target.in_flight >= target.most_in_flight:
            return failure(429, "TooManyRequests", f"{target.name} is at its limit.", who)
        try:
            async with asyncio.timeout(target.timeout_s):
                if fault and fault.kind == "slow":
                    await asyncio.sleep(fault.seconds)
                answer = await exchange(target, request_bytes(incoming, route))
        except TimeoutError:
            message = f"{target.name} took longer than {target.timeout_s:g} s."
            return failure(408, "RequestTimeout", message, who)
        except Unreachable:
            return failure(503, "ServiceUnavailable", f"{target.name} has no ready instance.", who)
        except (OSError, ValueError) as error:
            return failure(502, "BadGateway", f"{target.name}: {error}", who)
        if fault and fault.kind == "lost-answer":
            raise ConnectionLost
        if fault and fault.kind == "model-error":
            answer = Answer(500, b"the model failed", {})
        if 200 <= answer.status < 300:
            return Answer(answer.status, answer.body, {**answer.headers, **who})
        reason = {
            "ms-azureml-model-error-statuscode": str(answer.status),
            "ms-azureml-model-error-reason": "model_error",
        }
        return Answer(424, answer.body, {**answer.headers, **who, **reason})


def split_path(path: str) -> tuple[str, str]:
    """The endpoint's path, lower-case, and which of ROUTES follows it."""
    lower = path.lower().rstrip("/")
    for suffix in ("/score", "/swagger.json"):
        if lower.endswith(suffix):
            return lower.removesuffix(suffix), suffix
    return lower, ""


async def exchange(target: Target, request: bytes) -> Answer:
    """Send to the least busy instance, to another one when it does not listen.

    Raises Unreachable, OSError or ValueError when the answer is broken off.
    """
    for instance in sorted(target.instances, key=lambda each: each.in_flight):
        instance.in_flight += 1
        try:
            return await exchange_with(instance, request)
        except Unreachable:
            continue
        finally:
            instance.in_flight -= 1
    raise Unreachable(target.name)


async def exchange_with(instance: Instance, request: bytes) -> Answer:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as upstream:
        upstream.setblocking(False)
        try:
            upstream.connect(instance.socket_path)
        except OSError as error:
            raise Unreachable(instance.socket_path) from error
        await loop.sock_sendall(upstream, request)
        received, whole = bytearray(), None
        while whole is None or len(received) < whole:
            data = await loop.sock_recv(upstream, CHUNK_BYTES)
            if not data:
                break
            received += data
            whole = whole or whole_bytes(received)
        return answer_of(bytes(received))
