"""What a version of an asset must be called, and what of it may change; pure.

learn.microsoft.com/azure/machine-learning/reference-yaml-model, -data, -environment and
-component-command: a version's content is fixed, its description, tags and properties are not.
"""

import re
from typing import Any

from taxiops.emulator.state.assets.references import URI_KEY

Json = dict[str, Any]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}")
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
FOLDERS = frozenset({"uri_folder", "mltable"})
FROZEN: dict[str, tuple[str, ...]] = {
    "model": ("modelUri",),
    "data": ("dataUri", "dataType"),
    "code": ("codeUri",),
    "environment": ("image", "condaFile", "build"),
    # Within componentSpec.
    "component": ("type", "command", "code", "inputs", "outputs", "environment", "jobs"),
}


def misnamed(name: str, version: str) -> str:
    """What is wrong with a name or version; empty when nothing is."""
    if not NAME.fullmatch(name):
        return f"{name[:80]!r} is no name: 1 to 255 letters, digits, '_', '-' and '.'."
    if not VERSION.fullmatch(version):
        return f"{version[:80]!r} is no version: 1 to 100 letters, digits, '_', '-' and '.'."
    return ""


def malformed(kind: str, properties: Json) -> str:
    """What is wrong with the properties of a new version; empty when nothing is."""
    key = URI_KEY.get(kind)
    if key and not (isinstance(properties.get(key), str) and properties[key]):
        return f"properties.{key} must be the address of the {kind}'s content."
    if kind == "component" and not isinstance(properties.get("componentSpec"), dict):
        return "properties.componentSpec must be an object."
    if kind == "environment":
        given = [name for name in ("image", "build") if properties.get(name)]
        if len(given) != 1:
            return "properties must hold an image or a build context, and not both."
    for name in ("tags", "properties"):
        if not isinstance(properties.get(name) or {}, dict):
            return f"properties.{name} must be an object."
    return ""


def changed_content(kind: str, old: Json, new: Json) -> str:
    """The fixed part of a version that would change; empty when none would."""
    before, after = old, new
    if kind == "component":
        before, after = old.get("componentSpec") or {}, new.get("componentSpec") or {}
    for name in FROZEN[kind]:
        if after.get(name) is not None and before.get(name) != after[name]:
            return name
    return ""


def merged(old: Json, new: Json) -> Json:
    """What is sent replaces what was; what is not sent stays."""
    return {**old, **{key: value for key, value in new.items() if value is not None}}


def filled(kind: str, properties: Json) -> Json:
    """With what Azure fills in: an archive flag, and flavors, without which its SDK fails."""
    kept = {key: value for key, value in properties.items() if value is not None}
    usual: Json = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}}
    if kind == "model":
        usual["flavors"] = {}
    return {**usual, **kept}


def folder_uri(kind: str, properties: Json, uri: str) -> str:
    """A folder's address ends in a slash, as Azure stores it."""
    is_folder = kind == "data" and properties.get("dataType") in FOLDERS
    return f"{uri}/" if is_folder and not uri.endswith("/") else uri
