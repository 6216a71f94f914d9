"""MLflow's REST API: experiments, runs, and what is logged to them."""

from collections.abc import Mapping
from typing import Any

from taxiops.emulator.api.mlflow.wire import (
    Call,
    Refused,
    mlflow,
    paged,
    pairs,
    read_number,
    wire_number,
)
from taxiops.emulator.api.wire import Json, Routes
from taxiops.emulator.state.tracking.run_search import Clause, clauses_of, ordered
from taxiops.emulator.state.tracking.runs import ACTIVE, DELETED, Batch, now_ms

routes = Routes()
STATUSES = frozenset({"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"})
VIEWS = {"ACTIVE_ONLY": {ACTIVE}, "DELETED_ONLY": {DELETED}, "ALL": {ACTIVE, DELETED}}


def shown_experiment(experiment: Json) -> Json:
    return {
        "experiment_id": experiment["id"],
        "name": experiment["name"],
        "artifact_location": "mlflow-artifacts:/",
        "lifecycle_stage": experiment["stage"],
        "creation_time": experiment["created_ms"],
        "last_update_time": experiment["updated_ms"],
        "tags": pairs(experiment["tags"]),
    }


@mlflow(routes, "POST", "/experiments/create")
def create_experiment(call: Call) -> Json:
    name = call.need("name")
    if any(each["name"] == name for each in call.emulator.tracking.experiments(call.scope)):
        raise Refused("RESOURCE_ALREADY_EXISTS", f"Experiment(name={name}) already exists.")
    made = call.emulator.tracking.ensure_experiment(call.scope, name)
    if tags := call.pairs("tags"):
        call.emulator.tracking.change_experiment(call.scope, made["id"], {"tags": tags})
    return {"experiment_id": made["id"]}


@mlflow(routes, "GET", "/experiments/get")
def get_experiment(call: Call) -> Json:
    found = call.emulator.tracking.experiment(call.scope, call.need("experiment_id"))
    return {"experiment": shown_experiment(found)}


@mlflow(routes, "GET", "/experiments/get-by-name")
def get_experiment_by_name(call: Call) -> Json:
    found = call.emulator.tracking.experiment_named(call.scope, call.need("experiment_name"))
    return {"experiment": shown_experiment(found)}


@mlflow(routes, "GET", "/experiments/search")
@mlflow(routes, "POST", "/experiments/search")
def search_experiments(call: Call) -> Json:
    stages = VIEWS.get(call.text("view_type") or "ACTIVE_ONLY", {ACTIVE})
    found = call.emulator.tracking.experiments(call.scope)
    found = [each for each in found if each["stage"] in stages]
    kept = matching(found, clauses_of(call.text("filter")), experiment_view)
    kept = ordered(kept, call.texts("order_by") or ["last_update_time DESC"], experiment_view)
    return paged(call, "experiments", kept, shown_experiment)


def experiment_view(experiment: Json) -> Mapping[str, Mapping[str, Any]]:
    return {
        "tags": experiment["tags"],
        "attributes": {
            "name": experiment["name"],
            "experiment_id": experiment["id"],
            "creation_time": experiment["created_ms"],
            "last_update_time": experiment["updated_ms"],
        },
    }


def matching(found: list[Json], clauses: list[Clause], view: Any) -> list[Json]:  # noqa: ANN401
    return [each for each in found if all(clause.holds(view(each)) for clause in clauses)]


@mlflow(routes, "POST", "/experiments/update")
def rename_experiment(call: Call) -> Json:
    changes = {"name": call.need("new_name")}
    call.emulator.tracking.change_experiment(call.scope, call.need("experiment_id"), changes)
    return {}


@mlflow(routes, "POST", "/experiments/set-experiment-tag")
def tag_experiment(call: Call) -> Json:
    tracking, identifier = call.emulator.tracking, call.need("experiment_id")
    tags = tracking.experiment(call.scope, identifier)["tags"]
    changes = {"tags": {**tags, call.need("key"): call.text("value")}}
    tracking.change_experiment(call.scope, identifier, changes)
    return {}


