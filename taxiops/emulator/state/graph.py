"""From submitted job documents to steps with their bindings; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taxiops.emulator.state.durations import duration_s

Json = dict[str, Any]

JOB_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.(outputs|inputs)\.([\w.-]+)\s*\}\}")
PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w.-]+)\s*\}\}")
PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w.-]+)\s*\}\}")
PLACEHOLDER = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w.-]+)\s*\}\}")
OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


class BadGraph(ValueError):
    """A job that cannot be run; the text names the step and what is wrong with it."""


@dataclass(frozen=True)
class Step:
    """One node of a pipeline, or a command job by itself.

    inputs and outputs: name -> the submitted binding; spec: the component's specification.
    """

    name: str
    spec: Json
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    display_name: str = ""
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    compute: str = ""
    timeout_s: float | None = None

    @property
    def kind(self) -> str:
        return str(self.spec.get("type", "command"))


def steps_of(nodes: Mapping[str, Json], specs: Mapping[str, Json]) -> list[Step]:
    """The nodes in an order in which each stands behind what it depends on. Raises BadGraph."""
    steps = {name: step_of(name, node, specs[name]) for name, node in nodes.items()}
    ordered: list[Step] = []
    done: set[str] = set()
    while len(ordered) < len(steps):
        ready = [
            each for each in steps.values() if each.name not in done and dependencies(each) <= done
        ]
        if not ready:
            stuck = sorted(set(steps) - done)
            raise BadGraph(f"The steps {stuck} depend on each other or on steps that do not exist.")
        ordered += ready
        done |= {each.name for each in ready}
    return ordered


def step_of(name: str, node: Json, spec: Json) -> Step:
    limits = node.get("limits") or {}
    return Step(
        name=name,
        spec=spec,
        inputs=node.get("inputs") or {},
        outputs=node.get("outputs") or {},
        display_name=node.get("display_name") or spec.get("display_name") or name,
        environment_variables=node.get("environment_variables") or {},
        compute=(node.get("computeId") or "").rpartition("/")[2],
        timeout_s=seconds(limits.get("timeout")),
    )


def command_step(name: str, properties: Json) -> Step:
    """A command job by itself as a step."""
    return Step(
        name=name,
        spec={"command": properties.get("command", ""), "code": properties.get("codeId")},
        inputs=properties.get("inputs") or {},
        outputs=properties.get("outputs") or {},
        environment_variables=properties.get("environmentVariables") or {},
        timeout_s=seconds((properties.get("limits") or {}).get("timeout")),
    )


def seconds(duration: object) -> float | None:
    """Seconds of a number or of an ISO 8601 duration such as PT0.5S; None when absent."""
    return float(duration) if isinstance(duration, int | float) else duration_s(duration)


def dependencies(step: Step) -> set[str]:
    """Names of the steps whose outputs this one reads."""
    texts = [
        str(binding.get("value") or binding.get("uri") or "") for binding in step.inputs.values()
    ]
    texts += [str(value) for value in step.environment_variables.values()]
    return {match[1] for text in texts for match in JOB_OUTPUT.finditer(text)}


def is_literal(binding: Mapping[str, Any]) -> bool:
    kind = binding.get("job_input_type") or binding.get("jobInputType") or binding.get("type")
    return str(kind).lower() == "literal"


def literal_text(value: object) -> str:
    """Azure passes Python's spelling of booleans and no quotes."""
    return str(value)


def command_of(template: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """The command line with all placeholders filled and optional groups without input dropped.

    Raises BadGraph for a placeholder that names nothing.
    """

    def group(match: re.Match[str]) -> str:
        names = [found[2] for found in PLACEHOLDER.finditer(match[1]) if found[1] == "inputs"]
        return match[1] if all(name in inputs for name in names) else ""

    def fill(match: re.Match[str]) -> str:
        values = inputs if match[1] == "inputs" else outputs
        if match[2] not in values:
            raise BadGraph(f"The command names {match[1]}.{match[2]}, which has no value.")
        return values[match[2]]

    return PLACEHOLDER.sub(fill, OPTIONAL.sub(group, template)).strip()
