"""What runs behind endpoints: provisioning, draining, recovery and the routing table."""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from taxiops.emulator.state.assets.assets import Assets, Unresolved
from taxiops.emulator.state.endpoints.deployment_files import (
    folder_of,
    fresh_sockets,
    log_lines,
    note_failure,
    prepare,
    remove_other_generations,
    remove_sockets,
)
from taxiops.emulator.state.endpoints.documents import (
    BUSY,
    DELETING,
    FAILED,
    SUCCEEDED,
    EndpointDocuments,
    Json,
    Key,
)
from taxiops.emulator.state.endpoints.fleet import Fleet, drain
from taxiops.emulator.state.endpoints.quota import Quota
from taxiops.emulator.state.endpoints.routing import Row, instance_count, row_of, target_of
from taxiops.emulator.state.endpoints.scoring_server import ScoringServer, ServerFailed, ServerPlan
from taxiops.emulator.state.faults import PROVISION, PROVISIONING_FAILURES, Faults
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.storage.store import Store

WATCH_S = 0.25
logger = logging.getLogger(__name__)


class Deployments:
    """All endpoints and deployments: their documents, their servers and how to reach them.

    `table` is replaced whole, so the proxy needs no lock to read it. `fence` is the proxy's: it
    returns once every request routed by an older table is counted.
    """

    def __init__(
        self, store: Store, assets: Assets, operations: Operations, folder: Path, faults: Faults
    ) -> None:
        self.documents = EndpointDocuments(store, operations)
        self.quota = Quota(store, self.documents)
        self._assets, self._operations, self._faults = assets, operations, faults
        self._folder, self._sockets_record = folder, folder / "sockets"
        self._sockets = fresh_sockets(self._sockets_record)
        self._fleets: dict[Key, Fleet] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self.fence: Callable[[], None] = lambda: None
        self.table: Mapping[str, Row] = {}
        self.publish()

    # -- what clients ask for ----------------------------------------------------------------

    def put_endpoint(self, scope: str, name: str, document: Json) -> Json:
        """Create or replace. Raises BadTraffic, Busy."""
        stored = self.documents.put_endpoint(scope, name, document)
        self.publish()
        return stored

    def put_back(
        self, scope: str, name: str, traffic: Mapping[str, int], mirror: Mapping[str, int]
    ) -> None:
        """Give an endpoint other shares than it was last asked for."""
        self.documents.put_back(scope, name, traffic, mirror)
        self.publish()

    def regenerate_key(self, scope: str, name: str, which: str) -> None:
        """`which` is primaryKey or secondaryKey; the old one is refused at once."""
        self.documents.regenerate_key(scope, name, which)
        self.publish()

    def delete_endpoint(self, scope: str, name: str) -> str | None:
        """Delete it with its deployments; the operation to poll, None when there is none."""
        begun = self.documents.begin_delete_endpoint(scope, name)
        if begun is None:
            return None
        operation, is_new = begun
        if is_new:
            self._background(self._delete_endpoint, scope, name, operation)
        return operation

    def put_deployment(self, key: Key, document: Json) -> str:
        """Begin to provision what is wanted; the operation to poll. Raises Missing, Busy."""
        stored = self.documents.want_deployment(key, document)
        self.publish()
        self._background(self._provision, key, stored)
        return str(stored["operation"])

    def delete_deployment(self, key: Key) -> str | None:
        """The operation to poll; None when there is no such deployment. Raises InUse, Busy."""
        begun = self.documents.begin_delete_deployment(key)
        if begun is None:
            return None
        operation, is_new = begun
        if is_new:
            self._background(self._delete, key, operation)
        return operation

    def log_text(self, key: Key, container: str, lines: int) -> str:
        """The last lines of the InferenceServer's or the StorageInitializer's log."""
        return log_lines(folder_of(self._folder, *key), container, lines)

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
        fault = self._faults.take(PROVISION, key[2])
        if fault and fault.kind in PROVISIONING_FAILURES:
            code, message = PROVISIONING_FAILURES[fault.kind]
            self._give_up(key, wanted, message, code)
            return
        if shortage := self.quota.shortage(key, wanted):
            self._give_up(key, wanted, shortage, "OutOfQuota")
            return
        try:
            if fault:
                self._closing.wait(fault.seconds)
            fleet = self._provisioned(key, wanted)
        except Exception as error:
            if not self._closing.is_set():
                if not isinstance(error, ServerFailed | Unresolved | OSError):
                    logger.exception("provisioning %s", key)
                message = f"User container has crashed or is not ready: {error}"
                self._give_up(key, wanted, message)
            return
        surplus = self._install(key, wanted, fleet)
        if surplus is None:
            drain(fleet.retire(), self.fence)
            self._give_up(key, wanted, "The deployment was deleted meanwhile.")
            return
        self._operations.succeed(wanted["operation"])
        drain(surplus, self.fence)
        remove_other_generations(folder_of(self._folder, *key), wanted["generation"])

    def _provisioned(self, key: Key, wanted: Json) -> Fleet:
        """A fleet with enough ready instances: the present one when it runs what is wanted."""
        plan = self._prepare(key, wanted)
        with self._lock:
            present = self._fleets.get(key)
        fleet = present if present and present.plan == plan else Fleet(plan)
        fleet.grow(instance_count(wanted), lambda: self._is_wanted(key, wanted["operation"]))
        return fleet

    def _install(self, key: Key, wanted: Json, fleet: Fleet) -> list[ScoringServer] | None:
        """Route to the fleet; the servers no longer routed to, None when it is not wanted now."""
        serving = {each: wanted[each] for each in ("generation", "properties", "sku")}
        with self._lock:
            if not self._is_wanted(key, wanted["operation"]):
                return None
            old = self._fleets.get(key)
            self._fleets[key] = fleet
            self.documents.change_deployment(key, state=SUCCEEDED, serving=serving)
            surplus = fleet.shrink(instance_count(wanted))
            surplus += old.retire() if old and old is not fleet else []
            self.publish()
        return surplus

    def _prepare(self, key: Key, deployment: Json) -> ServerPlan:
        folder = folder_of(self._folder, *key)
        try:
            return prepare(self._assets, key[0], folder, self._sockets, deployment)
        except ServerFailed as error:
            note_failure(folder, str(error))
            raise

    def _is_wanted(self, key: Key, operation: str) -> bool:
        """Whether this provisioning is still the one that the document asks for."""
        if self._closing.is_set():
            return False
        stored = self.documents.deployment(*key)
        return stored is not None and stored["operation"] == operation

    def _give_up(
        self, key: Key, wanted: Json, message: str, code: str = "ResourceNotReady"
    ) -> None:
        """Fail the operation; what served before serves on."""
        folder = folder_of(self._folder, *key)
        if self._is_wanted(key, wanted["operation"]):
            self.documents.change_deployment(key, state=FAILED)
            keep = (wanted.get("serving") or {}).get("generation", -1)
            remove_other_generations(folder, keep)
        elif self.documents.deployment(*key) is None:
            shutil.rmtree(folder, ignore_errors=True)
        self._operations.fail(wanted["operation"], code, message)

    # -- deleting ----------------------------------------------------------------------------

    def _delete_endpoint(self, scope: str, name: str, operation: str) -> None:
        for each in self.documents.deployments(scope, name):
            self._remove((scope, name, each["name"]))
        self.documents.remove_endpoint(scope, name)
        self.publish()
        self._operations.succeed(operation)

    def _delete(self, key: Key, operation: str) -> None:
        self._remove(key)
        self._operations.succeed(operation)

    def _remove(self, key: Key) -> None:
        with self._lock:
            self.documents.remove_deployment(key)
            fleet = self._fleets.pop(key, None)
            servers = fleet.retire() if fleet else []
            self.publish()
        drain(servers, self.fence)
        shutil.rmtree(folder_of(self._folder, *key), ignore_errors=True)

    # -- life --------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restart: serve what was serving and go on with what was in progress."""
        for key in self.documents.deployment_keys():
            self._recover(key)
        for scope, name in self.documents.endpoint_keys():
            stored = self.documents.endpoint(scope, name)
            if stored and stored["state"] == DELETING:
                self._operations.resume(stored["operation"])
                self._background(self._delete_endpoint, scope, name, stored["operation"])
        self.publish()
        threading.Thread(target=self._watch, name="fleets", daemon=True).start()

    def _recover(self, key: Key) -> None:
        stored = self.documents.deployment(*key)
        if stored is None:
            return
        if serving := stored["serving"]:
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
            self.documents.change_deployment(key, state=FAILED, serving=None)
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
            for scope, name in self.documents.endpoint_keys():
                stored = self.documents.endpoint(scope, name)
                if stored is not None:
                    table[stored["path"].lower()] = self._row(scope, stored)
            self.table = table

    def _row(self, scope: str, stored: Json) -> Row:
        targets = {}
        for each in self.documents.deployments(scope, stored["name"]):
            fleet = self._fleets.get((scope, stored["name"], each["name"]))
            serving = each["serving"] or {}
            targets[each["name"]] = target_of(
                {**each, **serving},
                fleet.ready() if fleet else (),
                is_recovering=fleet.is_recovering if fleet else bool(serving),
            )
        return row_of(stored, targets)
