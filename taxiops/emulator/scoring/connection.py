"""One client's connection to the scoring port: its requests answered in their order."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from taxiops.emulator.scoring.http import (
    CONTINUE,
    Answer,
    BadRequest,
    Incoming,
    RequestReader,
    answer_bytes,
    failure,
)

LINGER_S = 2.0


class ConnectionLost(Exception):
    """A fault breaks the client's connection in place of an answer."""


class Host(Protocol):
    """What a connection needs of the proxy that it belongs to."""

    connections: "set[Connection]"

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...

    async def answer(self, incoming: Incoming) -> Answer:
        """Raises ConnectionLost."""
        ...


class Connection(asyncio.Protocol):
    """One client's connection; answers its requests one after the other."""

    def __init__(self, host: Host) -> None:
        self._host = host
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
        self._host.connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._host.connections.discard(self)
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
            self._host.spawn(self._serve())

    async def _serve(self) -> None:
        while self._waiting:
            incoming = self._waiting.popleft()
            try:
                answer = await self._host.answer(incoming)
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
