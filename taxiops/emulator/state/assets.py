"""Versioned assets of workspaces and registries, and what every kind of reference points to."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.emulator.state.blobs import Blobs
from taxiops.emulator.state.store import AlreadyExists, Store

Json = dict[str, Any]

KINDS = {
    "models": "model",
    "data": "data",
    "environments": "environment",
    "components": "component",
    "codes": "code",
}
URI_KEY = {"model": "modelUri", "data": "dataUri", "code": "codeUri"}
DEFAULT_DATASTORE = "workspaceblobstore"

ARM_ASSET = re.compile(
    r"(?P<scope>/subscriptions/[^/]+/resourcegroups/[^/]+/providers/"
    r"microsoft\.machinelearningservices/(?:workspaces|registries)/[^/]+)"
    r"/(?P<kind>models|data|environments|components|codes)/(?P<name>[^/]+)"
    r"/(?:versions|labels)/(?P<version>[^/]+)",
    re.IGNORECASE,
)
REGISTRY_ASSET = re.compile(
    r"azureml://registries/(?P<registry>[^/]+)"
    r"/(?P<kind>models|data|environments|components|codes)/(?P<name>[^/]+)"
    r"/(?:versions|labels)/(?P<version>[^/]+)",
    re.IGNORECASE,
)
LOCATION_ASSET = re.compile(
    r"azureml://locations/[^/]+/(?P<home>workspaces|registries)/(?P<guid>[^/]+)"
    r"/(?P<kind>models|data|environments|components|codes)/(?P<name>[^/]+)"
    r"/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)
DATASTORE_PATH = re.compile(
    r"azureml://(?:subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"(?:/providers/microsoft\.machinelearningservices)?"
    r"/workspaces/(?P<workspace>[^/]+)/)?datastores/(?P<datastore>[^/]+)/paths/?(?P<path>.*)",
    re.IGNORECASE,
)
JOB_OUTPUT = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/workspaces/[^/]+/)?"
    r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/?(?P<path>.*))?",
    re.IGNORECASE,
)
SHORT = re.compile(r"(?:azureml:)?(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))")


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
    """Create, read, label and resolve assets."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs
        self.job_output: Callable[[str, str, str], Path] | None = None

    def get(self, kind: str, scope: str, name: str, version: str) -> Json | None:
        return self._store.get(kind, scope, name, version)

    def versions(self, kind: str, scope: str, name: str) -> list[Json]:
        """Oldest first."""
        return self._store.all(kind, scope, name)

    def names(self, kind: str, scope: str) -> list[str]:
        return list(dict.fromkeys(name for _, name, _ in self._store.keys(kind, scope)))

    def create(self, key: Key, properties: Json) -> Json:
        """Store a new version. Raises AlreadyExists."""
        document = {"name": key.name, "version": key.version, "properties": properties}
        document["systemData"] = stamps()
        with self._store.transaction():
            self._store.create(key.kind, key.scope, key.name, document, key.version)
            self._raise_next(key)
        return document

    def replace(self, key: Key, properties: Json) -> Json:
        """Overwrite the properties of a version that exists."""
        present = self._store.get(key.kind, key.scope, key.name, key.version)
        if present is None:
            raise Unresolved(f"{key.kind} {key.name}:{key.version}")
        system = {**present["systemData"], "lastModifiedAt": stamps()["lastModifiedAt"]}
        document = {**present, "properties": properties, "systemData": system}
        self._store.put(key.kind, key.scope, key.name, document, key.version)
        return document

    def delete(self, key: Key) -> bool:
        return self._store.delete(key.kind, key.scope, key.name, key.version)

    def container(self, kind: str, scope: str, name: str) -> Json | None:
        """The asset container: latestVersion (newest created) and nextVersion; None if unknown."""
        versions = self.versions(kind, scope, name)
        document = self._store.get(f"{kind}-container", scope, name)
        if not versions and document is None:
            return None
        counted = (document or {}).get("highest", 0)
        active = [each for each in versions if not each["properties"].get("isArchived")]
        latest = (active or versions)[-1]["version"] if versions else None
        properties = dict((document or {}).get("properties", {}))
        properties |= {"latestVersion": latest, "nextVersion": str(counted + 1)}
        properties.setdefault("isArchived", False)
        return {"name": name, "properties": properties}

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
        text = reference.removeprefix("azureml:") if "azureml:/" in reference else reference
        text = reference.removeprefix("azureml:") if reference.startswith("azureml:/s") else text
        if match := REGISTRY_ASSET.fullmatch(reference):
            home = self._registry_scope(match["registry"])
        elif match := LOCATION_ASSET.fullmatch(reference):
            home = self._scope_of_guid(match["guid"])
        elif match := ARM_ASSET.fullmatch(text):
            home = match["scope"].lower()
        elif match := SHORT.fullmatch(reference):
            version = match["version"] or self._labelled(kind, scope, match["name"], match["label"])
            return self._existing(Key(kind, scope, match["name"], version))
        else:
            raise Unresolved(f"{reference!r} is no reference to a {kind}.")
        found, name, version = KINDS[match["kind"].lower()], match["name"], match["version"]
        if "/labels/" in reference.lower():
            version = self._labelled(found, home, name, version)
        return self._existing(Key(found, home, name, version))

    def _existing(self, key: Key) -> Key:
        if self._store.get(key.kind, key.scope, key.name, key.version) is None:
            raise Unresolved(f"The {key.kind} {key.name}:{key.version} was not found.")
        return key

    def _labelled(self, kind: str, scope: str, name: str, label: str) -> str:
        container = self.container(kind, scope, name)
        if label != "latest" or container is None or not container["properties"]["latestVersion"]:
            raise Unresolved(f"The {kind} {name}@{label} was not found.")
        return str(container["properties"]["latestVersion"])

    def _registry_scope(self, registry: str) -> str:
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
        document = self._store.get(key.kind, key.scope, key.name, key.version)
        assert document is not None
        return document

    def resolve(self, reference: str, scope: str, kind: str = "data") -> Path:
        """The file or folder behind an asset reference or URI. Raises Unresolved.

        `kind` says what a short reference such as `azureml:name:1` names.
        """
        if located := self._blobs.locate(reference):
            return self._blobs.path(*located)
        if match := JOB_OUTPUT.fullmatch(reference):
            return self._job_output(scope, match)
        if match := DATASTORE_PATH.fullmatch(reference):
            home = self._workspace_scope(match, scope)
            return self._blobs.path(
                self._datastore_container(home, match["datastore"]), match["path"]
            )
        key = self.find(reference, scope, kind)
        document = self._store.get(key.kind, key.scope, key.name, key.version)
        uri = (document or {}).get("properties", {}).get(URI_KEY.get(key.kind, ""))
        if not uri:
            raise Unresolved(f"{reference!r} has no content.")
        return self.resolve(uri, key.scope, key.kind)

    def _job_output(self, scope: str, match: re.Match[str]) -> Path:
        if self.job_output is None:
            raise Unresolved("No jobs are served.")
        base = self.job_output(scope, match["job"], match["output"])
        parts = [part for part in (match["path"] or "").split("/") if part]
        if any(part in {".", ".."} for part in parts):
            raise Unresolved(f"{match[0]!r} climbs out of the output.")
        return base.joinpath(*parts)

    def _workspace_scope(self, match: re.Match[str], scope: str) -> str:
        if not match["workspace"]:
            return scope
        return (
            f"/subscriptions/{match['subscription']}/resourcegroups/{match['group']}"
            f"/providers/microsoft.machinelearningservices/workspaces/{match['workspace']}"
        ).lower()

    def _datastore_container(self, scope: str, datastore: str) -> str:
        document = self._store.get("datastore", scope, datastore.lower())
        if document is None:
            raise Unresolved(f"The datastore {datastore!r} was not found.")
        return str(document["container"])


def stamps() -> Json:
    now = datetime.now(UTC).isoformat()
    who = {"createdBy": "emulator", "createdByType": "Application"}
    return {"createdAt": now, **who, "lastModifiedAt": now, "lastModifiedBy": "emulator"}


__all__ = ["AlreadyExists", "Assets", "Key", "Unresolved"]
