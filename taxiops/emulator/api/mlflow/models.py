"""MLflow's REST API: its registry, which is the workspace's models."""

import re
from datetime import datetime
from typing import Any

from taxiops.emulator.api.mlflow.artifacts import MODELS, located
from taxiops.emulator.api.mlflow.logged import logged
from taxiops.emulator.api.mlflow.runs import matching
from taxiops.emulator.api.mlflow.wire import Call, Refused, mlflow, paged, pairs
from taxiops.emulator.api.wire import Json, Routes
from taxiops.emulator.state.assets.assets import Key, Unresolved
from taxiops.emulator.state.jobs.documents import ARTIFACT_DATASTORE
from taxiops.emulator.state.jobs.values import workspace_uri
from taxiops.emulator.state.tracking.run_search import clauses_of

routes = Routes()
SOURCE = re.compile(r"(?:mlflow-artifacts:/+|runs:/)(?P<run>[^/]+)/(?P<path>.+)")


def shown_version(document: Json) -> Json:
    properties, name = document["properties"], document["name"]
    source = f"mlflow-artifacts:/{MODELS}/{name}/{document['version']}"
    return {
        "name": name,
        "version": document["version"],
        "creation_timestamp": milliseconds(document["systemData"]["createdAt"]),
        "last_updated_timestamp": milliseconds(document["systemData"]["lastModifiedAt"]),
        "current_stage": properties.get("stage") or "None",
        "description": properties.get("description") or "",
        "source": source,
        "run_id": properties.get("jobName") or "",
        "status": "READY",
        "tags": pairs(properties.get("tags") or {}),
    }


def milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def shown_model(call: Call, name: str) -> Json:
    """Raises Unresolved."""
    assets = call.emulator.assets
    container = assets.container("model", call.scope, name)
    if container is None:
        raise Unresolved(f"Registered Model with name={name} not found")
    properties = container["properties"]
    latest = assets.versions("model", call.scope, name)[-1:]
    return {
        "name": name,
        "description": properties.get("description") or "",
        "tags": pairs(properties.get("tags") or {}),
        "aliases": [
            {"alias": alias, "version": number}
            for alias, number in (properties.get("aliases") or {}).items()
        ],
        "latest_versions": [shown_version(each) for each in latest],
    }


def read(call: Call) -> Json:
    """The stored version of a call. Raises Unresolved."""
    name, number = call.need("name"), call.need("version")
    found = call.emulator.assets.get("model", call.scope, name, number)
    if found is None:
        raise Unresolved(f"Model Version (name={name}, version={number}) not found")
    return found


@mlflow(routes, "POST", "/registered-models/create")
def create_model(call: Call) -> Json:
    name = call.need("name")
    if call.emulator.assets.container("model", call.scope, name) is not None:
        raise Refused("RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.")
    properties = {"tags": call.pairs("tags"), "description": call.text("description")}
    call.emulator.assets.put_container("model", call.scope, name, properties)
    return {"registered_model": shown_model(call, name)}


@mlflow(routes, "GET", "/registered-models/get")
def get_model(call: Call) -> Json:
    return {"registered_model": shown_model(call, call.need("name"))}


@mlflow(routes, "PATCH", "/registered-models/update")
def update_model(call: Call) -> Json:
    name = call.need("name")
    shown_model(call, name)
    properties = {"description": call.text("description")}
    call.emulator.assets.put_container("model", call.scope, name, properties)
    return {"registered_model": shown_model(call, name)}


@mlflow(routes, "POST", "/registered-models/set-tag")
def tag_model(call: Call) -> Json:
    name = call.need("name")
    tags = {each["key"]: each["value"] for each in shown_model(call, name)["tags"]}
    tags[call.need("key")] = call.text("value")
    call.emulator.assets.put_container("model", call.scope, name, {"tags": tags})
    return {}


@mlflow(routes, "GET", "/registered-models/search")
def search_models(call: Call) -> Json:
    names = call.emulator.assets.names("model", call.scope)
    found = [shown_model(call, name) for name in names]
    kept = matching(found, clauses_of(call.text("filter")), model_view)
    return paged(call, "registered_models", kept, lambda each: each)


def model_view(shown: Json) -> Json:
    """What a search looks at. MLflow 3 tells models from prompts by a tag; ours are models."""
    tags = {each["key"]: each["value"] for each in shown["tags"]}
    return {"attributes": shown, "tags": {"mlflow.prompt.is_prompt": "false", **tags}}


