"""Telemetry through the real exporter to a real socket; off, broken or silent it harms nobody."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taxiops.cloud import telemetry
from taxiops.cloud.telemetry import VARIABLE, event, recorded
from taxiops.errors import RestoreFailed

KEY = "InstrumentationKey=11111111-2222-3333-4444-555555555555"
SECRET = "s3cret-of-a-client"


class Ingestion(BaseHTTPRequestHandler):
    """What Application Insights answers; the server keeps what came."""

    server: "Server"

    def do_POST(self) -> None:
        items = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.items += items
        count = len(items)
        answer = json.dumps({"itemsReceived": count, "itemsAccepted": count, "errors": []})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    items: list[dict[str, Any]]

    @property
    def connection(self) -> str:
        return f"{KEY};IngestionEndpoint=http://127.0.0.1:{self.server_port}/"

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [each["data"]["baseData"] for each in self.items if kind in each["name"]]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Ingestion)
    made.items = []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def carried_out() -> Callable[[str], list[str]]:
    """Records a command of two steps with a rollback in the second; gives what was told."""

    def run(connection: str) -> list[str]:
        told: list[str] = []
        attributes = {"cloud": "local", "env": "dev", "run_id": ""}
        environ = {VARIABLE: connection} if connection else {}
        with recorded("taxiops release", attributes, [SECRET], told.append, environ) as recording:
            if recording is not None:
                progress = recording.following(lambda _: None)
                progress("[1/2] gate")
                event("gate verdict", passed=True, verdict="improved")
                progress(f"[2/2] traffic with {SECRET} and sig=abc&x")
                event("rollout rolled_back", endpoint="e", slot="green", before=f"{SECRET}=1")
                recording.end(6)
        return told

    return run


def test_a_command_is_a_trace_with_its_steps_and_events(server: Server, carried_out: Any) -> None:
    assert carried_out(server.connection) == []
    (request,) = server.of_kind("Request")
    assert (request["name"], request["success"]) == ("taxiops release", False)
    assert request["properties"] == {
        "taxiops.cloud": "local",
        "taxiops.env": "dev",
        "taxiops.exit_code": "6",
    }
    steps = server.of_kind("RemoteDependency")
    assert [step["name"] for step in steps] == [
        "prepare",
        "[1/2] gate",
        "[2/2] traffic with *** and sig=***&x",
    ]
    events = {each["message"]: each["properties"] for each in server.of_kind("Message")}
    assert events["gate verdict"] == {"passed": "True", "verdict": "improved"}
    assert events["rollout rolled_back"]["slot"] == "green"
    traces = {each["tags"]["ai.operation.id"] for each in server.items}
    assert len(traces) == 1
    parents = [
        each["tags"]["ai.operation.parentId"]
        for each in server.items
        if "RemoteDependency" in each["name"]
    ]
    assert parents == [request["id"]] * 3


def test_no_secret_leaves(server: Server, carried_out: Any) -> None:
    carried_out(server.connection)
    assert SECRET not in json.dumps(server.items)


def test_an_error_is_told_with_its_code(server: Server) -> None:
    environ = {VARIABLE: server.connection}
    with (
        pytest.raises(RestoreFailed),
        recorded("taxiops traffic rollback", {}, [], lambda _: None, environ),
    ):
        raise RestoreFailed("Both failed.")
    (request,) = server.of_kind("Request")
    properties = request["properties"]
    assert properties == {"taxiops.exit_code": "7", "taxiops.error_code": "restore-failed"}


@pytest.mark.parametrize(
    "connection",
    [
        "garbage",
        "InstrumentationKey=nope",
        f"{KEY};IngestionEndpoint=nowhere",
        f"{KEY};IngestionEndpoint=http://127.0.0.1:9/",
    ],
)
def test_a_connection_of_no_use_is_told_and_harms_nobody(carried_out: Any, connection: str) -> None:
    (told,) = carried_out(connection)
    assert told.startswith("telemetry was not delivered: ")
    assert connection not in told


def test_an_endpoint_that_never_answers_is_not_waited_for(
    carried_out: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "FLUSH_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        (told,) = carried_out(f"{KEY};IngestionEndpoint={endpoint}")
    assert told.endswith(("no answer within 0 s", "the endpoint did not take it"))


def test_where_it_is_off_nothing_is_recorded(carried_out: Any) -> None:
    assert carried_out("") == []
    event("gate verdict", passed=True)


def test_the_program_sends_and_its_json_stays_alone(server: Server, tmp_path: Path) -> None:
    taxiops = Path(sys.executable).with_name("taxiops")
    environ = {VARIABLE: server.connection, "AZURE_CLIENT_SECRET": SECRET, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [str(taxiops), "config", "show", "--json"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout)
    assert [each["name"] for each in server.of_kind("Request")] == ["taxiops config show"]
    assert SECRET not in json.dumps(server.items)
