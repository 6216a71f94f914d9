"""The documents of the jobs that a pipeline's steps are; pure."""

from collections.abc import Mapping
from typing import Any

from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.sweeps import sweep_of
from taxiops.emulator.state.jobs.values import kind_of

Json = dict[str, Any]


def child_properties(step: graph.Step, experiment: str) -> Json:
    """A step as Azure shows it: as a job of its own."""
    node = step.node
    declared = {**(step.spec.get("outputs") or {}), **step.outputs}
    outputs = {
        key: {"jobOutputType": kind_of(step.outputs.get(key) or {}, declared[key] or {})}
        for key in declared
    }
    shared = {
        "displayName": step.display_name,
        "description": step.spec.get("description"),
        "experimentName": experiment,
        "componentId": node.get("componentId"),
        "computeId": node.get("computeId"),
        "inputs": {},
        "outputs": outputs,
        "tags": dict(node.get("tags") or {}),
        "properties": {
            "azureml.moduleName": str(step.spec.get("name") or step.name),
            "azureml.nodeid": step.name,
            "azureml.isreused": "false",
        },
    }
    if step.kind == "pipeline":
        return {"jobType": "Pipeline", **shared}
    if step.kind == "sweep":
        return {**shared, **sweep_properties(node)}
    variables = {**(step.spec.get("environment_variables") or {}), **step.environment_variables}
    return {
        "jobType": "Command",
        **shared,
        "command": step.spec.get("command"),
        "environmentId": step.environment,
        "codeId": str(step.spec.get("code") or "").removeprefix("azureml:") or None,
        "environmentVariables": {str(key): str(value) for key, value in variables.items()},
        "limits": limits_of(node),
    }


def sweep_properties(node: Mapping[str, Any]) -> Json:
    """A pipeline's sweep in the spelling of a sweep by itself."""
    sweep = sweep_of(node)
    space = {key: [each.kind, list(each.parameters.values())] for key, each in sweep.space.items()}
    return {
        "jobType": "Sweep",
        "searchSpace": space,
        "samplingAlgorithm": {"samplingAlgorithmType": sweep.algorithm.capitalize()},
        "objective": {
            "primaryMetric": sweep.metric,
            "goal": "Maximize" if sweep.is_maximised else "Minimize",
        },
        "limits": {
            "jobLimitsType": "Sweep",
            "maxTotalTrials": sweep.most_trials,
            "maxConcurrentTrials": sweep.concurrency,
        },
        "trial": {"command": "", "environmentId": ""},
    }


def limits_of(node: Mapping[str, Any]) -> Json | None:
    given = (node.get("limits") or {}).get("timeout")
    if given is None:
        return None
    timeout = f"PT{given}S" if isinstance(given, int | float) else given
    return {"jobLimitsType": "Command", "timeout": timeout}


def reused_properties(original: Json) -> Json:
    """What tells a client that a step has the outputs of another; the names are the SDK's
    (constants/_job/pipeline.py) and run history's.
    """
    present = original["properties"].get("properties") or {}
    return {
        **present,
        "azureml.isreused": "true",
        "azureml.reusedrunid": original["name"],
        "azureml.reusednodeid": str(original.get("step") or ""),
        "azureml.reusedpipeline": str(original.get("parent") or ""),
        "azureml.reusedpipelinerunid": str(original.get("root") or ""),
    }
