"""What a job's references stand for: components, code, inputs; starts no process."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets.assets import Assets, Unresolved
from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.downloads import fetch, is_public
from taxiops.emulator.state.jobs.execution import StepFailed
from taxiops.emulator.state.jobs.parallel import as_command
from taxiops.emulator.state.jobs.values import FILE, Value, is_true, kind_of

Json = dict[str, Any]
Values = Mapping[str, Value]
StepValues = Mapping[tuple[str, str], Value]


# The kinds of steps that there are; a node without a type is a command's.
KINDS = frozenset({"command", "pipeline", "sweep", "parallel"})


def not_emulated(step: str, kind: str) -> str:
    return (
        f"The step {step!r} is of the kind {kind!r}, which is not emulated; "
        f"only {sorted(KINDS)} are. Run it on Azure: --cloud azure."
    )


class Bindings:
    """Resolves the references of jobs. `downloads`: the folder of what came from the web."""

    def __init__(self, assets: Assets, downloads: Path) -> None:
        self._assets, self._downloads = assets, downloads

    def steps(self, scope: str, nodes: Mapping[str, Json], parent: Values) -> list[graph.Step]:
        """A pipeline's nodes with their components, in order.

        parent: the pipeline's inputs, which settings of nodes may name. Raises StepFailed, BadGraph
        and Unresolved.
        """
        nodes = {key: with_settings(node, parent) for key, node in nodes.items()}
        steps = graph.steps_of(nodes, {key: self.spec(scope, node) for key, node in nodes.items()})
        for step in steps:
            if step.kind not in KINDS:
                raise StepFailed(not_emulated(step.name, step.kind))
        return [as_command(step) if step.kind == "parallel" else step for step in steps]

    def spec(self, scope: str, node: Json) -> Json:
        """The specification of a node's component. Raises StepFailed and Unresolved."""
        component = str(node.get("componentId") or trial_of(node) or "")
        if not component:
            raise StepFailed(not_emulated(str(node.get("name") or ""), str(node.get("type"))))
        document = self._assets.document(component, scope, "component")
        spec = document["properties"]["componentSpec"]
        spec = spec if isinstance(spec, dict) else json.loads(spec)
        searched = node.get("search_space") or {}
        inputs = {**(spec.get("inputs") or {}), **dict.fromkeys(searched, OPEN_INPUT)}
        return {**spec, "inputs": inputs}

    def code(self, scope: str, step: graph.Step) -> Path | None:
        code = step.spec.get("code")
        return self._assets.resolve(str(code), scope, "code") if code else None

    def own_inputs(self, scope: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Value]:
        """A job's own inputs; absent optional ones are left out."""
        given = {key: each for key, each in inputs.items() if each is not None}
        return {key: self._own_input(scope, name, each, {}) for key, each in given.items()}

    def _own_input(
        self, scope: str, name: str, binding: Mapping[str, Any], declared: Mapping[str, Any]
    ) -> Value:
        """An input given by value or address. Raises Unresolved and NotFetched."""
        if graph.is_literal(binding):
            return Value(graph.literal_text(binding.get("value")))
        uri = str(binding.get("uri") or "").replace("${{name}}", name)
        kind = kind_of(binding, declared)
        if is_direct(binding):
            return Value(uri, uri, kind)
        if is_public(uri):
            digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
            path = fetch(uri, self._downloads / name / digest, is_folder=kind != FILE)
            return Value(str(path), uri, kind)
        path = self._assets.resolve(uri, scope, "model" if kind.endswith("_model") else "data")
        if not path.exists():
            raise Unresolved(f"{uri} does not exist.")
        return Value(str(path), uri, kind)

    def inputs(
        self, scope: str, name: str, step: graph.Step, parent: Values, outputs: StepValues
    ) -> dict[str, Value]:
        """Values of a step's inputs, defaults included; absent optional ones are left out.

        name: of the step's job; `outputs`: (step, output) -> its value. Raises StepFailed for an
        input without a value.
        """
        values: dict[str, Value] = {}
        declared = step.spec.get("inputs") or {}
        for key, binding in step.inputs.items():
            spec = declared.get(key) or {}
            value = self._bound(binding, parent, outputs)
            if value is UNBOUND:
                values[key] = self._own_input(scope, name, binding, spec)
            elif isinstance(value, Value):
                values[key] = as_declared(value, spec, binding)
        for key, spec in declared.items():
            default = (spec or {}).get("default")
            if key not in values and default is not None:
                values[key] = Value(graph.literal_text(default))
            elif key not in values and not is_true((spec or {}).get("optional")):
                raise StepFailed(f"The input {key!r} has no value.")
        return values

    def _bound(
        self, binding: Mapping[str, Any], parent: Values, outputs: StepValues
    ) -> "Value | object | None":
        """The value of a step's input that refers to another's; UNBOUND when it refers to none.

        None when it is bound to an optional input that is absent.
        """
        text = graph.address(binding).strip()
        if whole := graph.PARENT_INPUT.fullmatch(text):
            return parent.get(member(whole[1], parent))
        if whole := graph.JOB_OUTPUT.fullmatch(text):
            return look_up(outputs, (whole[1], whole[3]), text)
        filled = fill(text, parent, outputs)
        return UNBOUND if filled == text else Value(filled)

    def variables(
        self, given: Mapping[str, str], parent: Values, outputs: StepValues
    ) -> dict[str, str]:
        """A step's environment variables with what they name filled in. Raises StepFailed."""
        return {key: fill(str(text), parent, outputs) for key, text in given.items()}


