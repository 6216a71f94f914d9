"""Online endpoints and deployments: documents, long operations and the routing table."""

import logging
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets import Assets, Unresolved
from taxiops.emulator.state.deployment_files import (
    folder_of,
    fresh_sockets,
    log_lines,
    prepare,
    remove_other_generations,
    remove_sockets,
)
from taxiops.emulator.state.deployment_rules import container_of
from taxiops.emulator.state.fleet import Fleet, drain
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.routing import Row, instance_count, row_of, target_of
from taxiops.emulator.state.scoring_server import ServerFailed, ServerPlan
from taxiops.emulator.state.store import Store
from taxiops.emulator.state.traffic import checked_mirror, checked_traffic

Json = dict[str, Any]
Key = tuple[str, str, str]
ENDPOINT, DEPLOYMENT = "endpoint", "deployment"
CREATING, UPDATING, DELETING = "Creating", "Updating", "Deleting"
SUCCEEDED, FAILED = "Succeeded", "Failed"
BUSY = frozenset({CREATING, UPDATING, DELETING})
TRAFFIC_MAPS = ("traffic", "mirrorTraffic")
WATCH_S = 0.25
logger = logging.getLogger(__name__)


class InUse(Exception):
    """A deployment that carries traffic cannot be deleted."""


class Busy(Exception):
    """Another operation on the endpoint or deployment is in progress."""


class Missing(Exception):
    """There is no such endpoint or deployment."""


