"""The durable documents of endpoints and deployments and when they may change; no process."""

import secrets
from collections.abc import Mapping
from typing import Any

from taxiops.emulator.state.assets.assets import Unresolved
from taxiops.emulator.state.endpoints.deployment_rules import container_of
from taxiops.emulator.state.endpoints.traffic import checked_mirror, checked_traffic
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.storage.store import Store

Json = dict[str, Any]
# Scope of the workspace, endpoint, deployment; all lower-case.
Key = tuple[str, str, str]
ENDPOINT, DEPLOYMENT = "endpoint", "deployment"
CREATING, UPDATING, DELETING = "Creating", "Updating", "Deleting"
SUCCEEDED, FAILED = "Succeeded", "Failed"
BUSY = frozenset({CREATING, UPDATING, DELETING})
# learn.microsoft.com/azure/machine-learning/how-to-manage-quotas
MOST_DEPLOYMENTS = 20
TRAFFIC_MAPS = ("traffic", "mirrorTraffic")


class InUse(Exception):
    """A deployment that carries traffic cannot be deleted."""


class Busy(Exception):
    """Another operation on the endpoint or deployment is in progress."""


class TooMany(Exception):
    """A limit of Azure's on the number of resources."""


class Missing(Unresolved):
    """There is no such endpoint or deployment."""


