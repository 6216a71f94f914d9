"""Pipeline documents before the SDK sees them: strict check, overrides, bound data, pruning."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from taxiops.errors import NotFound, UsageError

Document = dict[str, Any]

PREPARE, TRAIN, COMPARE = "prepare_job", "train_job", "compare_job"
# The jobs that change a registry or an endpoint.
CHANGING = ("register_job", "deploy_job", "test_job", "traffic_job", "rollback_job")
BINDING = re.compile(r"\$\{\{\s*parent\.([^}]+?)\s*\}\}")

# Keys of learn.microsoft.com/azure/machine-learning/reference-yaml-job-pipeline and -job-command.
SETTINGS_KEYS = {
    "default_compute",
    "default_datastore",
    "continue_on_step_failure",
    "force_rerun",
    "continue_run_on_failed_optional_input",
}
NODE_KEYS = {
    "$schema",
    "type",
    "name",
    "display_name",
    "description",
    "comment",
    "tags",
    "properties",
    "component",
    "inputs",
    "outputs",
    "compute",
    "environment",
    "environment_variables",
    "code",
    "command",
    "resources",
    "limits",
    "distribution",
    "identity",
    "queue_settings",
    "services",
    "settings",
    "experiment_name",
}


def read_yaml(path: Path) -> Document:
    """The mapping in a YAML file; raises NotFound or UsageError naming file and line."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file.", hint="Check --pipeline.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path}: not readable YAML: {' '.join(str(error).split())}.",
            hint="Correct that line.",
            code="pipeline-invalid",
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path}: no YAML mapping.", code="pipeline-invalid")
    return document


def to_text(document: Document) -> str:
    """The document as YAML, keys in their order."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def check_pipeline(document: Document, path: Path) -> None:
    """Refuse what the SDK lets pass: unknown keys of steps, unbound or unknown inputs and outputs.

    Raises UsageError naming the file and the key.
    """
    jobs = document.get("jobs")
    if not isinstance(jobs, dict) or not jobs:
        raise problem(path, "jobs", "a pipeline needs at least one job")
    check_keys(document.get("settings") or {}, SETTINGS_KEYS, path, "settings")
    components = {name: component_of(node, path, name) for name, node in jobs.items()}
    for name, node in jobs.items():
        where = f"jobs.{name}"
        check_keys(node, NODE_KEYS, path, where)
        component = components[name]
        if component is not None:
            check_ports(node, component, path, where)
        for side in ("inputs", "outputs"):
            for port, value in (node.get(side) or {}).items():
                for target in bindings(value):
                    at = f"{where}.{side}.{port}"
                    check_binding(target, document, components, path, at)


def component_of(node: object, path: Path, name: str) -> Document | None:
    """The component a step names by file, else None (inline or registered)."""
    if not isinstance(node, dict):
        raise problem(path, f"jobs.{name}", "a job is a mapping")
    reference = node.get("component")
    if not isinstance(reference, str) or reference.startswith("azureml:"):
        return None
    file = path.parent / reference.removeprefix("file:")
    if not file.is_file():
        raise problem(path, f"jobs.{name}.component", f"no such file: {reference}")
    return read_yaml(file)


def check_ports(node: Document, component: Document, path: Path, where: str) -> None:
    """The step's inputs and outputs against what its component declares."""
    inputs = component.get("inputs") or {}
    check_keys(node.get("inputs") or {}, set(inputs), path, f"{where}.inputs")
    outputs = set(component.get("outputs") or {})
    check_keys(node.get("outputs") or {}, outputs, path, f"{where}.outputs")
    for port, declared in inputs.items():
        needed = not declared.get("optional") and "default" not in declared
        if needed and port not in (node.get("inputs") or {}):
            raise problem(path, f"{where}.inputs.{port}", "this input must be bound")


def check_binding(
    target: str,
    document: Document,
    components: Mapping[str, Document | None],
    path: Path,
    where: str,
) -> None:
    """What `${{parent.target}}` names must exist."""
    parts = target.split(".")
    if parts[0] in ("inputs", "outputs") and len(parts) >= 2:
        known: Iterable[str] = document.get(parts[0]) or {}
        if parts[1] not in known:
            raise problem(path, where, unknown(f"parent.{parts[0]}.{parts[1]}", parts[1], known))
    elif parts[0] == "jobs" and len(parts) == 4:
        if parts[1] not in components:
            raise problem(path, where, unknown(f"job {parts[1]!r}", parts[1], components))
        component = components[parts[1]]
        outputs = (component or {}).get("outputs") or {}
        if component is not None and parts[3] not in outputs:
            raise problem(path, where, unknown(f"output {parts[3]!r}", parts[3], outputs))
    else:
        raise problem(path, where, f"${{{{parent.{target}}}}} is no binding")


