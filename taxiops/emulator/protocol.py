"""The HTTP protocol of the emulator's two uvicorn ports: uvicorn's own, with a way to hang up."""

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taxiops.emulator.api.app import BREAK

MOST_HEAD_BYTES = 64 * 1024


class Protocol(HttpToolsProtocol):
    """Lets the application break a request's connection, which ASGI does not; bounds its head."""

    _head_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        cast("dict[str, Any]", self.scope)[BREAK] = self.transport.abort

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        """What is raised within the parser becomes uvicorn's 400."""
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            raise ValueError("the head of the request is too large")