UNBOUND = object()
BOUND = frozenset({"inputs", "outputs", "environment_variables", "computeId"})
# What a sweep gives its trials needs no value before.
OPEN_INPUT = {"optional": True}


def trial_of(node: Json) -> str:
    """The component that a sweep's trials are."""
    trial = node.get("trial")
    return str(trial.get("componentId") if isinstance(trial, Mapping) else trial or "")


def member(name: str, values: Values) -> str:
    """The key of a placeholder: groups of inputs may be flattened or not (`group.lr`)."""
    return name if name in values else name.rpartition(".")[2]


def fill(text: str, parent: Values, outputs: StepValues) -> str:
    """A text with the placeholders of the pipeline's inputs and steps filled."""
    text = graph.PARENT_INPUT.sub(text_in(lambda match: parent.get(match[1]), text), text)
    return graph.JOB_OUTPUT.sub(
        text_in(lambda match: outputs.get((match[1], match[3])), text), text
    )


def with_settings(node: Json, parent: Values) -> Json:
    """A node with the values of the pipeline's inputs in its limits, resources and the like.

    What it is bound to stays: that may be data.
    """
    return {key: each if key in BOUND else settled(each, parent) for key, each in node.items()}


def settled(given: object, parent: Values) -> object:
    """Texts in it that name inputs of the pipeline filled in; other texts stay."""
    if isinstance(given, Mapping):
        return {key: settled(each, parent) for key, each in given.items()}
    if isinstance(given, list):
        return [settled(each, parent) for each in given]
    return fill(given, parent, {}) if isinstance(given, str) and "parent.inputs" in given else given


def look_up(outputs: StepValues, key: tuple[str, str], text: str) -> Value:
    if key not in outputs:
        raise StepFailed(f"{text} names an output that the step does not have.")
    return outputs[key]


def text_in(
    find: Callable[[re.Match[str]], Value | None], whole: str
) -> Callable[[re.Match[str]], str]:
    """What a placeholder inside a longer text is replaced by."""

    def replaced(match: re.Match[str]) -> str:
        value = find(match)
        if value is None:
            raise StepFailed(f"{match[0]} in {whole!r} has no value.")
        return value.text

    return replaced


def as_declared(value: Value, declared: Mapping[str, Any], binding: Mapping[str, Any]) -> Value:
    """The same data as its user sees it: by its address in the mode `direct`."""
    if not value.uri:
        return value
    kind = kind_of(binding, declared, {"type": value.kind})
    return Value(value.uri if is_direct(binding) else value.text, value.uri, kind)


def is_direct(binding: Mapping[str, Any]) -> bool:
    return str(binding.get("mode") or "").lower() == "direct"