def check_keys(found: object, known: set[str], path: Path, where: str) -> None:
    if not isinstance(found, dict):
        raise problem(path, where, "must be a mapping")
    for key in found:
        if key not in known:
            raise problem(path, f"{where}.{key}", unknown("key", str(key), known))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown ...`, with the nearest known name."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown {what}" + (f"; did you mean {close[0]!r}?" if close else "")


def problem(path: Path, where: str, why: str) -> UsageError:
    return UsageError(
        f"{path}: {where}: {why}.",
        hint="Correct that key; taxiops test unit checks every file.",
        code="pipeline-invalid",
    )


def bindings(value: object) -> list[str]:
    """The targets of every `${{parent.X}}` in a value, nested ones too."""
    if isinstance(value, dict):
        return [target for inner in value.values() for target in bindings(inner)]
    return BINDING.findall(value) if isinstance(value, str) else []


def with_inputs(document: Document, overrides: Mapping[str, str], path: Path) -> Document:
    """The pipeline with its literal inputs set; raises UsageError for one it does not have."""
    result = deepcopy(document)
    inputs = result.setdefault("inputs", {})
    for name, value in overrides.items():
        if name not in inputs:
            raise UsageError(
                f"--set {name}: {unknown('pipeline input', name, inputs)}.",
                hint=f"{path} has: {', '.join(sorted(inputs)) or 'none'}.",
                code="pipeline-input",
            )
        inputs[name] = typed(value, inputs[name], name)
    return result


def typed(value: str, former: object, name: str) -> object:
    """The text as the kind of literal that stands in the pipeline."""
    if isinstance(former, dict):
        raise UsageError(f"--set {name}: not a literal input; use --data.", code="pipeline-input")
    kind = type(former)
    if kind not in (int, float) or isinstance(former, bool):
        return value
    try:
        return int(value) if kind is int else float(value)
    except ValueError as error:
        raise UsageError(
            f"--set {name}={value}: it must be a {'whole ' if kind is int else ''}number.",
            hint=f"--set {name}={former}",
            code="pipeline-input",
        ) from error


def known_inputs(document: Document, values: Mapping[str, str]) -> dict[str, str]:
    """Those of the values that the pipeline has an input for."""
    inputs = document.get("inputs") or {}
    return {name: value for name, value in values.items() if name in inputs}


def with_bound_input(document: Document, job: str, name: str, value: Document) -> Document:
    """The pipeline with an asset bound to an optional input of one of its steps.

    Raises UsageError when it has no such step.
    """
    result = deepcopy(document)
    if job not in result["jobs"]:
        raise UsageError(
            f"The pipeline has no job {job!r}, whose input {name!r} is wanted.",
            hint="Use pipelines/integration-compare-pipeline.yaml.",
            code="pipeline-job",
        )
    node = result["jobs"][job]
    node["inputs"] = {**(node.get("inputs") or {}), name: value}
    return result


def with_compute(document: Document, compute: str) -> Document:
    """The pipeline on another default compute."""
    result = deepcopy(document)
    result["settings"] = {**(result.get("settings") or {}), "default_compute": f"azureml:{compute}"}
    return result


def stopped_after(document: Document, last: str) -> Document:
    """The pipeline cut down to one job and all that it needs.

    Pipeline outputs that no remaining job fills are dropped. Raises UsageError for an unknown job.
    """
    jobs = document["jobs"]
    if last not in jobs:
        raise UsageError(
            f"--stop-after {last}: {unknown('job', last, jobs)}.",
            hint=f"The pipeline has: {', '.join(jobs)}.",
            code="pipeline-job",
        )
    kept = {last}
    while True:
        needed = {
            target.split(".")[1]
            for name in kept
            for target in bindings(jobs[name].get("inputs") or {})
            if target.startswith("jobs.")
        }
        if needed <= kept:
            break
        kept |= needed
    result = deepcopy(document)
    result["jobs"] = {name: node for name, node in result["jobs"].items() if name in kept}
    filled = {
        target.split(".")[1]
        for node in result["jobs"].values()
        for target in bindings(node.get("outputs") or {})
        if target.startswith("outputs.")
    }
    outputs = result.get("outputs") or {}
    result["outputs"] = {name: spec for name, spec in outputs.items() if name in filled}
    return result


def check_registers_nothing(document: Document, path: Path) -> None:
    """Raises UsageError when the pipeline goes on to change a registry or an endpoint."""
    changing = [name for name in document["jobs"] if name in CHANGING]
    if changing:
        raise UsageError(
            f"{path}: goes on with {', '.join(changing)}, but a comparison changes nothing.",
            hint=f"taxiops compare --pipeline {path} --stop-after {COMPARE}",
            code="pipeline-changes",
        )


def folders_of(document: Document, path: Path) -> list[str]:
    """The folders, relative as `path` is, that hold the pipeline and the components it names."""
    found = {path.parent}
    for node in document["jobs"].values():
        reference = node.get("component")
        if isinstance(reference, str) and not reference.startswith("azureml:"):
            file = path.parent / reference.removeprefix("file:")
            found.add(Path(os.path.normpath(file)).parent)
    return sorted(folder.as_posix() for folder in found if folder.parts[:1] != ("..",))


def output_job(document: Document, output: str) -> str | None:
    """The job that fills a pipeline output, if any does."""
    for name, node in document["jobs"].items():
        if f"outputs.{output}" in bindings(node.get("outputs") or {}):
            return str(name)
    return None