class EndpointDocuments:
    """Reads and writes, each whole or not at all. Scopes and names are lower-case.

    A deployment's document holds what is wanted and, under `serving`, the last that was ready,
    which goes on serving while a change is provisioned or after one has failed.
    """

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store, self._operations = store, operations

    # -- endpoints ---------------------------------------------------------------------------

    def endpoint(self, scope: str, name: str) -> Json | None:
        return self._store.get(ENDPOINT, scope, name)

    def endpoints(self, scope: str) -> list[Json]:
        return self._store.all(ENDPOINT, scope)

    def endpoint_keys(self) -> list[tuple[str, str]]:
        """(scope, name) of every endpoint of every workspace."""
        return [(scope, name) for scope, name, _ in self._store.keys(ENDPOINT)]

    def put_endpoint(self, scope: str, name: str, document: Json) -> Json:
        """Create, or replace all but address and keys. Raises BadTraffic, Busy."""
        with self._store.transaction():
            present = self.endpoint(scope, name)
            if present and present["state"] == DELETING:
                raise Busy(f"Endpoint {name} is being deleted.")
            properties = dict(document["properties"])
            given = properties.pop("keys", None) or {}
            stored = {
                **document,
                "name": name,
                "state": SUCCEEDED,
                "path": present["path"] if present else self._free_path(scope, name),
                "keys": present["keys"] if present else new_keys(given),
                "properties": {**properties, **self._checked_shares(scope, name, properties)},
            }
            self._store.put(ENDPOINT, scope, name, stored)
        return stored

    def put_back(
        self, scope: str, name: str, traffic: Mapping[str, int], mirror: Mapping[str, int]
    ) -> None:
        """Other shares for an endpoint, without asking whether they are right."""
        with self._store.transaction():
            stored = self.endpoint(scope, name)
            if stored is not None:
                shares = {"traffic": dict(traffic), "mirrorTraffic": dict(mirror)}
                self.change_endpoint(
                    scope, name, {"properties": {**stored["properties"], **shares}}
                )

    def _checked_shares(self, scope: str, name: str, properties: Json) -> Json:
        found = self.deployments(scope, name)
        names = [each["name"] for each in found if each["state"] != DELETING]
        traffic = checked_traffic(properties.get("traffic"), names)
        mirror = checked_mirror(properties.get("mirrorTraffic"), traffic, names)
        return {"traffic": traffic, "mirrorTraffic": mirror}

    def change_endpoint(self, scope: str, name: str, changes: Json) -> Json:
        """Replace single fields of an endpoint. Raises Missing."""
        with self._store.transaction():
            stored = self.endpoint(scope, name)
            if stored is None:
                raise Missing(f"Online endpoint '{name}' was not found.")
            stored = {**stored, **changes}
            self._store.put(ENDPOINT, scope, name, stored)
        return stored

    def regenerate_key(self, scope: str, name: str, which: str) -> None:
        """`which` is primaryKey or secondaryKey. Raises Missing."""
        with self._store.transaction():
            keys = (self.endpoint(scope, name) or {}).get("keys") or {}
            self.change_endpoint(scope, name, {"keys": {**keys, which: new_key()}})

    def begin_delete_endpoint(self, scope: str, name: str) -> tuple[str, bool] | None:
        """The operation to poll and whether it is a new one; None: no such endpoint."""
        with self._store.transaction():
            stored = self.endpoint(scope, name)
            if stored is None:
                return None
            if stored["state"] == DELETING:
                return str(stored["operation"]), False
            operation = self._operations.start()
            self.change_endpoint(scope, name, {"state": DELETING, "operation": operation})
        return operation, True

    def remove_endpoint(self, scope: str, name: str) -> None:
        self._store.delete(ENDPOINT, scope, name)

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

    def deployment_keys(self) -> list[Key]:
        """The keys of every deployment of every workspace."""
        parts = ((scope.rpartition("/"), name) for scope, name, _ in self._store.keys(DEPLOYMENT))
        return [(scope, endpoint, name) for (scope, _, endpoint), name in parts]

    def want_deployment(self, key: Key, document: Json) -> Json:
        """Store what is wanted with a new operation; the stored document.

        Raises Missing, TooMany, Busy.
        """
        scope, endpoint, name = key
        with self._store.transaction():
            parent = self.endpoint(scope, endpoint)
            if parent is None or parent["state"] == DELETING:
                raise Missing(f"Online endpoint '{endpoint}' was not found.")
            present = self.deployment(*key) or {}
            if not present and len(self.deployments(scope, endpoint)) >= MOST_DEPLOYMENTS:
                raise TooMany(f"An endpoint has at most {MOST_DEPLOYMENTS} deployments.")
            if present.get("state") in BUSY:
                raise Busy(f"Cannot create a deployment in {present['state']} provisioning state.")
            stored = {
                **document,
                "name": name,
                "state": UPDATING if present else CREATING,
                "operation": self._operations.start(),
                "generation": self._generation(present, document),
                "serving": present.get("serving"),
            }
            self._store.put(DEPLOYMENT, f"{scope}/{endpoint}", name, stored)
        return stored

    def _generation(self, present: Json, wanted: Json) -> int:
        """The generation that serves, when its containers can serve this too; else a new one."""
        serving = present.get("serving")
        if serving and container_of(serving["properties"]) == container_of(wanted["properties"]):
            return int(serving["generation"])
        return self._store.next_sequence("generation")

    def change_deployment(self, key: Key, **changes: object) -> None:
        """Replace single fields of a deployment, if there is one."""
        scope, endpoint, name = key
        with self._store.transaction():
            stored = self.deployment(*key)
            if stored is not None:
                self._store.put(DEPLOYMENT, f"{scope}/{endpoint}", name, {**stored, **changes})

    def begin_delete_deployment(self, key: Key) -> tuple[str, bool] | None:
        """The operation to poll and whether it is a new one; None: no such deployment.

        Raises InUse, Busy.
        """
        scope, endpoint, name = key
        with self._store.transaction():
            stored = self.deployment(*key)
            if stored is None:
                return None
            if stored["state"] == DELETING:
                return str(stored["operation"]), False
            if stored["state"] in BUSY:
                raise Busy(f"Deployment {name} is in {stored['state']} provisioning state.")
            properties = (self.endpoint(scope, endpoint) or {}).get("properties") or {}
            for each in TRAFFIC_MAPS:
                if (properties.get(each) or {}).get(name):
                    raise InUse(f"Deployment {name} has {each} and cannot be deleted.")
            operation = self._operations.start()
            self.change_deployment(key, state=DELETING, operation=operation)
        return operation, True

    def remove_deployment(self, key: Key) -> None:
        """Forget it and its shares, which are zero by then."""
        scope, endpoint, name = key
        with self._store.transaction():
            self._store.delete(DEPLOYMENT, f"{scope}/{endpoint}", name)
            parent = self.endpoint(scope, endpoint)
            if parent is not None:
                for each in TRAFFIC_MAPS:
                    (parent["properties"].get(each) or {}).pop(name, None)
                self._store.put(ENDPOINT, scope, endpoint, parent)


def new_key() -> str:
    return secrets.token_urlsafe(32)


def new_keys(given: Json) -> dict[str, str]:
    """The keys a client asks for at creation, random ones where it does not."""
    return {each: given.get(each) or new_key() for each in ("primaryKey", "secondaryKey")}
