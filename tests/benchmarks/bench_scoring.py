"""A scoring request through the proxy against the scoring server alone, with our own model."""

import http.client
import json
import os
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench_rollout import PARTS, ROOT, call

from taxiops.cloud import connect
from taxiops.cloud.snapshot import code_snapshot
from taxiops.config import load_settings

MOST_ADDED_MS, LEAST_THROUGHPUT = 1.0, 0.9
PAIRS, ROUNDS, ROUND_S, CLIENTS = 400, 5, 1.5, 4
Ask = Callable[[], None]


def measure() -> dict[str, Any]:
    """added_ms: median of proxy minus median of the server alone, asked in turn.

    throughput_ratio: requests a second of CLIENTS kept connections, in turn, median of ROUNDS.
    """
    with tempfile.TemporaryDirectory() as folder, code_snapshot(ROOT, PARTS) as root:
        (root / "pyproject.toml").write_text("[tool.taxiops]\n", encoding="utf-8")
        environment = {
            "TAXIOPS_EMULATOR_STATE": f"{folder}/emulator",
            "TAXIOPS_OUTPUT": f"{folder}/artifacts",
        }
        everything = {**os.environ, **environment}
        try:
            call(root, everything, "compare", "--set", "rows=8000")
            call(root, everything, "gate", "--override", "--reason", "benchmark")
            call(root, everything, "promote")
            call(root, everything, "deploy")
            return measured(load_settings({}, environment, root), Path(folder) / "emulator")
        finally:
            call(root, everything, "emulator", "stop")


def measured(settings: Any, state: Path) -> dict[str, Any]:
    endpoints = connect("local", "dev", settings).workspace.online_endpoints
    uri = endpoints.get(settings.dev.endpoint).scoring_uri
    key = endpoints.get_keys(settings.dev.endpoint).primary_key
    (golden,) = state.glob("deployments/*/*/*/*/models/*/*/*/golden.json")
    rows = json.loads(golden.read_text("utf-8"))["rows"]
    body = json.dumps({"trips": rows[:1]}).encode()
    (server,) = Path((state / "deployments" / "sockets").read_text()).iterdir()
    ways = {
        "alone": lambda: alone(str(server), body),
        "proxy": lambda: through_proxy(uri, key, state / "tls" / "ca.pem", body),
    }
    latency = latencies(ways)
    rates = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(rate(way))
    added_ms = (latency["proxy"] - latency["alone"]) * 1000
    ratio = statistics.median(p / a for p, a in zip(rates["proxy"], rates["alone"], strict=True))
    return {
        "alone_ms": round(latency["alone"] * 1000, 3),
        "proxy_ms": round(latency["proxy"] * 1000, 3),
        "added_ms": round(added_ms, 3),
        "latency_ratio": round(latency["proxy"] / latency["alone"], 3),
        "alone_per_s": round(statistics.median(rates["alone"])),
        "throughput_ratio": round(ratio, 3),
        "within_limit": added_ms <= MOST_ADDED_MS and ratio >= LEAST_THROUGHPUT,
    }


@contextmanager
def alone(path: str, body: bytes) -> Iterator[Ask]:
    """Ask the scoring server itself, on its Unix socket; it closes after each answer."""

    def ask() -> None:
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(path)
        post(connection, "/score", body, {})
        connection.close()

    yield ask


@contextmanager
def through_proxy(uri: str, key: str, authority: Path, body: bytes) -> Iterator[Ask]:
    """Ask as a client does, over one kept connection."""
    parts = urlsplit(uri)
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection(parts.netloc, timeout=30, context=context)
    yield lambda: post(connection, parts.path, body, {"authorization": f"Bearer {key}"})
    connection.close()


def post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> None:
    connection.request("POST", path, body, {"content-type": "application/json", **headers})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {content[:200]!r}")


def latencies(ways: dict[str, Any]) -> dict[str, float]:
    """Medians in seconds, both ways asked in turn."""
    seen: dict[str, list[float]] = {name: [] for name in ways}
    with ExitStack() as stack:
        asks = {name: stack.enter_context(way()) for name, way in ways.items()}
        for _ in range(PAIRS):
            for name, ask in asks.items():
                begun = time.perf_counter()
                ask()
                seen[name].append(time.perf_counter() - begun)
    return {name: statistics.median(found) for name, found in seen.items()}


def rate(way: Any) -> float:
    """Requests a second of CLIENTS clients that ask without a pause."""
    counts = [0] * CLIENTS
    until = time.monotonic() + ROUND_S

    def work(number: int) -> None:
        with way() as ask:
            while time.monotonic() < until:
                ask()
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / ROUND_S
