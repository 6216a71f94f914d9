"""How the proxy cuts bytes into requests and answers, whatever the pieces."""

import pytest

from taxiops.emulator.scoring.http import (
    MOST_BODY_BYTES,
    BadRequest,
    Incoming,
    RequestReader,
    answer_of,
    request_bytes,
    whole_bytes,
)

POST = (
    b"POST /w/e/score?v=2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nX-Own: yes\r\n"
    b"Content-Length: 5\r\n\r\nhello"
)


def read(*pieces: bytes) -> list[Incoming]:
    taken: list[Incoming] = []
    reader = RequestReader(taken.append, lambda: None)
    for piece in pieces:
        reader.feed(piece)
    return taken


def test_a_request_in_single_bytes_is_read_as_one() -> None:
    taken = read(*(POST[i : i + 1] for i in range(len(POST))))
    assert [(each.method, each.target, bytes(each.body)) for each in taken] == [
        ("POST", "/w/e/score?v=2", b"hello")
    ]


def test_requests_in_one_piece_are_read_in_order() -> None:
    assert [bytes(each.body) for each in read(POST + POST.replace(b"hello", b"world"))] == [
        b"hello",
        b"world",
    ]


def test_chunked_bodies_are_put_together() -> None:
    head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert bytes(read(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")[0].body) == b"abcde"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", 400),
    ],
)
def test_what_cannot_be_answered_has_its_status(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read(data)
    assert caught.value.status == status


def test_a_chunked_body_without_end_is_refused_at_the_limit() -> None:
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    pieces = [chunk] * (MOST_BODY_BYTES // 0x100000 + 1)
    with pytest.raises(BadRequest) as caught:
        read(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", *pieces)
    assert caught.value.status == 413


def test_a_client_that_waits_for_a_go_is_told_to_go_on() -> None:
    told: list[bool] = []
    reader = RequestReader(lambda _: None, lambda: told.append(True))
    reader.feed(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
    assert told == [True]


def test_keys_stay_with_the_proxy_and_other_headers_go_on() -> None:
    sent = request_bytes(read(POST)[0], "/score?v=2")
    assert sent.startswith(b"POST /score?v=2 HTTP/1.0\r\n")
    assert b"x-own: yes" in sent
    assert b"Bearer" not in sent
    assert sent.endswith(b"\r\n\r\nhello")


def test_an_answer_is_whole_when_its_length_is_reached() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: gunicorn\r\nx-a: 1\r\n\r\n"
    assert whole_bytes(bytearray(head[:-4])) is None
    assert whole_bytes(bytearray(head)) == len(head) + 2
    answer = answer_of(head + b"ok")
    assert (answer.status, answer.body, dict(answer.headers)) == (200, b"ok", {"x-a": "1"})


def test_a_broken_off_answer_is_no_answer() -> None:
    for data in (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"):
        with pytest.raises(ValueError, match="closed"):
            answer_of(data)
