"""10,000 model versions and 1,000, listed page by page: the time a version must not grow."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from taxiops.emulator.api import versions
from taxiops.emulator.api.wire import Request
from taxiops.emulator.context import Addresses
from taxiops.emulator.state.assets.assets import Assets, Key
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store

FEW, MANY = 1_000, 10_000
# Time a version of the long list against the short one's; linear is 1.
LIMIT = 1.5
HOME = versions.Home("/scope", "/Scope", "workspaces")


class Parts:
    """Of an emulator, what lists of versions need."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "emulator.db")
        self.blobs = Blobs(folder / "blobs", self.store, b"key", "https://127.0.0.1:1")
        self.assets = Assets(self.store, self.blobs)
        self.addresses = Addresses("https://127.0.0.1:1", "", "")

    def fill(self, name: str, count: int) -> None:
        with self.store.transaction():
            for version in range(1, count + 1):
                uri = f"https://127.0.0.1:1/container/{version}"
                self.assets.create(Key("model", HOME.scope, name, str(version)), {"modelUri": uri})


def list_all(parts: Any, name: str) -> tuple[int, float]:
    """(versions listed, seconds), following nextLink as a client does."""
    request = Request(
        "GET", f"/models/{name}/versions", {"kind": "models", "name": name}, {}, {}, b""
    )
    begin, count = time.perf_counter(), 0
    while True:
        body: Any = versions.list_versions(parts, request, HOME).body
        count += len(body["value"])
        if "nextLink" not in body:
            return count, time.perf_counter() - begin
        pairs = parse_qsl(urlsplit(body["nextLink"]).query)
        request = replace(request, query={key.lower(): value for key, value in pairs})


def measure() -> dict[str, Any]:
    """Seconds of both lists, and the ratio of the time a version; best of five in turn."""
    with tempfile.TemporaryDirectory() as folder:
        parts = Parts(Path(folder))
        parts.fill("few", FEW)
        parts.fill("many", MANY)
        rounds = [(list_all(parts, "few"), list_all(parts, "many")) for _ in range(5)]
        parts.store.close()
    assert all((few[0], many[0]) == (FEW, MANY) for few, many in rounds)
    few_s, many_s = min(few[1] for few, _ in rounds), min(many[1] for _, many in rounds)
    ratio = (many_s / MANY) / (few_s / FEW)
    return {
        "few_s": few_s,
        "many_s": many_s,
        "ratio": ratio,
        "limit": LIMIT,
        "within_limit": ratio <= LIMIT,
    }
