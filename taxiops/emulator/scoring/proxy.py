"""The proxy in front of all scoring servers: its port, its thread, its connections."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Coroutine
from typing import Any

from taxiops.emulator.context import Emulator
from taxiops.emulator.scoring.connection import Connection
from taxiops.emulator.scoring.http import Answer, Incoming
from taxiops.emulator.scoring.requests import Scorer

IDLE_S, SWEEP_S = 75.0, 5.0
HANDSHAKE_S = 10.0
FENCE_S = 5.0


class ScoringProxy:
    """Serves the scoring port in a thread and an event loop of its own."""

    def __init__(
        self, emulator: Emulator, context: ssl.SSLContext, listening: socket.socket
    ) -> None:
        self._deployments, self._activity = emulator.deployments, emulator.activity
        self._scorer = Scorer(emulator.deployments, emulator.faults, emulator.identity, self.spawn)
        self._context, self._listening = context, listening
        self._loop = asyncio.new_event_loop()
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

    async def answer(self, incoming: Incoming) -> Answer:
        """Raises ConnectionLost, and when cancelled."""
        self._activity.touch()
        try:
            return await self._scorer.answer(incoming)
        finally:
            self._activity.touch()
