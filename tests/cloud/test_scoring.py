"""The scoring client: never retries, and blames the right one."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from taxiops.cloud.scoring import Blame, Scorer, blame_of


@pytest.mark.parametrize(
    ("status", "model_status", "blame"),
    [
        (200, "", Blame.NOBODY),
        (424, "500", Blame.MODEL),
        (424, "", Blame.MODEL),
        (424, "400", Blame.REQUEST),
        (408, "", Blame.MODEL),
        (400, "", Blame.REQUEST),
        (429, "", Blame.CAPACITY),
        (503, "", Blame.CAPACITY),
        (401, "", Blame.PLATFORM),
        (404, "", Blame.PLATFORM),
        (500, "", Blame.PLATFORM),
    ],
)
def test_only_the_models_own_failures_speak_against_it(
    status: int, model_status: str, blame: Blame
) -> None:
    assert blame_of(status, model_status) is blame


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers from a list, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).asked.append({k.lower(): v for k, v in self.headers.items()})
        status, body = type(self).answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A TLS endpoint on loopback and the certificate that it is to be trusted by."""
    from taxiops.emulator.tls import ensure_certificates, server_context

    authority = ensure_certificates(tmp_path / "tls")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    context: ssl.SSLContext = server_context(tmp_path / "tls")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Endpoint.asked.clear()
    yield f"https://127.0.0.1:{server.server_address[1]}/score", str(authority)
    server.shutdown()
    server.server_close()


def test_an_unavailable_service_is_asked_once_only(uri: tuple[str, str]) -> None:
    Endpoint.answers[:] = [(503, b""), (200, b"{}")]
    with Scorer(uri[0], "key", uri[1]) as scorer:
        answer = scorer.score([{}])
    assert (answer.status, answer.blame, len(Endpoint.asked)) == (503, Blame.CAPACITY, 1)


def test_a_slot_is_named_for_one_request_and_not_for_the_next(uri: tuple[str, str]) -> None:
    Endpoint.answers[:] = [(200, b"{}"), (200, b"{}")]
    with Scorer(uri[0], "key", uri[1]) as scorer:
        scorer.score([{}], "green")
        scorer.score([{}])
    assert [each.get("azureml-model-deployment") for each in Endpoint.asked] == ["green", None]
    assert all(each["authorization"] == "Bearer key" for each in Endpoint.asked)


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff"])
def test_an_answer_that_is_no_object_has_no_document(uri: tuple[str, str], body: bytes) -> None:
    Endpoint.answers[:] = [(200, body)]
    with Scorer(uri[0], "key", uri[1]) as scorer:
        assert scorer.score([{}]).document == {}


def test_predictions_arrive(uri: tuple[str, str]) -> None:
    Endpoint.answers[:] = [(200, json.dumps({"predictions": [1.5]}).encode())]
    with Scorer(uri[0], "key", uri[1]) as scorer:
        assert scorer.score([{}]).document["predictions"] == [1.5]


def test_no_answer_is_the_platforms_fault_and_no_exception() -> None:
    with Scorer("https://127.0.0.1:9/score", "key") as scorer:
        answer = scorer.score([{}])
    assert (answer.status, answer.blame) == (0, Blame.PLATFORM)