def stage_experiment(call: Call, stage: str) -> Json:
    identifier = call.need("experiment_id")
    call.emulator.tracking.change_experiment(call.scope, identifier, {"stage": stage})
    return {}


@mlflow(routes, "POST", "/experiments/delete")
def delete_experiment(call: Call) -> Json:
    return stage_experiment(call, DELETED)


@mlflow(routes, "POST", "/experiments/restore")
def restore_experiment(call: Call) -> Json:
    return stage_experiment(call, ACTIVE)


def shown_info(run: Json) -> Json:
    return {
        "run_id": run["id"],
        "run_uuid": run["id"],
        "run_name": run["name"],
        "experiment_id": run["experiment"],
        "user_id": "emulator",
        "status": run["status"],
        "start_time": run["start_ms"],
        **({"end_time": run["end_ms"]} if run["end_ms"] else {}),
        "artifact_uri": f"mlflow-artifacts:/{run['id']}",
        "lifecycle_stage": run["stage"],
    }


def shown_point(point: Json) -> Json:
    return {**point, "value": wire_number(point["value"])}


def shown_run(call: Call, run: Json) -> Json:
    points = call.emulator.tracking.latest(call.scope, run["id"])
    tags = {"mlflow.runName": run["name"], **run["tags"]}
    return {
        "info": shown_info(run),
        "data": {
            "metrics": [shown_point(each) for each in points],
            "params": pairs(run["params"]),
            "tags": pairs(tags),
        },
        "inputs": {"dataset_inputs": run["inputs"]},
        "outputs": {"model_outputs": run["outputs"]},
    }


@mlflow(routes, "POST", "/runs/create")
def create_run(call: Call) -> Json:
    tags = call.pairs("tags")
    name = call.text("run_name") or tags.get("mlflow.runName") or "run"
    run = call.emulator.tracking.create(
        call.scope, call.need("experiment_id"), name, call.number("start_time", now_ms()), tags
    )
    return {"run": shown_run(call, run)}


@mlflow(routes, "GET", "/runs/get")
def get_run(call: Call) -> Json:
    identifier = call.text("run_id") or call.need("run_uuid")
    return {"run": shown_run(call, call.emulator.tracking.run(call.scope, identifier))}


@mlflow(routes, "POST", "/runs/update")
def update_run(call: Call) -> Json:
    changes: Json = {}
    if status := call.text("status"):
        if status not in STATUSES:
            raise Refused("INVALID_PARAMETER_VALUE", f"{status!r} is no status of a run.")
        changes["status"] = status
    if end := call.number("end_time", 0):
        changes["end_ms"] = end
    if name := call.text("run_name"):
        changes["name"] = name
    identifier = call.text("run_id") or call.need("run_uuid")
    run = call.emulator.tracking.change(call.scope, identifier, changes)
    return {"run_info": shown_info(run)}


@mlflow(routes, "POST", "/runs/delete")
def delete_run(call: Call) -> Json:
    call.emulator.tracking.change(call.scope, call.need("run_id"), {"stage": DELETED})
    return {}


@mlflow(routes, "POST", "/runs/restore")
def restore_run(call: Call) -> Json:
    call.emulator.tracking.change(call.scope, call.need("run_id"), {"stage": ACTIVE})
    return {}


@mlflow(routes, "POST", "/runs/search")
def search_runs(call: Call) -> Json:
    tracking = call.emulator.tracking
    stages = VIEWS.get(call.text("run_view_type") or "ACTIVE_ONLY", {ACTIVE})
    homes = set(call.texts("experiment_ids"))
    found = [
        each
        for each in reversed(tracking.runs(call.scope))
        if each["stage"] in stages and each["experiment"] in homes
    ]
    clauses, orders = clauses_of(call.text("filter")), call.texts("order_by")
    views = {each["id"]: run_view(call, each) for each in found} if clauses or orders else {}
    kept = matching(found, clauses, lambda run: views[run["id"]])
    kept = ordered(kept, orders, lambda run: views[run["id"]])
    return paged(call, "runs", kept, lambda run: shown_run(call, run))


