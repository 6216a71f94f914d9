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
SEARCHED = re.compile(r"\$\{\{\s*search_space\.([\w.-]+)\s*\}\}")
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
    node: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`sweep` for a node that tries its component, else the component's type."""
        own = str(self.spec.get("type", "command"))
        return "sweep" if self.node.get("type") == "sweep" else own

    @property
    def is_deterministic(self) -> bool:
        """Whether Azure may give it the outputs of an identical step; the default is yes."""
        return str(self.spec.get("is_deterministic", True)).lower() == "true"

    @property
    def environment(self) -> str:
        """The reference of its environment; ARM ids have a prefix in components only."""
        reference = str(self.spec.get("environment") or "")
        return reference.replace("azureml:/subscriptions/", "/subscriptions/", 1)


@dataclass(frozen=True)
class Settings:
    """What a pipeline says of all its steps.

    does_continue: steps that do not depend on a failed one still run, as Azure does by default.
    """

    datastore: str = ""
    does_continue: bool = True
    is_rerun_forced: bool = False


def settings_of(properties: Mapping[str, Any]) -> Settings:
    """The settings of a pipeline job, in either spelling of their keys."""
    given = {key.replace("_", "").lower(): value for key, value in settings_in(properties).items()}
    datastore = str(given.get("defaultdatastore") or "").rpartition("/")[2]
    return Settings(
        datastore=datastore.removeprefix("azureml:"),
        does_continue=str(given.get("continueonstepfailure", True)).lower() != "false",
        is_rerun_forced=str(given.get("forcererun", False)).lower() == "true",
    )


def settings_in(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    found = properties.get("settings")
    return found if isinstance(found, Mapping) else {}


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
        node=node,
    )


def command_step(name: str, properties: Json) -> Step:
    """A command job by itself as a step."""
    return Step(
        name=name,
        spec={
            "command": properties.get("command", ""),
            "code": properties.get("codeId"),
            "environment": properties.get("environmentId"),
        },
        inputs=properties.get("inputs") or {},
        outputs=properties.get("outputs") or {},
        environment_variables=properties.get("environmentVariables") or {},
        timeout_s=seconds((properties.get("limits") or {}).get("timeout")),
    )


def seconds(duration: object) -> float | None:
    """Seconds of a number, also as text, or of an ISO 8601 duration such as PT0.5S; else None."""
    if isinstance(duration, int | float) or str(duration).isdigit():
        return float(str(duration))
    return duration_s(duration)


def dependencies(step: Step) -> set[str]:
    """Names of the steps whose outputs this one reads."""
    texts = [address(binding) for binding in step.inputs.values()]
    texts += [str(value) for value in step.environment_variables.values()]
    return {match[1] for text in texts for match in JOB_OUTPUT.finditer(text)}


def address(binding: Mapping[str, Any]) -> str:
    """What an input or output is bound to: a value, an address, or the placeholder of either."""
    value = binding.get("value")
    return str(value if value is not None else binding.get("uri") or "")


def is_literal(binding: Mapping[str, Any]) -> bool:
    kind = binding.get("job_input_type") or binding.get("jobInputType") or binding.get("type")
    return str(kind).lower() == "literal"


def literal_text(value: object) -> str:
    """Azure passes Python's spelling of booleans and no quotes."""
    return str(value)


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with the placeholders of known inputs and outputs filled; others stay."""
    return PLACEHOLDER.sub(lambda match: values.get(match[2], match[0]), text)


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
