"""Endpoints with a small scoring script, and a plain HTTP client that sees every header."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

SCORE = """
import json, os, pathlib, signal, time

def init():
    if os.environ.get("CRASH_IN_INIT"):
        raise RuntimeError("no weights today")
    folder = pathlib.Path(os.environ["AZUREML_MODEL_DIR"])
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    print("loaded", files)
    global MODEL
    MODEL = files

def run(raw):
    request = json.loads(raw)
    if "note" in request:
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(request["note"] + "\\n")
    time.sleep(request.get("sleep_s", 0))
    if request.get("raise"):
        raise ValueError("asked to")
    if request.get("kill_server"):
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(1)
    who = {"who": os.environ.get("WHO"), "pid": os.getpid(), "debug": __debug__}
    return {**who, "model": MODEL, "size": len(raw)}
"""


@dataclass(frozen=True)
class Scored:
    status: int
    headers: Mapping[str, str]
    document: Any


@dataclass
class Caller:
    """One kept connection to an endpoint; nothing is retried."""

    uri: str
    key: str
    ca_file: str
    _connection: http.client.HTTPSConnection | None = field(default=None, repr=False)

    def post(self, document: object = None, headers: Mapping[str, str] | None = None) -> Scored:
        return self.send("POST", "", json.dumps(document or {}).encode(), headers)

    def send(
        self,
        method: str,
        path: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Scored:
        parts = urlsplit(self.uri)
        if self._connection is None:
            context = ssl.create_default_context(cafile=self.ca_file)
            self._connection = http.client.HTTPSConnection(
                parts.netloc, timeout=60, context=context
            )
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        self._connection.request(method, path or parts.path, body, {**sent, **(headers or {})})
        response = self._connection.getresponse()
        content = response.read()
        try:
            document = json.loads(content)
        except ValueError:
            document = content.decode()
        return Scored(response.status, {k.lower(): v for k, v in response.getheaders()}, document)

    def local_port(self) -> int:
        assert self._connection is not None
        return int(self._connection.sock.getsockname()[1])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@dataclass(frozen=True)
class Bench:
    """Makes endpoints and deployments in one workspace through the SDK."""

    client: Any
    folder: Path
    ca_file: str

    def endpoint(self, name: str, **settings: Any) -> Any:
        from azure.ai.ml.entities import ManagedOnlineEndpoint

        entity = ManagedOnlineEndpoint(name=name, **{"auth_mode": "key", **settings})
        return self.client.online_endpoints.begin_create_or_update(entity).result()

    def deployment(
        self,
        endpoint: str,
        name: str,
        variables: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Any:
        entity = self.entity(endpoint, name, variables, **settings)
        return self.client.online_deployments.begin_create_or_update(entity).result()

    def entity(
        self,
        endpoint: str,
        name: str,
        variables: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Any:
        from azure.ai.ml.entities import (
            CodeConfiguration,
            Environment,
            ManagedOnlineDeployment,
            Model,
            OnlineRequestSettings,
        )

        given = {
            "model": Model(path=str(self.folder / "model"), name="weights", version="1"),
            "environment": Environment(image="mcr.microsoft.com/azureml/base"),
            "code_configuration": CodeConfiguration(
                code=str(self.folder / "code"), scoring_script="score.py"
            ),
            "instance_type": "Standard_DS3_v2",
            "instance_count": 1,
            "request_settings": OnlineRequestSettings(
                request_timeout_ms=20_000, max_concurrent_requests_per_instance=50
            ),
            "environment_variables": {"WHO": name, **(variables or {})},
        }
        return ManagedOnlineDeployment(name=name, endpoint_name=endpoint, **{**given, **settings})

    def traffic(
        self, endpoint: str, shares: Mapping[str, int], mirror: Mapping[str, int] | None = None
    ) -> None:
        entity = self.client.online_endpoints.get(endpoint)
        entity.traffic, entity.mirror_traffic = dict(shares), dict(mirror or {})
        self.client.online_endpoints.begin_create_or_update(entity).result()

    def caller(self, endpoint: str) -> Caller:
        uri = self.client.online_endpoints.get(endpoint).scoring_uri
        key = self.client.online_endpoints.get_keys(endpoint).primary_key
        return Caller(uri, key, self.ca_file)


def write_sources(folder: Path) -> Path:
    for name, file, text in (
        ("code", "score.py", SCORE),
        ("model", "weights.txt", "1 2 3"),
    ):
        (folder / name).mkdir()
        (folder / name / file).write_text(text)
    return folder


@pytest.fixture(scope="session")
def bench(emulator: Any, workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = write_sources(tmp_path_factory.mktemp("sources"))
    return Bench(workspace, folder, emulator.ca_file)


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What deployments were told to note, one line a request."""
    path = tmp_path_factory.mktemp("notes") / "notes.txt"
    path.touch()
    return path


@pytest.fixture(scope="session")
def pair(bench: Bench, notes: Path) -> str:
    """An endpoint with two deployments, blue and green; tests set the traffic they need."""
    bench.endpoint("pair", tags={"team": "fares"})
    for name in ("blue", "green"):
        bench.deployment("pair", name, {"NOTES": str(notes)})
    return "pair"


@pytest.fixture
def caller(bench: Bench, pair: str) -> Iterator[Caller]:
    found = bench.caller(pair)
    yield found
    found.close()
