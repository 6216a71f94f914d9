"""Computes of a workspace as documents: what they must be, and what they become; runs nothing."""

import re
from typing import Any

Json = dict[str, Any]

AML, INSTANCE = "AmlCompute", "ComputeInstance"
KINDS = {kind.lower(): kind for kind in (AML, INSTANCE)}
# learn.microsoft.com/azure/machine-learning/how-to-create-attach-compute-cluster
NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])")
DEFAULT_SIZE = "STANDARD_DS3_V2"
RUNNING, STOPPED = "Running", "Stopped"


def problem(name: str, body: Json) -> str:
    """What is wrong with a compute that shall be made; empty when nothing is."""
    if not NAME.fullmatch(name):
        return "A compute's name has 2 to 32 letters, digits and '-', and begins with a letter."
    properties = body.get("properties")
    if not isinstance(properties, dict):
        return "The body has no properties."
    if str(properties.get("computeType")).lower() not in KINDS:
        return (
            f"Computes of the type {str(properties.get('computeType'))[:40]!r} are not emulated; "
            f"{' and '.join(KINDS.values())} are."
        )
    inner = properties.get("properties") or {}
    scale = inner.get("scaleSettings") or {} if isinstance(inner, dict) else None
    if not isinstance(scale, dict):
        return "properties.properties and its scaleSettings must be objects."
    least, most = scale.get("minNodeCount") or 0, scale.get("maxNodeCount", 1)
    if not (isinstance(least, int) and isinstance(most, int) and 0 <= least <= most):
        return "scaleSettings: 0 <= minNodeCount <= maxNodeCount must hold."
    return ""


def made(name: str, body: Json, present: Json | None) -> Json:
    """The document of a compute that is made or changed; secrets of the request are not kept."""
    properties = dict(body["properties"])
    inner = dict(properties.get("properties") or {})
    account = inner.get("userAccountCredentials")
    if isinstance(account, dict):
        inner["userAccountCredentials"] = {"adminUserName": account.get("adminUserName")}
    document = present or {"name": name, "state": RUNNING}
    return {
        **document,
        "kind": KINDS[str(properties["computeType"]).lower()],
        "description": properties.get("description"),
        "disableLocalAuth": properties.get("disableLocalAuth"),
        "inner": inner,
        "location": body.get("location"),
        "tags": body.get("tags"),
        "identity": body.get("identity"),
    }


def rescaled(document: Json, body: Json) -> Json:
    """With the scale settings of a PATCH."""
    wanted = ((body.get("properties") or {}).get("properties") or {}).get("scaleSettings")
    inner = dict(document.get("inner") or {})
    if isinstance(wanted, dict):
        inner["scaleSettings"] = {**inner.get("scaleSettings", {}), **wanted}
    return {**document, "kind": document.get("kind", AML), "inner": inner}


def shown(document: Json, location: str) -> Json:
    """The properties of a compute as Azure shows them."""
    kind = document.get("kind", AML)
    inner = {"vmSize": DEFAULT_SIZE, "osType": "Linux", **(document.get("inner") or {})}
    if kind == AML:
        inner = {
            "vmPriority": "Dedicated",
            "scaleSettings": {
                "minNodeCount": 0,
                "maxNodeCount": 1,
                "nodeIdleTimeBeforeScaleDown": "PT120S",
            },
            "remoteLoginPortPublicAccess": "Disabled",
            "allocationState": "Steady",
            "currentNodeCount": 0,
            "targetNodeCount": 0,
            **inner,
        }
    else:
        inner = {"sshSettings": {"sshPublicAccess": "Disabled"}, **inner}
        inner |= {"state": document.get("state", RUNNING), "connectivityEndpoints": {}}
    return {
        "computeType": kind,
        "computeLocation": document.get("location") or location,
        "provisioningState": "Succeeded",
        "description": document.get("description"),
        "disableLocalAuth": document.get("disableLocalAuth"),
        "properties": inner,
    }
