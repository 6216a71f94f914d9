"""Jobs: durable documents, a worker a job, and where outputs and logs are."""

import json
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taxiops.emulator.state import graph
from taxiops.emulator.state.assets import DEFAULT_DATASTORE, Assets, Key, Unresolved
from taxiops.emulator.state.blobs import Blobs
from taxiops.emulator.state.execution import StepEnd, StepRun, run_step
from taxiops.emulator.state.store import Store

Json = dict[str, Any]
KIND = "job"
FINAL = frozenset({"Completed", "Failed", "Canceled"})
PARALLEL_STEPS = 3


class StepFailed(Exception):
    """A step could not be run or failed; the text is what the job's error says."""


class Jobs:
    """All jobs of all workspaces."""

    def __init__(self, store: Store, blobs: Blobs, assets: Assets, folder: Path) -> None:
        self._store, self._blobs, self._assets, self.folder = store, blobs, assets, folder
        self._cancels: dict[tuple[str, str], threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._slots = threading.Semaphore(PARALLEL_STEPS)
        assets.job_output = self.output_path

    # -- documents ---------------------------------------------------------------------------

    def get(self, scope: str, name: str) -> Json | None:
        return self._store.get(KIND, scope, name)

    def all(self, scope: str) -> list[Json]:
        """Oldest first, children included."""
        return self._store.all(KIND, scope)

    def children(self, scope: str, name: str) -> list[Json]:
        return [each for each in self.all(scope) if each.get("parent") == name]

    def update(self, scope: str, name: str, **changes: object) -> Json:
        with self._store.transaction():
            document = self._store.get(KIND, scope, name)
            if document is None:
                raise Unresolved(f"The job {name} was not found.")
            document.update(changes)
            self._store.put(KIND, scope, name, document)
        return document

    def create(self, scope: str, name: str, properties: Json) -> Json:
        """Store a job and start it. The store keeps it whatever happens to us."""
        document = new_document(name, properties)
        self._store.create(KIND, scope, name, document)
        cancelled = self._cancels[(scope, name)] = threading.Event()
        thread = threading.Thread(target=self._run, args=(scope, name, cancelled), daemon=True)
        self._threads.append(thread)
        thread.start()
        return document

    def cancel(self, scope: str, name: str) -> bool:
        """Ask a running job to end; False when it had ended."""
        document = self.get(scope, name)
        if document is None or document["status"] in FINAL:
            return False
        event = self._cancels.get((scope, document.get("root") or name))
        self.update(scope, name, status="CancelRequested")
        if event:
            event.set()
        return True

    def delete(self, scope: str, name: str) -> bool:
        self.cancel(scope, name)
        for child in self.children(scope, name):
            self._store.delete(KIND, scope, child["name"])
        return self._store.delete(KIND, scope, name)

    def recover(self) -> None:
        """Fail what was running when the emulator stopped."""
        for scope, name, _ in self._store.keys(KIND):
            document = self._store.get(KIND, scope, name)
            if document and document["status"] not in FINAL:
                reason = "The emulator was stopped while this job ran; submit it again."
                self.update(scope, name, status="Failed", error=reason, ended=now())

    def close(self) -> None:
        """Cancel everything and wait for the processes to be gone."""
        for event in self._cancels.values():
            event.set()
        for thread in self._threads:
            thread.join(timeout=15)

    # -- outputs and logs --------------------------------------------------------------------

    def output_path(self, scope: str, job: str, output: str) -> Path:
        """Where an output of a job or child job is. Raises Unresolved."""
        return self._blobs.path(*self.output_blob(scope, job, output))

    def output_blob(self, scope: str, job: str, output: str) -> tuple[str, str]:
        """(container, blob prefix) of an output."""
        document = self.get(scope, job)
        location = (document or {}).get("output_locations", {}).get(output)
        if location is None:
            raise Unresolved(f"The job {job} has no output {output!r}.")
        return location["container"], location["path"]

    def logs(self, scope: str, name: str) -> dict[str, Path]:
        """Log names as the client filters them, and their files."""
        document = self.get(scope, name)
        if document is None:
            return {}
        if document["properties"].get("jobType") == "Pipeline":
            path = self.folder / name / "logs" / "azureml" / "executionlogs.txt"
            return {"logs/azureml/executionlogs.txt": path} if path.exists() else {}
        path = self.folder / name / "user_logs" / "std_log.txt"
        return {"user_logs/std_log.txt": path} if path.exists() else {}

    # -- running -----------------------------------------------------------------------------

    def _run(self, scope: str, name: str, cancelled: threading.Event) -> None:
        document = self.update(scope, name, status="Running", started=now())
        try:
            properties = document["properties"]
            if properties.get("jobType") == "Pipeline":
                self._run_pipeline(scope, name, properties, cancelled)
            else:
                self._run_command(scope, name, properties, cancelled)
            end = StepEnd("Completed")
        except StepFailed as error:
            end = StepEnd("Canceled" if cancelled.is_set() else "Failed", str(error))
        except (graph.BadGraph, Unresolved, OSError, ValueError, KeyError) as error:
            end = StepEnd("Failed", f"{type(error).__name__}: {error}")
        self.update(scope, name, status=end.status, error=end.message, ended=now())
        self._cancels.pop((scope, name), None)

    def _run_command(
        self, scope: str, name: str, properties: Json, cancelled: threading.Event
    ) -> None:
        step = graph.Step(
            name=name,
            spec={"command": properties.get("command", ""), "code": properties.get("codeId")},
            inputs=properties.get("inputs") or {},
            outputs=properties.get("outputs") or {},
            environment_variables=properties.get("environmentVariables") or {},
            timeout_s=graph.seconds((properties.get("limits") or {}).get("timeout")),
        )
        values = {key: self._own_input(scope, each) for key, each in step.inputs.items()}
        self._execute(scope, name, name, step, values, cancelled)

    def _run_pipeline(
        self, scope: str, name: str, properties: Json, cancelled: threading.Event
    ) -> None:
        nodes = properties.get("jobs") or {}
        specs = {key: self._spec(scope, node) for key, node in nodes.items()}
        steps = graph.steps_of(nodes, specs)
        parent = {
            key: self._own_input(scope, each)
            for key, each in (properties.get("inputs") or {}).items()
        }
        self._run_steps(scope, name, name, steps, parent, properties, cancelled)

    def _run_steps(
        self,
        scope: str,
        root: str,
        name: str,
        steps: list[graph.Step],
        parent: Mapping[str, str],
        properties: Json,
        cancelled: threading.Event,
    ) -> None:
        """Run steps as soon as what they depend on has ended; the first failure ends the rest."""
        log = PipelineLog(self.folder / name / "logs" / "azureml" / "executionlogs.txt")
        children = {step.name: str(uuid.uuid4()) for step in steps}
        outputs: dict[tuple[str, str], str] = {}
        lock = threading.Lock()
        finished = {step.name: threading.Event() for step in steps}
        failures: list[str] = []
        for step in steps:
            self._create_child(scope, root, name, children[step.name], step, properties)

        def one(step: graph.Step) -> None:
            child = children[step.name]
            try:
                for dependency in graph.dependencies(step):
                    finished[dependency].wait()
                if failures or cancelled.is_set():
                    self.update(scope, child, status="Canceled", ended=now())
                    return
                values = {
                    key: text
                    for key, each in step.inputs.items()
                    if (text := self._bound(scope, each, parent, outputs)) is not None
                }
                log.write(f"Step {step.name} ({child}) started.")
                made = self._run_child(scope, root, child, step, values, properties, cancelled)
                with lock:
                    outputs.update({(step.name, key): path for key, path in made.items()})
                log.write(f"Step {step.name} completed.")
            except (StepFailed, graph.BadGraph, Unresolved, OSError, ValueError, KeyError) as error:
                status = "Canceled" if cancelled.is_set() else "Failed"
                self.update(scope, child, status=status, error=str(error), ended=now())
                log.write(f"Step {step.name} failed: {error}")
                failures.append(f"Step {step.name} failed: {error}")
            finally:
                finished[step.name].set()

        with ThreadPoolExecutor(max_workers=max(1, len(steps))) as pool:
            list(pool.map(one, steps))
        if cancelled.is_set():
            raise StepFailed("The job was canceled.")
        if failures:
            raise StepFailed(failures[0])
        self._publish_outputs(scope, name, steps, children)

    def _run_child(
        self,
        scope: str,
        root: str,
        child: str,
        step: graph.Step,
        values: dict[str, str],
        properties: Json,
        cancelled: threading.Event,
    ) -> dict[str, str]:
        self.update(scope, child, status="Running", started=now())
        for key, declared in (step.spec.get("inputs") or {}).items():
            default = declared.get("default")
            if key not in values and default is not None:
                values[key] = graph.literal_text(default)
            elif key not in values and not is_true(declared.get("optional")):
                raise StepFailed(f"The input {key!r} has no value.")
        if step.kind == "pipeline":
            made = self._run_nested(scope, root, child, step, values, properties, cancelled)
        else:
            made = self._execute(scope, root, child, step, values, cancelled)
        self.update(scope, child, status="Completed", ended=now())
        return made

    def _run_nested(
        self,
        scope: str,
        root: str,
        child: str,
        step: graph.Step,
        values: dict[str, str],
        properties: Json,
        cancelled: threading.Event,
    ) -> dict[str, str]:
        nodes = step.spec.get("jobs") or {}
        specs = {key: self._spec(scope, node) for key, node in nodes.items()}
        inner = {**properties, "outputs": step.spec.get("outputs") or {}, "jobs": nodes}
        self._run_steps(scope, root, child, graph.steps_of(nodes, specs), values, inner, cancelled)
        locations = (self.get(scope, child) or {}).get("output_locations", {})
        return {
            key: str(self._blobs.path(each["container"], each["path"]))
            for key, each in locations.items()
        }

    def _execute(
        self,
        scope: str,
        root: str,
        name: str,
        step: graph.Step,
        values: dict[str, str],
        cancelled: threading.Event,
    ) -> dict[str, str]:
        """Run one command; returns its outputs' paths. Raises StepFailed."""
        outputs = self._make_outputs(scope, name, step)
        paths = {key: str(self._blobs.path(*each)) for key, each in outputs.items()}
        code = step.spec.get("code")
        variables = {
            **{str(k): str(v) for k, v in (step.spec.get("environment_variables") or {}).items()},
            **{str(k): str(v) for k, v in step.environment_variables.items()},
            **run_variables(scope, root, name, self.get(scope, root) or {}),
        }
        run = StepRun(
            command=graph.command_of(str(step.spec.get("command", "")), values, paths),
            code=self._assets.resolve(str(code), scope, "code") if code else None,
            folder=self.folder / name,
            environment=variables,
            timeout_s=step.timeout_s,
        )
        with self._slots:
            end = run_step(run, cancelled)
        if end.status != "Completed":
            raise StepFailed(end.message)
        self._register_outputs(scope, name, step, outputs)
        return paths

    def _make_outputs(self, scope: str, name: str, step: graph.Step) -> dict[str, tuple[str, str]]:
        declared = {key: {} for key in step.spec.get("outputs") or {}} | dict(step.outputs)
        store = self._store.get("datastore", scope, DEFAULT_DATASTORE) or {}
        made: dict[str, tuple[str, str]] = {}
        for key in declared:
            spec = (step.spec.get("outputs") or {}).get(key) or {}
            kind = str(spec.get("type") or declared[key].get("jobOutputType") or "uri_folder")
            blob = f"azureml/{name}/{key}"
            path = self._blobs.path(store["container"], blob)
            (path.parent if kind == "uri_file" else path).mkdir(parents=True, exist_ok=True)
            made[key] = (store["container"], blob)
        locations = {k: {"container": c, "path": p} for k, (c, p) in made.items()}
        self.update(scope, name, output_locations=locations)
        return made

    def _register_outputs(
        self, scope: str, name: str, step: graph.Step, outputs: Mapping[str, tuple[str, str]]
    ) -> None:
        """Outputs that ask for a name become assets."""
        for key, binding in step.outputs.items():
            asset = binding.get("assetName") or binding.get("name")
            if not asset or key not in outputs:
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

    def _publish_outputs(
        self,
        scope: str,
        name: str,
        steps: list[graph.Step],
        children: Mapping[str, str],
    ) -> None:
        """A pipeline's outputs are where the bound outputs of its steps are."""
        published: Json = {}
        for step in steps:
            locations = (self.get(scope, children[step.name]) or {}).get("output_locations", {})
            for key, binding in step.outputs.items():
                match = graph.PARENT_OUTPUT.search(str(binding.get("value") or ""))
                if match and key in locations:
                    published[match[1]] = locations[key]
        self.update(scope, name, output_locations=published)

    def _create_child(
        self, scope: str, root: str, parent: str, name: str, step: graph.Step, properties: Json
    ) -> None:
        own = {
            "jobType": "Pipeline" if step.kind == "pipeline" else "Command",
            "displayName": step.display_name,
            "experimentName": properties.get("experimentName"),
            "command": step.spec.get("command"),
            "environmentId": step.spec.get("environment"),
            "codeId": step.spec.get("code"),
            "inputs": {},
            "outputs": {
                key: {"jobOutputType": "uri_folder"} for key in step.spec.get("outputs") or {}
            },
            "tags": {},
            "properties": {},
        }
        document = new_document(name, own)
        document |= {"parent": parent, "root": root, "step": step.name, "status": "NotStarted"}
        self._store.create(KIND, scope, name, document)

    def _spec(self, scope: str, node: Json) -> Json:
        component = str(node.get("componentId") or "")
        if not component:
            raise StepFailed(f"Steps of the kind {node.get('type')!r} are not emulated.")
        document = self._assets.document(component, scope, "component")
        spec = document["properties"]["componentSpec"]
        return spec if isinstance(spec, dict) else json.loads(spec)

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


class PipelineLog:
    """The execution log of a pipeline; lines from several steps never mix."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = path, threading.Lock()

    def write(self, line: str) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"[{now()}] {line}\n")


def is_true(value: object) -> bool:
    return str(value).lower() == "true"


def now() -> str:
    return datetime.now(UTC).isoformat()


def new_document(name: str, properties: Json) -> Json:
    return {
        "name": name,
        "properties": properties,
        "status": "Preparing",
        "created": now(),
        "started": None,
        "ended": None,
        "error": "",
        "output_locations": {},
        "run_id": str(uuid.uuid4()),
    }


def run_variables(scope: str, root: str, name: str, document: Json) -> dict[str, str]:
    """What Azure ML tells a job about itself."""
    parts = scope.split("/")
    return {
        "AZUREML_RUN_ID": name,
        "AZUREML_ROOT_RUN_ID": root,
        "AZUREML_ARM_SUBSCRIPTION": parts[2],
        "AZUREML_ARM_RESOURCEGROUP": parts[4],
        "AZUREML_ARM_WORKSPACE_NAME": parts[-1],
        "AZUREML_EXPERIMENT_NAME": str(document.get("properties", {}).get("experimentName") or ""),
    }
