"""What Azure makes of a component that it is given; pure.

Seen in Microsoft's own tests of azure-ai-ml: tests/component/e2etests/test_component.py ("service
returns component with stringified integer values") and the specifications that they keep of
components as the service gave them (tests/test_configs/components/downloaded).
"""

import uuid
from datetime import datetime
from json import dumps
from typing import Any

from taxiops.emulator.state.assets import curated
from taxiops.emulator.state.assets.references import ARM_ASSET, SHORT_ASSET, plain

Json = dict[str, Any]


def whole_spec(spec: Json) -> Json:
    """With what Azure adds to a component's specification, and without what it leaves out."""
    whole = dict(spec)
    if isinstance(spec.get("inputs"), dict):
        whole["inputs"] = {
            key: {"optional": False, **each} if isinstance(each, dict) else each
            for key, each in spec["inputs"].items()
        }
    kind = spec.get("type")
    if kind == "command":
        whole.setdefault("resources", {"instance_count": 1})
    if kind == "parallel":
        whole.pop("resources", None)
    if kind == "spark":
        whole |= {key: without_modes(whole[key]) for key in ("inputs", "outputs") if key in whole}
    if kind == "pipeline":
        whole.setdefault("is_deterministic", False)
        whole |= plain_computes(whole)
    if isinstance(spec.get("distribution"), dict):
        whole["distribution"] = {k: text_of(v) for k, v in spec["distribution"].items()}
    whole |= with_registry(spec)
    if isinstance(spec.get("task"), dict):
        whole["task"] = {**spec["task"], **with_registry(spec["task"])}
    return whole


def plain_computes(spec: Json) -> Json:
    """The inputs; a default that is the compute of a step loses the prefix of a reference."""
    jobs, inputs = spec.get("jobs"), spec.get("inputs")
    if not isinstance(jobs, dict) or not isinstance(inputs, dict):
        return {}
    asked = {str(each.get("computeId")) for each in jobs.values() if isinstance(each, dict)}
    plainer = {
        key: {**each, "default": str(each["default"]).removeprefix("azureml:")}
        for key, each in inputs.items()
        if f"${{{{parent.inputs.{key}}}}}" in asked and isinstance(each, dict) and "default" in each
    }
    return {"inputs": {**inputs, **plainer}}


def without_modes(ports: object) -> object:
    """Inputs or outputs without the mode, which Spark has one of."""
    if not isinstance(ports, dict):
        return ports
    return {
        key: {k: v for k, v in each.items() if k != "mode"} if isinstance(each, dict) else each
        for key, each in ports.items()
    }


def text_of(value: object) -> object:
    """Whole numbers come back as texts."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def with_registry(holder: Json) -> Json:
    """The environment, when it is a curated one, by its name in Microsoft's registry."""
    reference = holder.get("environment")
    if not isinstance(reference, str):
        return {}
    shown, version, label = parts_of(reference)
    name = curated.registry_name(shown)
    if label == "latest":
        version = curated.newest(curated.name_in_registry(name))
    if not name or not version:
        return {}
    home = f"azureml://registries/{curated.REGISTRY}/environments"
    return {"environment": f"{home}/{name}/versions/{version}"}


def parts_of(reference: str) -> tuple[str, str, str]:
    """(name, version, label) of what a workspace has; empty where the reference says nothing."""
    if long := ARM_ASSET.fullmatch(plain(reference)):
        is_label = long["by"].lower() == "labels"
        version, label = ("", long["version"]) if is_label else (long["version"], "")
        return long["name"], version, label
    short = SHORT_ASSET.fullmatch(reference)
    return (short["name"], short["version"] or "", short["label"] or "") if short else ("", "", "")


def version_of_spec(spec: object) -> str:
    """What a nameless component is called when another one has the version that was asked for.

    The client takes a component's name into account on Azure only, where the service does it.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_OID, dumps(spec, sort_keys=True)))


def next_version(at: datetime) -> str:
    """The version that Azure proposes at a time (UTC) for a component which has one already."""
    return f"{at:%Y-%m-%d-%H-%M-%S}-{at.microsecond * 10:07d}"