class Deployments:
    """All endpoints and deployments. Scopes and names are lower-case.

    `table` is replaced whole, so the proxy needs no lock to read it. `fence` is the proxy's: it
    returns once every request routed by an older table is counted.

    A deployment's document holds what is wanted and, under `serving`, the last that was ready,
    which goes on serving while a change is provisioned or after one has failed.
    """

    def __init__(self, store: Store, assets: Assets, operations: Operations, folder: Path) -> None:
        self._store, self._assets, self._operations = store, assets, operations
        self._folder, self._sockets_record = folder, folder / "sockets"
        self._sockets = fresh_sockets(self._sockets_record)
        self._fleets: dict[Key, Fleet] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self.fence: Callable[[], None] = lambda: None
        self.table: Mapping[str, Row] = {}
        self.publish()

    # -- endpoints ---------------------------------------------------------------------------

    def endpoint(self, scope: str, name: str) -> Json | None:
        return self._store.get(ENDPOINT, scope, name)

    def endpoints(self, scope: str) -> list[Json]:
        return self._store.all(ENDPOINT, scope)

    def put_endpoint(self, scope: str, name: str, document: Json) -> Json:
        """Create, or replace all but address and keys. Raises BadTraffic, Busy."""
        with self._lock, self._store.transaction():
            present = self._store.get(ENDPOINT, scope, name)
            if present and present.get("state") == DELETING:
                raise Busy(f"Endpoint {name} is being deleted.")
            properties = dict(document["properties"])
            given = properties.pop("keys", None) or {}
            names = [
                each["name"] for each in self.deployments(scope, name) if each["state"] != DELETING
            ]
            traffic = checked_traffic(properties.get("traffic"), names)
            mirror = checked_mirror(properties.get("mirrorTraffic"), traffic, names)
            properties |= {"traffic": traffic, "mirrorTraffic": mirror}
            stored = {
                **document,
                "name": name,
                "state": SUCCEEDED,
                "path": present["path"] if present else self._free_path(scope, name),
                "keys": present["keys"] if present else new_keys(given),
                "properties": properties,
            }
            self._store.put(ENDPOINT, scope, name, stored)
        self.publish()
        return stored

    def change_endpoint(self, scope: str, name: str, changes: Json) -> Json:
        """Replace single fields of an endpoint. Raises Missing."""
        with self._lock, self._store.transaction():
            stored = self._store.get(ENDPOINT, scope, name)
            if stored is None:
                raise Missing(f"Online endpoint '{name}' was not found.")
            stored = {**stored, **changes}
            self._store.put(ENDPOINT, scope, name, stored)
        self.publish()
        return stored

    def regenerate_key(self, scope: str, name: str, which: str) -> None:
        """`which` is primaryKey or secondaryKey; the old one is refused at once."""
        with self._lock:
            stored = self.endpoint(scope, name)
            if stored is not None:
                self.change_endpoint(scope, name, {"keys": {**stored["keys"], which: new_key()}})

    def delete_endpoint(self, scope: str, name: str) -> str | None:
        """Delete it with its deployments; the operation to poll, None when there is none."""
        with self._lock, self._store.transaction():
            stored = self.endpoint(scope, name)
            if stored is None:
                return None
            if stored.get("state") == DELETING:
                return str(stored["operation"])
            operation = self._operations.start()
            self.change_endpoint(scope, name, {"state": DELETING, "operation": operation})
        self._background(self._delete_endpoint, scope, name, operation)
        return operation

    def _delete_endpoint(self, scope: str, name: str, operation: str) -> None:
        for each in self.deployments(scope, name):
            self._remove(scope, name, each["name"])
        with self._lock:
            self._store.delete(ENDPOINT, scope, name)
            self.publish()
        self._operations.succeed(operation)

    def _free_path(self, scope: str, name: str) -> str:
        """The endpoint's path on the scoring port; no two endpoints share one."""
        plain = f"/{scope.rpartition('/')[2]}/{name}"
        taken = {each["path"] for each in self._store.all(ENDPOINT)}
        return plain if plain not in taken else f"{plain}-{secrets.token_hex(4)}"

    # -- deployments -------------------------------------------------------------------------

    def deployment(self, scope: str, endpoint: str, name: str) -> Json | None:
        return self._store.get(DEPLOYMENT, f"{scope}/{endpoint}", name)

    def deployments(self, scope: str, endpoint: str) -> list[Json]:
        return self._store.all(DEPLOYMENT, f"{scope}/{endpoint}")

    def put_deployment(self, scope: str, endpoint: str, name: str, document: Json) -> str:
        """Store what is wanted and begin to provision it; returns the operation to poll.

        Raises Missing, Busy.
        """
        with self._lock, self._store.transaction():
            parent = self.endpoint(scope, endpoint)
            if parent is None or parent.get("state") == DELETING:
                raise Missing(f"Online endpoint '{endpoint}' was not found.")
            present = self.deployment(scope, endpoint, name) or {}
            state = present.get("state")
            if state in BUSY:
                raise Busy(f"Cannot create a deployment in {state} provisioning state.")
            operation = self._operations.start()
            stored = {
                **document,
                "name": name,
                "state": UPDATING if present else CREATING,
                "operation": operation,
                "generation": self._generation(present, document),
                "serving": present.get("serving"),
            }
            self._store.put(DEPLOYMENT, f"{scope}/{endpoint}", name, stored)
            self.publish()
        self._background(self._provision, (scope, endpoint, name), stored)
        return operation

    def _generation(self, present: Json, wanted: Json) -> int:
        """The generation that serves, when its containers can serve this too; else a new one."""
        serving = present.get("serving")
        if serving and container_of(serving["properties"]) == container_of(wanted["properties"]):
            return int(serving["generation"])
        return self._store.next_sequence("generation")

    def delete_deployment(self, scope: str, endpoint: str, name: str) -> str | None:
        """The operation to poll; None when there is no such deployment. Raises InUse, Busy."""
        with self._lock, self._store.transaction():
            stored = self.deployment(scope, endpoint, name)
            if stored is None:
                return None
            if stored["state"] == DELETING:
                return str(stored["operation"])
            if stored["state"] in BUSY:
                raise Busy(f"Deployment {name} is in {stored['state']} provisioning state.")
            properties = (self.endpoint(scope, endpoint) or {}).get("properties") or {}
            for each in TRAFFIC_MAPS:
                if (properties.get(each) or {}).get(name):
                    raise InUse(f"Deployment {name} has {each} and cannot be deleted.")
            operation = self._operations.start()
            self._change((scope, endpoint, name), state=DELETING, operation=operation)
        self._background(self._delete, (scope, endpoint, name), operation)
        return operation

    def _change(self, key: Key, **changes: object) -> None:
        scope, endpoint, name = key
        with self._store.transaction():
            stored = self.deployment(*key)
            if stored is not None:
                self._store.put(DEPLOYMENT, f"{scope}/{endpoint}", name, {**stored, **changes})

    def log_text(self, scope: str, endpoint: str, name: str, container: str, lines: int) -> str:
        """The last lines of the InferenceServer's or the StorageInitializer's log."""
        return log_lines(folder_of(self._folder, scope, endpoint, name), container, lines)

    # -- provisioning ------------------------------------------------------------------------

    def _background(self, target: Callable[..., None], *arguments: object) -> None:
        def guarded() -> None:
            try:
                target(*arguments)
            except Exception:
                if not self._closing.is_set():
                    logger.exception("%s %s", target.__name__, arguments[:3])

        threading.Thread(target=guarded, daemon=True).start()

    def _provision(self, key: Key, wanted: Json) -> None:
        """Bring a deployment to what is wanted, then move it into the table."""
        folder, operation = folder_of(self._folder, *key), wanted["operation"]
        try:
            fleet = self._provisioned(key, wanted)
        except (ServerFailed, Unresolved, OSError) as error:
            if not self._closing.is_set():
                message = f"User container has crashed or is not ready: {error}"
                self._give_up(key, wanted, message)
            return
        with self._lock:
            is_wanted = self._is_wanted(key, operation)
            old = self._fleets.get(key)
            surplus = fleet.shrink(instance_count(wanted)) if is_wanted else fleet.retire()
            if is_wanted:
                self._fleets[key] = fleet
                serving = {each: wanted[each] for each in ("generation", "properties", "sku")}
                self._change(key, state=SUCCEEDED, serving=serving)
                surplus += old.retire() if old and old is not fleet else []
                self.publish()
        if is_wanted:
            self._operations.succeed(operation)
        drain(surplus, self.fence)
        if is_wanted:
            remove_other_generations(folder, wanted["generation"])
        else:
            self._give_up(key, wanted, "The deployment was deleted meanwhile.")

    def _provisioned(self, key: Key, wanted: Json) -> Fleet:
        """A fleet with enough ready instances: the present one when it runs what is wanted."""
        plan = self._prepare(key, wanted)
        with self._lock:
            present = self._fleets.get(key)
        fleet = present if present and present.plan == plan else Fleet(plan)
        fleet.grow(instance_count(wanted), lambda: self._is_wanted(key, wanted["operation"]))
        return fleet

    def _prepare(self, key: Key, deployment: Json) -> ServerPlan:
        folder = folder_of(self._folder, *key)
        return prepare(self._assets, key[0], folder, self._sockets, deployment)

    def _is_wanted(self, key: Key, operation: str) -> bool:
        """Whether this provisioning is still the one that the document asks for."""
        if self._closing.is_set():
            return False
        stored = self.deployment(*key)
        return stored is not None and stored.get("operation") == operation

    def _give_up(self, key: Key, wanted: Json, message: str) -> None:
        """Fail the operation; what served before serves on."""
        folder = folder_of(self._folder, *key)
        if self._is_wanted(key, wanted["operation"]):
            self._change(key, state=FAILED)
            keep = (wanted.get("serving") or {}).get("generation", -1)
            remove_other_generations(folder, keep)
        elif self.deployment(*key) is None:
            shutil.rmtree(folder, ignore_errors=True)
        self._operations.fail(wanted["operation"], "ResourceNotReady", message)

    def _delete(self, key: Key, operation: str) -> None:
        self._remove(*key)
        self._operations.succeed(operation)

    def _remove(self, scope: str, endpoint: str, name: str) -> None:
        with self._lock:
            with self._store.transaction():
                self._store.delete(DEPLOYMENT, f"{scope}/{endpoint}", name)
                self._forget_shares(scope, endpoint, name)
            fleet = self._fleets.pop((scope, endpoint, name), None)
            servers = fleet.retire() if fleet else []
            self.publish()
        drain(servers, self.fence)
        shutil.rmtree(folder_of(self._folder, scope, endpoint, name), ignore_errors=True)

    def _forget_shares(self, scope: str, endpoint: str, name: str) -> None:
        """Drop the zero shares of a deployment that is gone."""
        stored = self.endpoint(scope, endpoint)
        if stored is not None:
            for each in TRAFFIC_MAPS:
                (stored["properties"].get(each) or {}).pop(name, None)
            self._store.put(ENDPOINT, scope, endpoint, stored)

    # -- life --------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restart: serve what was serving and go on with what was in progress."""
        for joined, name, _ in self._store.keys(DEPLOYMENT):
            scope, _, endpoint = joined.rpartition("/")
            self._recover((scope, endpoint, name))
        for scope, name, _ in self._store.keys(ENDPOINT):
            stored = self.endpoint(scope, name) or {}
            if stored.get("state") == DELETING:
                self._operations.resume(stored["operation"])
                self._background(self._delete_endpoint, scope, name, stored["operation"])
        self.publish()
        threading.Thread(target=self._watch, name="fleets", daemon=True).start()

    def _recover(self, key: Key) -> None:
        stored = self.deployment(*key)
        if stored is None:
            return
        if self.endpoint(key[0], key[1]) is None:
            self._background(self._remove, *key)
            return
        if serving := stored.get("serving"):
            self._relaunch(key, {**stored, **serving})
        if stored["state"] in BUSY:
            self._operations.resume(stored["operation"])
        if stored["state"] == DELETING:
            self._background(self._delete, key, stored["operation"])
        elif stored["state"] in BUSY:
            self._background(self._provision, key, stored)

    def _relaunch(self, key: Key, serving: Json) -> None:
        """Begin to start the instances that served before; the watcher goes on."""
        try:
            plan = self._prepare(key, serving)
        except (ServerFailed, Unresolved, OSError) as error:
            logger.error("%s cannot serve again: %s", key, error)
            self._change(key, state=FAILED, serving=None)
            return
        fleet = Fleet(plan, is_recovering=True)
        fleet.launch(instance_count(serving))
        self._fleets[key] = fleet

    def _watch(self) -> None:
        """Start what should run and does not, until the emulator closes."""
        while not self._closing.wait(WATCH_S):
            with self._lock:
                fleets = list(self._fleets.values())
            changed = False
            for fleet in fleets:
                try:
                    changed = fleet.watch() or changed
                except OSError:
                    logger.exception("watching %s", fleet.plan.log)
            if changed:
                self.publish()

    def close(self) -> None:
        """End all servers at once; nothing is drained."""
        self._closing.set()
        with self._lock:
            servers = [each for fleet in self._fleets.values() for each in fleet.retire()]
            self._fleets.clear()
        enders = [threading.Thread(target=server.end) for server in servers]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
        remove_sockets(self._sockets_record)

    def publish(self) -> None:
        """Replace the table that the proxy reads."""
        with self._lock:
            table: dict[str, Row] = {}
            for scope, name, _ in self._store.keys(ENDPOINT):
                stored = self._store.get(ENDPOINT, scope, name)
                if stored is not None:
                    table[stored["path"].lower()] = self._row(scope, stored)
            self.table = table

    def _row(self, scope: str, stored: Json) -> Row:
        targets = {}
        for each in self.deployments(scope, stored["name"]):
            fleet = self._fleets.get((scope, stored["name"], each["name"]))
            serving = each.get("serving") or {}
            targets[each["name"]] = target_of(
                {**each, **serving},
                fleet.ready() if fleet else (),
                is_recovering=fleet.is_recovering if fleet else bool(serving),
            )
        return row_of(stored, targets)


def new_key() -> str:
    return secrets.token_urlsafe(32)


def new_keys(given: Json) -> dict[str, str]:
    """The keys a client asks for at creation, random ones where it does not."""
    return {each: given.get(each) or new_key() for each in ("primaryKey", "secondaryKey")}
