"""Registries as resources of the control plane: made, listed, deleted with what is in them."""

import hashlib
import re

from taxiops.emulator.api import versions
from taxiops.emulator.api.computes import done
from taxiops.emulator.api.control import seed_registry
from taxiops.emulator.api.registries import ARM_REGISTRY, arm_rest
from taxiops.emulator.api.wire import Json, Request, Response, Routes, bad_request, conflict
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.assets import curated
from taxiops.emulator.state.assets.references import KINDS

routes = Routes()
REGISTRIES = ARM_REGISTRY.rpartition("/")[0]
EVERYWHERE = "/subscriptions/{subscription}" + REGISTRIES.partition("{group}")[2]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,32}")
# What a region lists, which of it Azure makes, and as what.
ACCOUNTS = (
    ("acrDetails", "systemCreatedAcrAccount", "Microsoft.ContainerRegistry/registries"),
    (
        "storageAccountDetails",
        "systemCreatedStorageAccount",
        "Microsoft.Storage/storageAccounts",
    ),
)


@routes.add("GET", REGISTRIES)
@routes.add("GET", EVERYWHERE)
def list_registries(emulator: Emulator, request: Request) -> Response:
    """Those of the resource group, or of the subscription."""
    wanted = [request.params["subscription"], request.params.get("group")]
    found = [
        arm_rest(emulator, each)
        for each in emulator.store.all("registry")
        if all(
            asked is None or asked.lower() == each[key].lower()
            for key, asked in zip(("subscription", "resource_group"), wanted, strict=True)
        )
    ]
    return versions.page(emulator, request, found)


@routes.add("PUT", ARM_REGISTRY)
def put(emulator: Emulator, request: Request) -> Response:
    """Make it, or change its tags and regions. A name is taken everywhere."""
    name, body = request.params["registry"], request.json()
    properties = body.get("properties")
    if not NAME.fullmatch(name):
        raise bad_request(f"{name[:80]!r} is no name: 3 to 33 letters, digits and '-'.")
    if not isinstance(properties, dict) or not isinstance(body.get("tags") or {}, dict):
        raise bad_request("The body needs properties, and tags that are an object.")
    scope = ARM_REGISTRY.format(**request.params).lower()
    with emulator.store.transaction():
        taken = [curated.STORED, *emulator.store.all("registry")]
        same = [each for each in taken if each["name"].lower() == name.lower()]
        if any(each["scope"] != scope for each in same):
            raise conflict(f"There is a registry {name!r} already.")
        where = {
            "subscription": request.params["subscription"],
            "resource_group": request.params["group"],
            "name": name,
            "location": str(body.get("location") or "local"),
        }
        seed_registry(emulator, where)
        stored: Json = emulator.store.get("registry", scope, "") or {}
        made = [provided(each, stored) for each in regions(properties)]
        stored |= {"tags": body.get("tags") or {}, "regions": made}
        emulator.store.put("registry", scope, "", stored)
    return done(emulator, 200 if same else 201, arm_rest(emulator, stored))


def regions(properties: Json) -> list[Json]:
    """Raises AzureError 400."""
    given = properties.get("regionDetails") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise bad_request("regionDetails must be a list of objects.")
    return given


def provided(region: Json, registry: Json) -> Json:
    """A region with the ids of the accounts that Azure makes in it, in a group of its own."""
    group = f"azureml-rg-{registry['name']}_{registry['guid']}"
    home = f"/subscriptions/{registry['subscription']}/resourceGroups/{group}/providers"
    place = f"{registry['guid']}/{region.get('location')}"
    accounts = {
        listed: [
            with_id(each, made, f"{home}/{provider}/{name_at(f'{place}/{number}')}")
            for number, each in enumerate(region[listed])
        ]
        for listed, made, provider in ACCOUNTS
        if isinstance(region.get(listed), list)
    }
    return {**region, **accounts}


def name_at(place: str) -> str:
    """Letters and digits that are always the same for one place in a registry."""
    return hashlib.sha256(place.encode()).hexdigest()[:20]


def with_id(account: object, made: str, resource_id: str) -> object:
    """The account with its id, when it is one that Azure makes."""
    if not isinstance(account, dict) or not isinstance(account.get(made), dict):
        return account
    return {**account, made: {**account[made], "armResourceId": {"resourceId": resource_id}}}


@routes.add("DELETE", ARM_REGISTRY)
def delete(emulator: Emulator, request: Request) -> Response:
    scope = ARM_REGISTRY.format(**request.params).lower()
    with emulator.store.transaction():
        if not emulator.store.delete("registry", scope, ""):
            return Response(204)
        for kind in KINDS.values():
            for name in list(emulator.assets.names(kind, scope)):
                emulator.assets.delete_container(kind, scope, name)
    return done(emulator, 202)
