"""What a job's references stand for: components, inputs, outputs; starts no process."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taxiops.emulator.state import graph
from taxiops.emulator.state.assets import DEFAULT_DATASTORE, Assets, Key, Unresolved
from taxiops.emulator.state.blobs import Blobs
from taxiops.emulator.state.execution import StepFailed
from taxiops.emulator.state.job_documents import JobDocuments
from taxiops.emulator.state.store import Store

Json = dict[str, Any]


class Bindings:
    """Resolves the references of jobs, and keeps where their outputs are."""

    def __init__(self, store: Store, blobs: Blobs, assets: Assets, documents: JobDocuments) -> None:
        self._store, self._blobs, self._assets = store, blobs, assets
        self._documents = documents

    def steps(self, scope: str, nodes: Mapping[str, Json]) -> list[graph.Step]:
        """A pipeline's nodes with their components, in order. Raises StepFailed, BadGraph and
        Unresolved.
        """
        return graph.steps_of(nodes, {key: self._spec(scope, node) for key, node in nodes.items()})

    def _spec(self, scope: str, node: Json) -> Json:
        component = str(node.get("componentId") or "")
        if not component:
            raise StepFailed(f"Steps of the kind {node.get('type')!r} are not emulated.")
        document = self._assets.document(component, scope, "component")
        spec = document["properties"]["componentSpec"]
        return spec if isinstance(spec, dict) else json.loads(spec)

    def code(self, scope: str, step: graph.Step) -> Path | None:
        code = step.spec.get("code")
        return self._assets.resolve(str(code), scope, "code") if code else None

    def own_inputs(self, scope: str, inputs: Mapping[str, Any]) -> dict[str, str]:
        return {key: self._own_input(scope, each) for key, each in inputs.items()}

    def _own_input(self, scope: str, binding: Mapping[str, Any]) -> str:
        """The text or local path of an input given by value or address."""
        if graph.is_literal(binding):
            return graph.literal_text(binding.get("value"))
        uri = str(binding.get("uri") or "")
        kind = str(binding.get("jobInputType") or binding.get("job_input_type") or "")
        path = self._assets.resolve(uri, scope, "model" if kind.endswith("_model") else "data")
        if not path.exists():
            raise Unresolved(f"{uri} does not exist.")
        return str(path)

    def inputs(
        self,
        scope: str,
        step: graph.Step,
        parent: Mapping[str, str],
        outputs: Mapping[tuple[str, str], str],
    ) -> dict[str, str]:
        """Values of a step's inputs, defaults included; absent optional ones are left out.

        `outputs`: (step, output) -> path. Raises StepFailed for an input without a value.
        """
        values: dict[str, str] = {}
        for key, binding in step.inputs.items():
            text = self._bound(scope, binding, parent, outputs)
            if text is not None:
                values[key] = text
        for key, declared in (step.spec.get("inputs") or {}).items():
            default = declared.get("default")
            if key not in values and default is not None:
                values[key] = graph.literal_text(default)
            elif key not in values and not is_true(declared.get("optional")):
                raise StepFailed(f"The input {key!r} has no value.")
        return values

    def _bound(
        self,
        scope: str,
        binding: Mapping[str, Any],
        parent: Mapping[str, str],
        outputs: Mapping[tuple[str, str], str],
    ) -> str | None:
        """The value of a step's input; None when it is bound to an absent optional input."""
        if not graph.is_literal(binding):
            return self._own_input(scope, binding)
        text = graph.literal_text(binding.get("value"))
        whole = graph.PARENT_INPUT.fullmatch(text.strip())
        if whole:
            return parent.get(whole[1])
        text = graph.PARENT_INPUT.sub(lambda match: parent[match[1]], text)
        return graph.JOB_OUTPUT.sub(lambda match: outputs[(match[1], match[3])], text)

    def make_outputs(self, scope: str, name: str, step: graph.Step) -> None:
        """Make the places of a step's outputs, and keep them with the job, however it ends."""
        specs = step.spec.get("outputs") or {}
        store = self._store.get("datastore", scope, DEFAULT_DATASTORE) or {}
        locations: Json = {}
        for key in {**specs, **step.outputs}:
            bound = step.outputs.get(key) or {}
            spec = specs.get(key) or {}
            kind = str(spec.get("type") or bound.get("jobOutputType") or "uri_folder")
            blob = f"azureml/{name}/{key}"
            path = self._blobs.path(store["container"], blob)
            (path.parent if kind == "uri_file" else path).mkdir(parents=True, exist_ok=True)
            locations[key] = {"container": store["container"], "path": blob}
        self._documents.update(scope, name, output_locations=locations)

    def register_outputs(self, scope: str, name: str, step: graph.Step) -> None:
        """Outputs that ask for a name become assets."""
        locations = self._documents.locations(scope, name)
        for key, binding in step.outputs.items():
            asset = binding.get("assetName") or binding.get("name")
            if not asset or key not in locations:
                continue
            kind = str(binding.get("jobOutputType") or binding.get("job_output_type") or "")
            is_model = kind.endswith("_model")
            version = str(binding.get("assetVersion") or binding.get("version") or "1")
            uri = f"azureml://jobs/{name}/outputs/{key}"
            properties: Json = {"isArchived": False, "tags": {}, "properties": {}}
            if is_model:
                properties |= {"modelUri": uri, "modelType": kind, "flavors": {}}
            else:
                properties |= {"dataUri": uri, "dataType": kind or "uri_folder"}
            self._assets.create(
                Key("model" if is_model else "data", scope, asset, version), properties
            )

    def publish_outputs(self, scope: str, name: str, children: Mapping[str, graph.Step]) -> None:
        """A pipeline's outputs are where the bound outputs of those of its steps are that ran.

        `children`: the child jobs' names and steps.
        """
        published: Json = {}
        for child, step in children.items():
            locations = self._documents.locations(scope, child)
            for key, binding in step.outputs.items():
                match = graph.PARENT_OUTPUT.search(str(binding.get("value") or ""))
                if match and key in locations:
                    published[match[1]] = locations[key]
        self._documents.update(scope, name, output_locations=published)


def is_true(value: object) -> bool:
    return str(value).lower() == "true"
