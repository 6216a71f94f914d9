"""Bytes that no client would send, on the emulator's real ports: refused, and it serves on."""

import json
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from taxiops.emulator import server

CLIMB = b"%2e%2e%2f" * 8 + b"etc%2fpasswd"
HEAD = b" HTTP/1.1\r\nhost: x\r\n"
NONSENSE = {
    "no http": b"nonsense\r\n\r\n",
    "a nested handshake": b"\x16\x03\x01\x02\x00" * 9,
    "a huge header": b"GET /" + HEAD + b"x: " + b"a" * 200_000 + b"\r\n\r\n",
    "a huge path": b"GET /" + b"a" * 200_000 + HEAD + b"\r\n",
    "many headers": b"GET /" + HEAD + b"x: y\r\n" * 50_000 + b"\r\n",
    "bad chunks": b"POST /" + HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\nx\r\n",
    "a negative length": b"POST /" + HEAD + b"content-length: -1\r\n\r\n",
    "two lengths": b"POST /" + HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "an enormous length": b"POST /" + HEAD + b"content-length: 99999999999\r\n\r\n",
    "length and chunks": b"POST /"
    + HEAD
    + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a climbing path": b"GET /../../../../etc/passwd" + HEAD + b"connection: close\r\n\r\n",
    "a coded climbing path": b"GET /" + CLIMB + HEAD + b"connection: close\r\n\r\n",
    "a path with NUL": b"GET /a%00b" + HEAD + b"connection: close\r\n\r\n",
    "another method": b"BREW /" + HEAD + b"connection: close\r\n\r\n",
    "another protocol": b"GET /"
    + HEAD
    + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    + b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


def answer_to(address: str, ca_file: str, data: bytes) -> bytes:
    """What comes back until the server closes, or until a whole head has come."""
    parts = urlsplit(address)
    context = ssl.create_default_context(cafile=ca_file)
    with (
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
    ):
        received = b""
        try:
            secure.sendall(data)
            while b"\r\n\r\n" not in received and (more := secure.recv(65536)):
                received += more
        except (ConnectionError, ssl.SSLError):
            pass
        return received


@pytest.mark.parametrize("port", ["arm", "blobs", "scoring"])
def test_bytes_that_are_no_request_are_refused(emulator: Any, port: str) -> None:
    for name, data in NONSENSE.items():
        received = answer_to(emulator.document[port], emulator.ca_file, data)
        # A server may also hang up on what is not HTTP.
        status = int(received.split(b" ")[1]) if received else 400
        assert 400 <= status < 500 or status == 501, (name, received)
    assert server.call(emulator.state, "GET", "/_emulator/health") == {"status": "running"}


def test_a_lost_client_leaves_nothing_behind(emulator: Any) -> None:
    token = json.dumps({"a": "b"}).encode()
    head = b"PUT /half" + HEAD + b"content-length: 5000000\r\n\r\n" + token
    parts = urlsplit(emulator.document["arm"])
    context = ssl.create_default_context(cafile=emulator.ca_file)
    for _ in range(20):
        plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)
        with context.wrap_socket(plain, server_hostname=parts.hostname) as secure:
            secure.sendall(head)
    assert server.call(emulator.state, "GET", "/_emulator/health") == {"status": "running"}
    assert "Traceback" not in (Path(emulator.state) / "emulator.log").read_text("utf-8")