@mlflow(routes, "POST", "/registered-models/get-latest-versions")
def latest_versions(call: Call) -> Json:
    return {"model_versions": shown_model(call, call.need("name"))["latest_versions"]}


@mlflow(routes, "POST", "/registered-models/alias")
def set_alias(call: Call) -> Json:
    return realias(call, {call.need("alias"): read(call)["version"]})


@mlflow(routes, "DELETE", "/registered-models/alias")
def delete_alias(call: Call) -> Json:
    return realias(call, {call.need("alias"): None})


def realias(call: Call, changes: dict[str, str | None]) -> Json:
    name = call.need("name")
    aliases = {each["alias"]: each["version"] for each in shown_model(call, name)["aliases"]}
    kept = {key: value for key, value in {**aliases, **changes}.items() if value}
    call.emulator.assets.put_container("model", call.scope, name, {"aliases": kept})
    return {}


@mlflow(routes, "GET", "/registered-models/alias")
def get_alias(call: Call) -> Json:
    name, alias = call.need("name"), call.need("alias")
    for each in shown_model(call, name)["aliases"]:
        if each["alias"] == alias:
            number = each["version"]
            found = call.emulator.assets.get("model", call.scope, name, number)
            if found is not None:
                return {"model_version": shown_version(found)}
    raise Refused("INVALID_PARAMETER_VALUE", f"Registered model alias {alias} not found.")


@mlflow(routes, "POST", "/model-versions/create")
def create_version(call: Call) -> Json:
    assets, name = call.emulator.assets, call.need("name")
    shown_model(call, name)
    run, uri = stored_source(call, call.need("source"))
    properties: dict[str, Any] = {
        "isArchived": False,
        "tags": call.pairs("tags"),
        "properties": {},
        "description": call.text("description"),
        "modelUri": uri,
        "modelType": "mlflow_model",
        "flavors": {},
        "jobName": call.text("run_id") or run or None,
    }
    container = assets.container("model", call.scope, name)
    number = container["properties"]["nextVersion"] if container else "1"
    document = assets.create(Key("model", call.scope, name, number), properties)
    return {"model_version": shown_version(document)}


def stored_source(call: Call, source: str) -> tuple[str, str]:
    """(run, path of a datastore) of the files of a version. Raises Refused, NoSuchRun."""
    if source.startswith("models:/"):
        model = logged(call).get(call.scope, source.removeprefix("models:/"))
        source = f"mlflow-artifacts:/{model['path']}"
    if match := SOURCE.fullmatch(source):
        located(call.emulator, call.scope, f"{match['run']}/{match['path']}")
        path = f"ExperimentRun/dcid.{match['run']}/{match['path']}"
        return match["run"], workspace_uri(call.scope, ARTIFACT_DATASTORE, path)
    if source.startswith("azureml://"):
        return "", source
    raise Refused(
        "INVALID_PARAMETER_VALUE",
        f"A model cannot be registered from {source!r}: only from a run's artifacts and from "
        "azureml:// addresses.",
    )


@mlflow(routes, "GET", "/model-versions/get")
def get_version(call: Call) -> Json:
    return {"model_version": shown_version(read(call))}


@mlflow(routes, "GET", "/model-versions/get-download-uri")
def download_uri(call: Call) -> Json:
    return {"artifact_uri": shown_version(read(call))["source"]}


@mlflow(routes, "GET", "/model-versions/search")
def search_versions(call: Call) -> Json:
    assets = call.emulator.assets
    found = [
        shown_version(each)
        for name in assets.names("model", call.scope)
        for each in reversed(assets.versions("model", call.scope, name))
    ]
    kept = matching(found, clauses_of(call.text("filter")), model_view)
    return paged(call, "model_versions", kept, lambda each: each)


def change_version(call: Call, changes: Json) -> Json:
    document = read(call)
    key = Key("model", call.scope, document["name"], document["version"])
    changed = call.emulator.assets.replace(key, {**document["properties"], **changes})
    return {"model_version": shown_version(changed)}


@mlflow(routes, "PATCH", "/model-versions/update")
def update_version(call: Call) -> Json:
    return change_version(call, {"description": call.text("description")})


@mlflow(routes, "POST", "/model-versions/set-tag")
def tag_version(call: Call) -> Json:
    tags = read(call)["properties"].get("tags") or {}
    change_version(call, {"tags": {**tags, call.need("key"): call.text("value")}})
    return {}


@mlflow(routes, "POST", "/model-versions/transition-stage")
def move_version(call: Call) -> Json:
    return change_version(call, {"stage": call.need("stage")})
