"""Model versions in a workspace or the registry: read, register, share, tag, download, delete."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taxiops.cloud import rest
from taxiops.cloud.failures import azure_errors
from taxiops.cloud.silence import sdk_silenced
from taxiops.errors import NotFound, StepFailed

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

    from taxiops.cloud.client import Connection

# DELETE of model versions, workspace and registry: learn.microsoft.com/rest/api/azureml.
DELETE_VERSION = "2025-12-01"
DELETE_DEADLINE_S = 600.0
# A read may tell of the state before the last write.
READS_BACK, READ_DELAY_S = 4, 0.5


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model. `tags` are text; `path` is immutable."""

    name: str
    version: str
    path: str
    tags: Mapping[str, str]
    created_at: str

    @property
    def number(self) -> int:
        """The version as a number, for ordering: "10" is above "9"; 0 when it is none."""
        return int(self.version) if self.version.isdecimal() else 0


def reference(registry: str, name: str, version: str) -> str:
    """How jobs and deployments name a registry version."""
    return f"azureml://registries/{registry}/models/{name}/versions/{version}"


def from_sdk(model: Any) -> ModelVersion:  # noqa: ANN401 - the SDK has no types
    created: Any = getattr(model.creation_context, "created_at", None)
    return ModelVersion(
        name=str(model.name),
        version=str(model.version),
        path=str(model.path or ""),
        tags={str(key): str(value) for key, value in (model.tags or {}).items()},
        created_at=created.isoformat() if hasattr(created, "isoformat") else str(created or ""),
    )


def list_versions(client: "MLClient", name: str) -> list[ModelVersion]:
    """Every version, archived ones too, the newest number first; none when there is no model."""
    from azure.ai.ml.constants import ListViewType

    try:
        with azure_errors(f"Listing the versions of {name}"):
            found = [
                from_sdk(model)
                for model in client.models.list(name=name, list_view_type=ListViewType.ALL)
            ]
    except NotFound:
        return []
    return sorted(found, key=lambda version: version.number, reverse=True)


def read_version(client: "MLClient", name: str, version: str) -> ModelVersion | None:
    """The version with its tags, or None when it does not exist."""
    try:
        with azure_errors(f"Reading {name} version {version}"):
            return from_sdk(client.models.get(name, version=version))
    except NotFound:
        return None


def register(
    client: "MLClient", name: str, version: str, path: str, tags: Mapping[str, str]
) -> ModelVersion:
    """A new version of the bytes at `path` (a job's output).

    Raises Conflict when the version exists with another path.
    """
    from azure.ai.ml.entities import Model

    model = Model(name=name, version=version, path=path, type="custom_model", tags=dict(tags))
    with azure_errors(f"Registering {name} version {version}"), sdk_silenced():
        return from_sdk(client.models.create_or_update(model))


def share(connection: "Connection", name: str, version: str) -> None:
    """Copy a workspace version into the registry under the same number; tags are not copied.

    Raises UsageError or Conflict when the registry has that version already.
    """
    with azure_errors(f"Copying {name} version {version} to registry"), sdk_silenced():
        connection.workspace.models.share(
            name=name,
            version=version,
            share_with_name=name,
            share_with_version=version,
            registry_name=connection.settings.registry,
        )


def write_tags(
    client: "MLClient", name: str, version: str, tags: Mapping[str, str]
) -> ModelVersion:
    """Add the tags to a version and give the version as the service holds it now."""
    with azure_errors(f"Tagging {name} version {version}"), sdk_silenced():
        model = client.models.get(name, version=version)
        model.tags = {**(model.tags or {}), **tags}
        client.models.create_or_update(model)
        return from_sdk(client.models.get(name, version=version))


def download(client: "MLClient", name: str, version: str, folder: Path) -> Path:
    """The version's files, below `folder`; raises StepFailed when nothing arrives."""
    with azure_errors(f"Downloading {name} version {version}"), sdk_silenced():
        client.models.download(name=name, version=version, download_path=str(folder))
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        raise StepFailed(
            f"Downloading {name} version {version} brought no file.",
            hint="Run it again; if it stays, look at the version in the studio.",
            code="download-empty",
        )
    return folder


def delete_version(connection: "Connection", name: str, version: str, *, registry: bool) -> None:
    """Delete the version for good and see that it is gone; one that is gone already is fine.

    Raises StepFailed when it is still there although the service accepted the deletion.
    """
    settings = connection.settings
    client = connection.registry if registry else connection.workspace
    if registry:
        group, kind, place = client.resource_group_name, "registries", settings.registry
        subscription = client.subscription_id
    else:
        group, kind = connection.environment.resource_group, "workspaces"
        place, subscription = connection.environment.workspace, settings.subscription
    url = (
        f"{connection.arm}/subscriptions/{subscription}/resourceGroups/{group}/providers/"
        f"Microsoft.MachineLearningServices/{kind}/{place}/models/{quote(name, safe='')}"
        f"/versions/{quote(version, safe='')}?api-version={DELETE_VERSION}"
    )
    rest.delete(connection, url, f"Deleting {name} version {version}", DELETE_DEADLINE_S)
    for attempt in range(READS_BACK):
        time.sleep(attempt * READ_DELAY_S)
        if read_version(client, name, version) is None:
            return
    raise StepFailed(
        f"{name} version {version}: the service accepted the deletion, but it is still there.",
        hint="Run it again.",
        code="version-remains",
    )
