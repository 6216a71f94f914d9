"""Online endpoints and deployments: documents, their servers, and the traffic table."""

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets import Assets, Unresolved
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.scoring_server import ScoringServer, ServerFailed, ServerPlan
from taxiops.emulator.state.store import Store

Json = dict[str, Any]
ENDPOINT, DEPLOYMENT = "endpoint", "deployment"
DRAIN_S = 10.0
WATCH_S = 1.0
MOST_RESTARTS = 10


class InUse(Exception):
    """A deployment that carries live traffic cannot be deleted."""


@dataclass(frozen=True)
class Target:
    """One deployment as the proxy sees it."""

    name: str
    percent: int
    sockets: tuple[str, ...]
    timeout_s: float
    most_in_flight: int


@dataclass(frozen=True)
class Row:
    """One endpoint as the proxy sees it. `keys` are what a caller may present."""

    keys: frozenset[str]
    targets: Mapping[str, Target]
    mirror: Mapping[str, int]


class Deployments:
    """All endpoints and deployments. `table` is replaced whole, so readers need no lock."""

    def __init__(self, store: Store, assets: Assets, operations: Operations, folder: Path) -> None:
        self._store, self._assets, self._operations, self.folder = store, assets, operations, folder
        self._servers: dict[tuple[str, str, str], list[ScoringServer]] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self.in_flight: dict[str, int] = {}
        self.table: Mapping[str, Row] = {}

    # -- endpoints ---------------------------------------------------------------------------

    def endpoint(self, scope: str, name: str) -> Json | None:
        return self._store.get(ENDPOINT, scope, name)

    def endpoints(self, scope: str) -> list[Json]:
        return self._store.all(ENDPOINT, scope)

    def put_endpoint(self, scope: str, name: str, document: Json) -> Json:
        """Create or replace; keys and creation time are kept."""
        with self._lock, self._store.transaction():
            present = self._store.get(ENDPOINT, scope, name) or {
                "name": name,
                "path": f"/{scope.rpartition('/')[2]}/{name}",
                "keys": {"primaryKey": new_key(), "secondaryKey": new_key()},
            }
            stored = {**present, **document}
            self._store.put(ENDPOINT, scope, name, stored)
        self.publish()
        return stored

    def regenerate_key(self, scope: str, name: str, which: str) -> None:
        with self._lock, self._store.transaction():
            stored = self._store.get(ENDPOINT, scope, name) or {}
            stored["keys"][which] = new_key()
            self._store.put(ENDPOINT, scope, name, stored)
        self.publish()

    def delete_endpoint(self, scope: str, name: str) -> bool:
        with self._lock:
            found = self._store.delete(ENDPOINT, scope, name)
            names = [each["name"] for each in self.deployments(scope, name)]
            self.publish()
        for each in names:
            self._remove(scope, name, each)
        return found

    # -- deployments -------------------------------------------------------------------------

    def deployment(self, scope: str, endpoint: str, name: str) -> Json | None:
        return self._store.get(DEPLOYMENT, f"{scope}/{endpoint}", name)

    def deployments(self, scope: str, endpoint: str) -> list[Json]:
        return self._store.all(DEPLOYMENT, f"{scope}/{endpoint}")

    def put_deployment(self, scope: str, endpoint: str, name: str, document: Json) -> str:
        """Store it and start its servers in the background; returns the operation to poll.

        A deployment that serves keeps its servers until the new ones are ready.
        """
        with self._lock:
            present = self.deployment(scope, endpoint, name) or {}
            stored = {**present, **document, "name": name}
            stored["state"] = "Updating" if present else "Creating"
            stored["generation"] = self._store.next_sequence("generation")
            self._store.put(DEPLOYMENT, f"{scope}/{endpoint}", name, stored)
        operation = self._operations.start()
        self._background(self._provision, scope, endpoint, name, stored, operation)
        return operation

    def update_deployment(self, scope: str, endpoint: str, name: str, **changes: object) -> None:
        with self._store.transaction():
            stored = self.deployment(scope, endpoint, name)
            if stored is not None:
                self._store.put(DEPLOYMENT, f"{scope}/{endpoint}", name, {**stored, **changes})

    def delete_deployment(self, scope: str, endpoint: str, name: str) -> str | None:
        """The operation to poll; None when there is no such deployment. Raises InUse."""
        with self._lock:
            if self.deployment(scope, endpoint, name) is None:
                return None
            properties = (self.endpoint(scope, endpoint) or {}).get("properties") or {}
            for key in ("traffic", "mirrorTraffic"):
                if (properties.get(key) or {}).get(name):
                    raise InUse(f"Deployment {name} has {key} and cannot be deleted.")
            self.update_deployment(scope, endpoint, name, state="Deleting")
        operation = self._operations.start()
        self._background(self._delete, scope, endpoint, name, operation)
        return operation

    def _delete(self, scope: str, endpoint: str, name: str, operation: str) -> None:
        self._remove(scope, endpoint, name)
        self._operations.succeed(operation)

    def log_text(self, scope: str, endpoint: str, name: str, lines: int) -> str:
        path = self._log(scope, endpoint, name)
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    # -- servers -----------------------------------------------------------------------------

    def _background(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads.append(thread)
        thread.start()

    def _provision(
        self, scope: str, endpoint: str, name: str, stored: Json, operation: str
    ) -> None:
        try:
            servers = self._start(scope, endpoint, name, stored)
        except (ServerFailed, Unresolved, OSError, ValueError, KeyError) as error:
            self.update_deployment(scope, endpoint, name, state="Failed")
            self._operations.fail(
                operation,
                "ResourceNotReady",
                f"User container has crashed or is not ready: {error}",
            )
            return
        with self._lock:
            old = self._servers.get((scope, endpoint, name), [])
            gone = self.deployment(scope, endpoint, name) is None
            if not gone:
                self._servers[(scope, endpoint, name)] = servers
                self.update_deployment(scope, endpoint, name, state="Succeeded")
                self.publish()
        for server in servers if gone else old:
            self._drain(server)
        self._operations.succeed(operation)

    def _start(self, scope: str, endpoint: str, name: str, stored: Json) -> list[ScoringServer]:
        """All instances, ready. Raises ServerFailed, Unresolved."""
        properties = stored["properties"]
        model = properties.get("model")
        code = properties.get("codeConfiguration") or {}
        if not code.get("codeId"):
            raise ServerFailed(
                "A deployment without code needs an MLflow model, which is not emulated."
            )
        home = self.folder / key_of(scope, endpoint, name) / str(stored["generation"])
        shutil.copytree(
            self._assets.resolve(code["codeId"], scope, "code"), home, dirs_exist_ok=True
        )
        script = str(code.get("scoringScript") or "score.py")
        if not (home / script).is_file():
            raise ServerFailed(f"The scoring script {script} is not in the code.")
        plan = ServerPlan(
            code=home,
            script=script,
            model=self._assets.resolve(model, scope, "model") if model else None,
            environment={
                str(k): str(v) for k, v in (properties.get("environmentVariables") or {}).items()
            },
            log=self._log(scope, endpoint, name),
            timeout_s=timeout_s(properties),
        )
        servers = [ScoringServer(plan) for _ in range(instances(stored))]
        try:
            for server in servers:
                server.wait_ready()
        except ServerFailed:
            for server in servers:
                server.end()
            raise
        return servers

    def _remove(self, scope: str, endpoint: str, name: str) -> None:
        with self._lock:
            self._store.delete(DEPLOYMENT, f"{scope}/{endpoint}", name)
            servers = self._servers.pop((scope, endpoint, name), [])
            self.publish()
        for server in servers:
            self._drain(server)
        shutil.rmtree(self.folder / key_of(scope, endpoint, name), ignore_errors=True)

    def _drain(self, server: ScoringServer) -> None:
        deadline = time.monotonic() + DRAIN_S
        while self.in_flight.get(server.socket_path) and time.monotonic() < deadline:
            self._closing.wait(0.02)
        server.end()

    def _log(self, scope: str, endpoint: str, name: str) -> Path:
        return self.folder / "logs" / f"{key_of(scope, endpoint, name)}.log"

    # -- life --------------------------------------------------------------------------------

    def recover(self) -> None:
        """Start the servers of all deployments again after a restart."""
        for scope, name, _ in self._store.keys(DEPLOYMENT):
            workspace, _, endpoint = scope.rpartition("/")
            stored = self.deployment(workspace, endpoint, name)
            if stored is None:
                continue
            if stored["state"] == "Deleting":
                self._remove(workspace, endpoint, name)
            elif stored["state"] != "Failed":
                self._background(
                    self._provision, workspace, endpoint, name, stored, self._operations.start()
                )
        self._background(self._watch)
        self.publish()

    def _watch(self) -> None:
        """Start servers again that died, a limited number of times."""
        restarts: dict[tuple[str, str, str], int] = {}
        while not self._closing.wait(WATCH_S):
            with self._lock:
                dead = [
                    key
                    for key, servers in self._servers.items()
                    if not all(server.is_alive() for server in servers)
                ]
            for key in dead:
                stored = self.deployment(*key)
                restarts[key] = restarts.get(key, 0) + 1
                if (
                    stored is None
                    or restarts[key] > MOST_RESTARTS
                    or stored["state"] != "Succeeded"
                ):
                    continue
                self._provision(*key, stored, self._operations.start())

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            servers = [server for group in self._servers.values() for server in group]
            self._servers.clear()
        for server in servers:
            server.end()

    def publish(self) -> None:
        """Replace the table that the proxy reads."""
        with self._lock:
            table: dict[str, Row] = {}
            for scope, name, _ in self._store.keys(ENDPOINT):
                stored = self._store.get(ENDPOINT, scope, name) or {}
                table[stored["path"]] = self._row(scope, name, stored)
            self.table = table

    def _row(self, scope: str, name: str, stored: Json) -> Row:
        properties = stored.get("properties") or {}
        traffic = properties.get("traffic") or {}
        targets = {}
        for each in self.deployments(scope, name):
            servers = self._servers.get((scope, name, each["name"]), [])
            settings = each["properties"].get("requestSettings") or {}
            concurrent = int(settings.get("maxConcurrentRequestsPerInstance") or 1)
            targets[each["name"]] = Target(
                name=each["name"],
                percent=int(traffic.get(each["name"]) or 0),
                sockets=tuple(server.socket_path for server in servers),
                timeout_s=timeout_s(each["properties"]),
                most_in_flight=2 * concurrent * instances(each),
            )
        return Row(
            frozenset(stored["keys"].values()), targets, properties.get("mirrorTraffic") or {}
        )


def new_key() -> str:
    return secrets.token_urlsafe(32)


def key_of(scope: str, endpoint: str, name: str) -> str:
    return f"{scope.rpartition('/')[2]}-{endpoint}-{name}"


def instances(stored: Json) -> int:
    return max(1, int((stored.get("sku") or {}).get("capacity") or 1))


def timeout_s(properties: Json) -> float:
    """Azure's default request timeout is 5 s; durations travel as ISO 8601."""
    from taxiops.emulator.state.graph import seconds

    return seconds((properties.get("requestSettings") or {}).get("requestTimeout")) or 5.0
