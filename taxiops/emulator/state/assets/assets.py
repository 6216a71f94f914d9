"""Versioned assets of workspaces and registries, and what every kind of reference points to."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from taxiops.emulator.state.assets import curated
from taxiops.emulator.state.assets.asset_rules import filled, folder_uri, merged
from taxiops.emulator.state.assets.component_rules import next_version
from taxiops.emulator.state.assets.references import (
    ARM_ASSET,
    DATASTORE_PATH,
    KINDS,
    LOCATION_ASSET,
    REGISTRY_ASSET,
    SHORT_ASSET,
    URI_KEY,
    WORKSPACE_ASSET,
    datastore_uri,
    job_output,
    plain,
    workspace_of,
)
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import AlreadyExists, Store

Json = dict[str, Any]
DEFAULT_DATASTORE = "workspaceblobstore"
LATEST = frozenset({"latest", "default"})


class Unresolved(LookupError):
    """A reference to something that does not exist, or in a form that is not known."""


@dataclass(frozen=True)
class Key:
    """Which asset: kind, the lower-cased ARM id of its workspace or registry, name, version."""

    kind: str
    scope: str
    name: str
    version: str


class Assets:
    """Create, read, label and resolve assets.

    job_output: (workspace, job, output) -> (container, blob). job_uri: (workspace, job, output,
    path in it) -> where that lies, as a path in a datastore. Both raise Unresolved.
    """

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs
        self.job_output: Callable[[str, str, str], tuple[str, str]] = no_jobs
        self.job_uri: Callable[[str, str, str, str], str] = no_jobs

    def get(self, kind: str, scope: str, name: str, version: str) -> Json | None:
        found = self._store.get(kind, scope, name, version)
        if found is None and kind == "environment":
            return curated.document(self.curated_name(scope, name), name, version)
        return found

    def curated_name(self, scope: str, name: str) -> str:
        """The name in Microsoft's registry of an environment that a scope shows; or nothing."""
        if "/registries/" not in scope:
            return curated.name_in_workspace(name)
        return curated.name_in_registry(name) if scope == curated.SCOPE else ""

    def versions(self, kind: str, scope: str, name: str) -> list[Json]:
        """Oldest first."""
        return [document for _, document in self.scan(kind, scope, name)]

    def scan(
        self,
        kind: str,
        scope: str,
        name: str,
        *,
        newest_first: bool = False,
        after: int | None = None,
    ) -> Iterator[tuple[int, Json]]:
        """(place, version) in the order of creation, from behind the place `after`.

        Of a curated environment the newest version stands for all of them.
        """
        found = None
        for found in self._store.scan(kind, scope, name, newest_first=newest_first, after=after):
            yield found
        if found is None and after is None and kind == "environment":
            there = self.curated_name(scope, name)
            newest = curated.newest(there)
            document = curated.document(there, name, newest)
            if document:
                yield int(newest), document

    def names(self, kind: str, scope: str, after: str = "") -> Iterator[str]:
        """The names behind `after`, in their order."""
        while found := self._store.names(kind, scope, after):
            yield from found
            after = found[-1]

    def create(self, key: Key, properties: Json) -> Json:
        """Store a new version. Raises AlreadyExists, and Unresolved for a job's lost output."""
        kept = self.settled(key.kind, key.scope, filled(key.kind, properties))
        document: Json = {"name": key.name, "version": key.version, "properties": kept}
        document["systemData"] = stamps()
        with self._store.transaction():
            self._store.create(key.kind, key.scope, key.name, document, key.version)
            self._raise_next(key)
        return document

    def replace(self, key: Key, properties: Json) -> Json:
        """Replace properties of a version that exists. Raises Unresolved."""
        with self._store.transaction():
            present = self._store.get(key.kind, key.scope, key.name, key.version)
            if present is None:
                raise Unresolved(f"The {key.kind} {key.name}:{key.version} was not found.")
            system = {**present["systemData"], "lastModifiedAt": stamps()["lastModifiedAt"]}
            kept = merged(present["properties"], properties)
            document = {**present, "properties": kept, "systemData": system}
            self._store.put(key.kind, key.scope, key.name, document, key.version)
        return document

    def delete(self, key: Key) -> bool:
        return self._store.delete(key.kind, key.scope, key.name, key.version)

    def delete_container(self, kind: str, scope: str, name: str) -> bool:
        """Forget a name and all of its versions; True if there was such a name."""
        with self._store.transaction():
            known = self._store.delete(f"{kind}-container", scope, name)
            for _, document in list(self._store.scan(kind, scope, name)):
                known = self._store.delete(kind, scope, name, document["version"])
        return known

    def settled(self, kind: str, scope: str, properties: Json) -> Json:
        """With addresses that stay true: not our port, not a job's, but where the content lies.

        Raises Unresolved for an output that its job does not have.
        """
        build = properties.get("build")
        if kind == "environment" and isinstance(build, dict) and build.get("contextUri"):
            lasting = self._blobs.lasting(str(build["contextUri"]))
            return {**properties, "build": {**build, "contextUri": lasting}}
        key = URI_KEY.get(kind, "")
        uri = str(properties.get(key) or "")
        if not uri:
            return properties
        if match := job_output(uri):
            home = workspace_of(match, scope)
            uri = self.job_uri(home, match["job"], match["output"], match["path"] or "")
        elif match := DATASTORE_PATH.fullmatch(uri):
            home = self._workspace_id(workspace_of(match, scope))
            uri = datastore_uri(home, match["datastore"], match["path"]) if home else uri
        else:
            lasting = self._blobs.lasting(uri)
            if lasting == uri:
                return properties
            uri = lasting
        return {**properties, key: folder_uri(kind, properties, uri)}

    def _output(self, scope: str, match: re.Match[str]) -> tuple[str, str]:
        """(container, blob) of what a job's output address names. Raises Unresolved."""
        container, blob = self.job_output(scope, match["job"], match["output"])
        path = (match["path"] or "").strip("/")
        return container, f"{blob}/{path}" if path else blob

    def _workspace_id(self, scope: str) -> str:
        stored = self._store.get("workspace", scope, "")
        return str(stored["id"]) if stored else ""

    def container(self, kind: str, scope: str, name: str) -> Json | None:
        """The asset container: latestVersion (newest created) and nextVersion; None if unknown."""
        document = self._store.get(f"{kind}-container", scope, name)
        latest = self._latest(kind, scope, name)
        if latest is None and document is None:
            there = self.curated_name(scope, name) if kind == "environment" else ""
            return curated.container(there, name)
        counted = (document or {}).get("highest", 0)
        properties = dict((document or {}).get("properties", {}))
        properties |= {"latestVersion": latest, "nextVersion": str(counted + 1)}
        if kind == "component" and latest:
            properties["nextVersion"] = next_version(datetime.now(UTC))
        properties.setdefault("isArchived", False)
        return {"name": name, "properties": properties}

    def _latest(self, kind: str, scope: str, name: str) -> str | None:
        """The newest version that is not archived, else the newest."""
        newest = None
        for _, document in self._store.scan(kind, scope, name, newest_first=True):
            newest = newest or str(document["version"])
            if not document["properties"].get("isArchived"):
                return str(document["version"])
        return newest

    def put_container(self, kind: str, scope: str, name: str, properties: Json) -> None:
        with self._store.transaction():
            present = self._store.get(f"{kind}-container", scope, name) or {"highest": 0}
            present["properties"] = {**present.get("properties", {}), **properties}
            self._store.put(f"{kind}-container", scope, name, present)

    def _raise_next(self, key: Key) -> None:
        present = self._store.get(f"{key.kind}-container", key.scope, key.name) or {"highest": 0}
        if key.version.isdecimal():
            present["highest"] = max(int(present["highest"]), int(key.version))
        self._store.put(f"{key.kind}-container", key.scope, key.name, present)

    def find(self, reference: str, scope: str, kind: str) -> Key:
        """The key of an asset reference of the given kind. Raises Unresolved."""
        text = plain(reference)
        if match := REGISTRY_ASSET.fullmatch(text):
            home = self._registry_scope(match["registry"])
        elif match := LOCATION_ASSET.fullmatch(text):
            home = self._scope_of_guid(match["guid"])
        elif match := ARM_ASSET.fullmatch(text):
            home = match["scope"].lower()
        elif match := WORKSPACE_ASSET.fullmatch(text):
            home = workspace_of(match, scope)
        elif match := SHORT_ASSET.fullmatch(reference):
            version = match["version"] or self._labelled(kind, scope, match["name"], match["label"])
            return self._existing(Key(kind, scope, match["name"], version))
        else:
            raise Unresolved(f"{reference!r} is no reference to a {kind}.")
        found, name, version = KINDS[match["kind"].lower()], match["name"], match["version"]
        if match["by"].lower() == "labels":
            version = self._labelled(found, home, name, version)
        return self._existing(Key(found, home, name, version))

    def _existing(self, key: Key) -> Key:
        if self.get(key.kind, key.scope, key.name, key.version) is None:
            raise Unresolved(f"The {key.kind} {key.name}:{key.version} was not found.")
        return key

    def _labelled(self, kind: str, scope: str, name: str, label: str) -> str:
        container = self.container(kind, scope, name)
        latest = container["properties"]["latestVersion"] if container else None
        if label.lower() not in LATEST or not latest:
            raise Unresolved(f"The {kind} {name}@{label} was not found.")
        return str(latest)

    def _registry_scope(self, registry: str) -> str:
        if registry.lower() == curated.REGISTRY:
            return curated.SCOPE
        for document in self._store.all("registry"):
            if document["name"].lower() == registry.lower():
                return str(document["scope"])
        raise Unresolved(f"The registry {registry!r} was not found.")

    def _scope_of_guid(self, guid: str) -> str:
        for document in [*self._store.all("workspace"), *self._store.all("registry")]:
            if guid.lower() in {document["guid"], document["name"].lower()}:
                return str(document["scope"])
        raise Unresolved(f"The workspace or registry {guid!r} was not found.")

    def document(self, reference: str, scope: str, kind: str) -> Json:
        """The stored document an asset reference points to. Raises Unresolved."""
        key = self.find(reference, scope, kind)
        document = self.get(key.kind, key.scope, key.name, key.version)
        assert document is not None
        return document

    def resolve(self, reference: str, scope: str, kind: str = "data") -> Path:
        """The file or folder behind an asset reference or URI. Raises Unresolved.

        `kind` says what a short reference such as `azureml:name:1` names.
        """
        if located := self._blobs.locate(reference):
            return self._blobs.path(*located)
        text = plain(reference)
        if match := job_output(text):
            return self._blobs.path(*self._output(workspace_of(match, scope), match))
        if match := DATASTORE_PATH.fullmatch(text):
            home = workspace_of(match, scope)
            container = self._datastore_container(home, match["datastore"])
            return self._blobs.path(container, match["path"])
        key = self.find(reference, scope, kind)
        document = self.get(key.kind, key.scope, key.name, key.version)
        uri = (document or {}).get("properties", {}).get(URI_KEY.get(key.kind, ""))
        if not uri:
            raise Unresolved(f"{reference!r} has no content.")
        return self.resolve(uri, key.scope, key.kind)

    def _datastore_container(self, scope: str, datastore: str) -> str:
        document = self._store.get("datastore", scope, datastore.lower())
        if document is None:
            raise Unresolved(f"The datastore {datastore!r} was not found.")
        if not document.get("container"):
            raise Unresolved(f"The datastore {datastore!r} is outside of the emulator.")
        return str(document["container"])


def no_jobs(*_: str) -> NoReturn:
    raise Unresolved("No jobs are served.")


def stamps() -> Json:
    now = datetime.now(UTC).isoformat()
    who = {"createdBy": "emulator", "createdByType": "Application"}
    return {"createdAt": now, **who, "lastModifiedAt": now, "lastModifiedBy": "emulator"}


__all__ = ["DATASTORE_PATH", "AlreadyExists", "Assets", "Key", "Unresolved"]