def run_view(call: Call, run: Json) -> Mapping[str, Mapping[str, Any]]:
    points = call.emulator.tracking.latest(call.scope, run["id"])
    info = shown_info(run)
    return {
        "metrics": {each["key"]: each["value"] for each in points},
        "params": run["params"],
        "tags": {"mlflow.runName": run["name"], **run["tags"]},
        "attributes": {**info, "end_time": info.get("end_time"), "Created": info["start_time"]},
    }


@mlflow(routes, "POST", "/runs/log-metric")
def log_metric(call: Call) -> Json:
    log(call, Batch(metrics=[point_of(call.fields)]))
    return {}


def point_of(fields: Any) -> Json:  # noqa: ANN401  # whatever the client sent
    if not isinstance(fields, dict) or not fields.get("key"):
        raise Refused("INVALID_PARAMETER_VALUE", "A metric has no key.")
    try:
        step, timestamp = int(fields.get("step") or 0), int(fields.get("timestamp") or now_ms())
    except (TypeError, ValueError) as error:
        raise Refused("INVALID_PARAMETER_VALUE", "A step or timestamp is no number.") from error
    value = read_number(fields.get("value"))
    return {"key": str(fields["key"]), "value": value, "timestamp": timestamp, "step": step}


def log(call: Call, batch: Batch) -> None:
    identifier = call.text("run_id") or call.need("run_uuid")
    call.emulator.tracking.log(call.scope, identifier, batch)


@mlflow(routes, "POST", "/runs/log-parameter")
def log_parameter(call: Call) -> Json:
    log(call, Batch(params={call.need("key"): call.text("value")}))
    return {}


@mlflow(routes, "POST", "/runs/set-tag")
def set_tag(call: Call) -> Json:
    log(call, Batch(tags={call.need("key"): call.text("value")}))
    return {}


@mlflow(routes, "POST", "/runs/log-batch")
def log_batch(call: Call) -> Json:
    points = [point_of(each) for each in call.items("metrics")]
    log(call, Batch(points, call.pairs("params"), call.pairs("tags")))
    return {}


@mlflow(routes, "POST", "/runs/delete-tag")
def delete_tag(call: Call) -> Json:
    call.emulator.tracking.untag(call.scope, call.need("run_id"), call.need("key"))
    return {}


@mlflow(routes, "POST", "/runs/log-model")
def log_model(call: Call) -> Json:
    """MLflow 2 tells of a model whose files are among the artifacts; they speak for themselves."""
    tracking = call.emulator.tracking
    run = tracking.run(call.scope, call.need("run_id"))
    present = run["tags"].get("mlflow.log-model.history") or "[]"
    history = f"[{', '.join(each for each in (present[1:-1], call.text('model_json')) if each)}]"
    tracking.log(call.scope, run["id"], Batch(tags={"mlflow.log-model.history": history}))
    return {}


@mlflow(routes, "POST", "/runs/log-inputs")
def log_inputs(call: Call) -> Json:
    return append(call, "inputs", call.items("datasets"))


@mlflow(routes, "POST", "/runs/outputs")
def log_outputs(call: Call) -> Json:
    return append(call, "outputs", call.items("models"))


def append(call: Call, name: str, added: list[Any]) -> Json:
    tracking, identifier = call.emulator.tracking, call.need("run_id")
    present = tracking.run(call.scope, identifier)[name]
    tracking.change(call.scope, identifier, {name: [*present, *added]})
    return {}


@mlflow(routes, "GET", "/metrics/get-history")
def metric_history(call: Call) -> Json:
    identifier, key = call.text("run_id") or call.need("run_uuid"), call.need("metric_key")
    call.emulator.tracking.run(call.scope, identifier)
    points = call.emulator.tracking.points(call.scope, identifier)
    found = [each for each in points if each["key"] == key]
    return paged(call, "metrics", found, shown_point)
