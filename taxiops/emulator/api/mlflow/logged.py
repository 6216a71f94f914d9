"""MLflow's REST API: the models that runs log, which MLflow 3 keeps as things of their own."""

from taxiops.emulator.api.mlflow.artifacts import listed, located
from taxiops.emulator.api.mlflow.runs import matching
from taxiops.emulator.api.mlflow.wire import Call, Refused, mlflow, paged, pairs
from taxiops.emulator.api.wire import Json, Routes
from taxiops.emulator.state.tracking.logged_models import LoggedModels
from taxiops.emulator.state.tracking.run_search import clauses_of, ordered

routes = Routes()
LOGGED = "/logged-models"
ONE = LOGGED + "/{model_id}"
STATUSES = frozenset({"LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"})


def logged(call: Call) -> LoggedModels:
    return LoggedModels(call.emulator.store)


def shown_logged(model: Json) -> Json:
    return {
        "info": {
            "model_id": model["id"],
            "experiment_id": model["experiment"],
            "name": model["name"],
            "artifact_uri": f"mlflow-artifacts:/{model['path']}",
            "creation_timestamp_ms": model["created_ms"],
            "last_updated_timestamp_ms": model["updated_ms"],
            "model_type": model["type"],
            "source_run_id": model["run"],
            "status": model["status"],
            "tags": pairs(model["tags"]),
        },
        "data": {"params": pairs(model["params"]), "metrics": []},
    }


@mlflow(routes, "POST", LOGGED)
def create_logged(call: Call) -> Json:
    model = {
        "experiment": call.need("experiment_id"),
        "name": call.text("name"),
        "run": call.text("source_run_id"),
        "type": call.text("model_type"),
        "params": call.pairs("params"),
        "tags": call.pairs("tags"),
    }
    return {"model": shown_logged(logged(call).create(call.scope, model))}


@mlflow(routes, "POST", LOGGED + "/search")
def search_logged(call: Call) -> Json:
    homes = set(call.texts("experiment_ids"))
    found = [each for each in logged(call).all(call.scope) if each["experiment"] in homes]

    def view(model: Json) -> Json:
        info = shown_logged(model)["info"]
        return {"attributes": info, "tags": model["tags"], "params": model["params"]}

    kept = matching(found[::-1], clauses_of(call.text("filter")), view)
    orders = [
        f"{each.get('field_name')} {'ASC' if each.get('ascending', True) else 'DESC'}"
        for each in call.items("order_by")
        if isinstance(each, dict)
    ]
    return paged(call, "models", ordered(kept, orders, view), shown_logged)


@mlflow(routes, "GET", ONE)
def get_logged(call: Call) -> Json:
    return {"model": shown_logged(logged(call).get(call.scope, call.need("model_id")))}


@mlflow(routes, "PATCH", ONE)
def finish_logged(call: Call) -> Json:
    status = call.need("status")
    if status not in STATUSES:
        raise Refused("INVALID_PARAMETER_VALUE", f"{status!r} is no status of a logged model.")
    model = logged(call).change(call.scope, call.need("model_id"), {"status": status})
    return {"model": shown_logged(model)}


@mlflow(routes, "DELETE", ONE)
def delete_logged(call: Call) -> Json:
    logged(call).delete(call.scope, call.need("model_id"))
    return {}


def merged(call: Call, name: str) -> Json:
    models, identifier = logged(call), call.need("model_id")
    present = models.get(call.scope, identifier)[name]
    changes = {name: {**present, **call.pairs(name)}}
    return {"model": shown_logged(models.change(call.scope, identifier, changes))}


@mlflow(routes, "PATCH", ONE + "/tags")
def tag_logged(call: Call) -> Json:
    return merged(call, "tags")


@mlflow(routes, "POST", ONE + "/params")
def parameterise_logged(call: Call) -> Json:
    return merged(call, "params")


@mlflow(routes, "GET", ONE + "/artifacts/directories")
def list_logged(call: Call) -> Json:
    model = logged(call).get(call.scope, call.need("model_id"))
    path = call.text("artifact_directory_path").strip("/")
    folder = located(call.emulator, call.scope, f"{model['path']}/{path}")
    prefix = f"{path}/" if path else ""
    root = f"mlflow-artifacts:/{model['path']}"
    return {"root_uri": root, "files": listed(folder, prefix)}
