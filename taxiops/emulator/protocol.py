"""The HTTP protocol of the emulator's two uvicorn ports: uvicorn's own, with a way to hang up."""

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taxiops.emulator.api.app import BREAK


class Protocol(HttpToolsProtocol):
    """Lets the application break a request's connection, which ASGI does not."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[BREAK] = self.transport.abort
