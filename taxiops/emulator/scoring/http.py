"""HTTP/1.1 as the scoring proxy speaks it: requests read, answers written, no routing."""

import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

# Azure's limit of a managed online endpoint's payload.
MOST_BODY_BYTES = 10 * 1024 * 1024
MOST_HEAD_BYTES = 64 * 1024
# Headers between two neighbours only (RFC 9110), and what the proxy itself uses up or sets.
NOT_FORWARDED = frozenset(
    {
        "authorization",
        "azureml-model-deployment",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)
NOT_RETURNED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "transfer-encoding",
        "x-request-id",
    }
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BadRequest(Exception):
    """A request that cannot be answered further on this connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(eq=False)
class Incoming:
    """A request. Names of headers are lower-case; `target` is path and query as sent."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


class RequestReader:
    """Cuts a connection's bytes into requests, within limits.

    take: called with every complete request. expect: called when the client waits to be told to
    go on with the body.
    """

    def __init__(self, take: Callable[[Incoming], None], expect: Callable[[], None]) -> None:
        self._take, self._expect = take, expect
        self._current = Incoming()
        self._head_bytes = 0
        self._parser = httptools.HttpRequestParser(self)
        self._problem: BadRequest | None = None

    def feed(self, data: bytes) -> None:
        """Raises BadRequest; nothing can be read from the connection afterwards."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise self._problem or BadRequest(400, "Not a valid HTTP request.") from error
        if self._problem:
            raise self._problem

    def on_message_begin(self) -> None:
        self._current, self._head_bytes = Incoming(), 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        self._current.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        self._current.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers = self._current.headers
        if int(headers.get("content-length") or 0) > MOST_BODY_BYTES:
            self._fail(413, "The request is larger than 10 MiB.")
        elif headers.get("expect", "").lower() == "100-continue":
            self._expect()

    def on_body(self, body: bytes) -> None:
        if len(self._current.body) + len(body) > MOST_BODY_BYTES:
            self._fail(413, "The request is larger than 10 MiB.")
        self._current.body += body

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            self._fail(400, "Other protocols are not served.")
        self._current.method = self._parser.get_method().decode("latin-1")
        self._current.keep_alive = self._parser.should_keep_alive()
        self._take(self._current)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._fail(431, "The request's headers are larger than 64 KiB.")

    def _fail(self, status: int, message: str) -> None:
        # Only what is raised inside a callback stops the parser.
        self._problem = BadRequest(status, message)
        raise self._problem


def request_bytes(incoming: Incoming, route: str) -> bytes:
    """An HTTP/1.0 request for a scoring server, which closes the connection after its answer."""
    head = [
        f"{incoming.method} {route} HTTP/1.0",
        "host: localhost",
        f"content-length: {len(incoming.body)}",
        f"x-request-id: {incoming.request_id}",
    ]
    head += [f"{k}: {v}" for k, v in incoming.headers.items() if k not in NOT_FORWARDED]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + incoming.body


def whole_bytes(received: bytearray) -> float | None:
    """How many bytes a scoring server's answer has: inf until it closes, None: not yet known."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = head_of(bytes(received[:end]))[1].get("content-length")
    return math.inf if length is None else end + 4 + int(length)


def answer_of(received: bytes) -> Answer:
    """The whole answer of a scoring server. Raises ValueError for what is none."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("the connection was closed before an answer")
    status, headers = head_of(head)
    if len(body) < int(headers.get("content-length") or 0):
        raise ValueError("the connection was closed within an answer")
    kept = {name: value for name, value in headers.items() if name not in NOT_RETURNED}
    return Answer(status, body, kept)


def head_of(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return int(lines[0].split(" ")[1]), headers


def failure(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """An error of the proxy's own, in Azure's shape."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Answer(status, body, {"content-type": "application/json", **(headers or {})})


def answer_bytes(answer: Answer, request_id: str, *, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [
        f"content-length: {len(answer.body)}",
        f"x-request-id: {request_id}",
        f"connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + answer.body


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
