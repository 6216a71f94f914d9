"""Where the outputs of jobs go, and the assets they become; starts no process."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets.assets import (
    DATASTORE_PATH,
    DEFAULT_DATASTORE,
    AlreadyExists,
    Assets,
    Key,
    Unresolved,
)
from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.bindings import is_direct
from taxiops.emulator.state.jobs.documents import (
    ARTIFACT_DATASTORE,
    ARTIFACT_OUTPUTS,
    JobDocuments,
)
from taxiops.emulator.state.jobs.execution import StepFailed
from taxiops.emulator.state.jobs.values import (
    FILE,
    Place,
    Value,
    asset_name,
    asset_version,
    kind_of,
    output_rest,
    workspace_uri,
)
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store

Json = dict[str, Any]
# What the path of an output may name; `name` is the step's own job, `parent.name` its pipeline.
PLACE_MARKS = ("${{name}}", "${{output_name}}", "${{default_datastore}}", "${{parent.name}}")


class Outputs:
    """Makes, keeps and registers the outputs of jobs."""

    def __init__(self, store: Store, blobs: Blobs, assets: Assets, documents: JobDocuments) -> None:
        self._store, self._blobs, self._assets = store, blobs, assets
        self._documents = documents

    def make(
        self, scope: str, name: str, step: graph.Step, bound: Mapping[str, Json], datastore: str
    ) -> dict[str, Value]:
        """Make the places of a step's outputs, and keep them with the job, however it ends.

        bound: output -> what the pipeline says of the output of its own that it is bound to.
        Raises StepFailed and Unresolved for a place that cannot be one.
        """
        declared = step.spec.get("outputs") or {}
        values, locations = {}, {}
        for key in {**declared, **step.outputs}:
            own = {k: v for k, v in (step.outputs.get(key) or {}).items() if v is not None}
            binding = joined(own, bound.get(key) or {})
            place = self._place(scope, name, key, binding, declared.get(key) or {}, datastore)
            path = self._blobs.path(place.container, place.path)
            (path.parent if place.kind == FILE else path).mkdir(parents=True, exist_ok=True)
            locations[key] = place.document()
            text = place.uri if is_direct(binding) else str(path)
            values[key] = Value(text, place.uri, place.kind)
        self._documents.update(scope, name, output_locations=locations)
        return values

    def _place(
        self,
        scope: str,
        name: str,
        key: str,
        binding: Mapping[str, Any],
        declared: Mapping[str, Any],
        datastore: str,
    ) -> Place:
        """The place asked for, or the one Azure gives."""
        kind = kind_of(binding, declared)
        uri = str(binding.get("uri") or declared.get("path") or "")
        store = datastore or DEFAULT_DATASTORE
        if not uri and key in ARTIFACT_OUTPUTS:
            store, (_, path) = ARTIFACT_DATASTORE, self._documents.artifact_blob(scope, name)
            uri = workspace_uri(scope, store, f"{path}/")
        elif not uri:
            path = f"azureml/{name}/{key}"
            uri = workspace_uri(scope, store, path + ("" if kind == FILE else "/"))
        else:
            parent = str((self._documents.get(scope, name) or {}).get("parent") or name)
            for mark, text in zip(PLACE_MARKS, (name, key, store, parent), strict=True):
                uri = uri.replace(mark, text)
            match = DATASTORE_PATH.fullmatch(uri)
            if match is None:
                raise StepFailed(
                    f"The output {key!r} cannot be written to {uri!r}: only paths of datastores "
                    "can, azureml://datastores/NAME/paths/PATH."
                )
            store, path = match["datastore"], match["path"].rstrip("/")
        stored = self._store.get("datastore", scope, store.lower())
        if stored is None or not stored.get("container"):
            raise Unresolved(f"The emulator has no datastore {store!r}.")
        mode = str(binding.get("mode") or "ReadWriteMount")
        return Place(str(stored["container"]), path, kind, uri, mode)

    def reuse(self, scope: str, name: str, original: str) -> dict[str, Value]:
        """Give a job the outputs of another one; returns them."""
        locations = dict(self._documents.locations(scope, original))
        self._documents.update(scope, name, output_locations=locations)
        return self.values(scope, name)

    def values(self, scope: str, name: str) -> dict[str, Value]:
        """The outputs of a job, as a step after it sees them."""
        paths = self._documents.output_paths(scope, name)
        locations = self._documents.locations(scope, name)
        return {
            key: Value(path, locations[key]["uri"], locations[key]["kind"])
            for key, path in paths.items()
        }

    def show(self, scope: str, name: str, bindings: Mapping[str, Any]) -> None:
        """Put the places of a job's outputs into its document, as Azure does."""
        shown = {
            key: output_rest(location, bindings.get(key) or {})
            for key, location in self._documents.locations(scope, name).items()
        }
        self._documents.amend(scope, name, outputs=shown)

    def register(self, scope: str, name: str, bindings: Mapping[str, Any]) -> None:
        """Outputs that ask for a name become assets. Raises StepFailed for a version in use."""
        locations = self._documents.locations(scope, name)
        for key, binding in bindings.items():
            asset = asset_name(binding or {})
            if not asset or key not in locations:
                continue
            kind, uri = locations[key]["kind"], locations[key]["uri"]
            is_model = kind.endswith("_model")
            properties: Json = {
                "isArchived": False,
                "tags": {},
                "properties": {"azureml.jobName": name, "azureml.outputName": key},
                "description": binding.get("description"),
            }
            if is_model:
                properties |= {"modelUri": uri, "modelType": kind, "flavors": {}, "jobName": name}
            else:
                properties |= {"dataUri": uri, "dataType": kind}
            found = "model" if is_model else "data"
            container = self._assets.container(found, scope, asset)
            following = container["properties"]["nextVersion"] if container else "1"
            version = asset_version(binding) or following
            try:
                self._assets.create(Key(found, scope, asset, version), properties)
            except AlreadyExists as error:
                raise StepFailed(
                    f"The output {key!r} cannot be registered: the {found} {asset} has a "
                    f"version {version} already, and versions cannot be changed."
                ) from error

    def publish(self, scope: str, name: str, children: Mapping[str, graph.Step]) -> None:
        """A pipeline's outputs are where the bound outputs of those of its steps are that ran.

        children: the child jobs' names and steps.
        """
        published: Json = {}
        for child, step in children.items():
            locations = self._documents.locations(scope, child)
            for key, binding in step.outputs.items():
                match = graph.PARENT_OUTPUT.search(graph.address(binding or {}))
                if match and key in locations:
                    published[match[1]] = locations[key]
        self._documents.update(scope, name, output_locations=published)


def make_folders(made: Iterable[Value], said: str) -> bool:
    """Make folders of the files that a failed command took for folders; False if there are none.

    said: the end of its log. Whether an output of the type `uri_file` is used as a file or as a
    folder is the script's choice on Azure, and there are examples of both.
    """
    taken = [
        Path(each.text)
        for each in made
        if each.kind == FILE
        and (f"{each.text}/" in said or f"directory: '{each.text}'" in said)
        and not Path(each.text).exists()
    ]
    for path in taken:
        path.mkdir()
    return bool(taken)


def joined(own: Mapping[str, Any], bound: Mapping[str, Any]) -> Json:
    """What is asked of a step's output: its own binding, and what its pipeline's output asks."""
    kind = kind_of(own, bound)
    return {**{key: value for key, value in bound.items() if value}, **own, "type": kind}
